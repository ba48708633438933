"""The comparison in the terminal: the candidate's accuracy, its place, which variants it beats or loses to."""

import os
import sys

from mnist_mlp.report.formatting import count, percent, span
from mnist_mlp.report.markdown import VERDICTS
from mnist_mlp.report.results import Results, warning


def lines(results: Results, plain: bool = False) -> list[str]:
    """Return the lines; what matters most is bold, unless they shall be plain."""
    candidate, metrics = results.candidate, results.metrics
    interval = span(candidate["low"], candidate["high"])
    told = [
        *filter(None, [warning(results)]),
        f"candidate: {percent(candidate['test_accuracy'])} % of {metrics['test_images']:,} test images right"
        + (f", 95 % interval {interval}" if interval else "")
        + f" ({count(candidate['replicates'], 'seed')})",
        f"place: {metrics['rank']} of {count(metrics['distinct_models'], 'distinct model')} by its mean; "
        f"places {metrics['rank_best']} to {metrics['rank_worst']} are possible (chance of error: 5 % at most)",
    ]
    told = told if plain else [bold(line) for line in told]
    for verdict in ("beats", "loses", "identical"):
        names = results.names(verdict)
        if names or verdict != "identical":
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            listed = f" ({', '.join(names[:5])}{more})" if names else ""
            told.append(f"{VERDICTS[verdict]}: {len(names) or 'none'}{listed}")
    return told


def bold(text: str) -> str:
    """Return a text in bold letters if the standard output is a terminal that has them, or else as it is."""
    shown = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return f"\033[1m{text}\033[0m" if shown else text
