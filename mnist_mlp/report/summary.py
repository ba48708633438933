"""The comparison in five sentences, and its limits."""

import pandas as pd

from mnist_mlp.evaluation import effects
from mnist_mlp.evaluation.statistics import ALPHA
from mnist_mlp.report import formatting, published
from mnist_mlp.report.formatting import chance, count, listed, percent, points, span
from mnist_mlp.report.results import Results


def summary(results: Results) -> list[str]:
    """Return the five sentences."""
    table, metrics = results.studied, results.metrics
    twins = int(table["identical_to"].count())
    scored = (
        f"{count(len(table), 'variant')} of {table['study'].nunique()} studies and the candidate, "
        f"{formatting.seeds(results.table)} each, were scored on the {metrics['test_images']:,} test images of "
        f"{metrics['dataset']}; {twins or 'none'} of the {len(table)} {'is' if twins == 1 else 'are'}, to the bit, the "
        "same model as another one of them."
    )
    if table.empty:
        scored = (
            f"The candidate, {formatting.seeds(results.table)}, was scored on the {metrics['test_images']:,} test "
            f"images of {metrics['dataset']}."
        )
    return [
        scored,
        _best(results),
        f"{_effects(results)}.",
        published.agreement(results),
        f"The candidate gets {formatting.accuracy(results.candidate)} % right: place {metrics['rank']} of "
        f"{len(results.table)} by its mean ({metrics['rank_best']} to {metrics['rank_worst']} beyond doubt).",
    ]


def _best(results: Results) -> str:
    if results.studied.empty:
        return "There is no study to compare the candidate with."
    best, others = results.best, results.unbeaten
    own = (others["study"] == best["study"]) & (others["variant"] == best["variant"])
    names = (others["study"] + "/" + others["variant"])[~own].tolist()
    interval, distinct = span(best["low"], best["high"]), results.studied["identical_to"].isna().sum()
    if names:
        rivals = f"; {listed(names, 3)} may be as good."
    else:
        rivals = "; beyond doubt, no other may be as good." if distinct > 1 else "; no other model was trained."
    return (
        f"The studies' best is `{best['study']}/{best['variant']}`, which gets {formatting.accuracy(best)} % of them "
        "right" + (f" (95 % interval {interval})" if interval else "") + rivals
    )


def effect_words(rows: pd.DataFrame) -> str:
    """Return a factor's levels against their reference in words. rows: of effects.csv."""
    decided = rows[rows["p_holm"] < ALPHA]
    rest = rows.drop(decided.index)["level"].tolist()
    parts = [f"`{row.level}` {points(row.difference)} points {span(row.low, row.high, points)}"
             for row in decided.itertuples()]  # fmt: skip
    if rest:
        parts.append(f"no difference beyond chance for {listed(rest)}")
    return ", ".join(parts)


def interacting(results: Results, study: str, factor: str) -> list[str]:
    """Return the factors on whose level the effect of this one depends beyond chance: its average says little."""
    pairs = [(name.split(" x "), p) for name, p in results.statistics["joint_p"][study].items() if " x " in name]
    return [
        other
        for pair, p in pairs
        for other in pair
        if factor in pair and other != factor and p is not None and p < ALPHA
    ]


def _effects(results: Results) -> str:
    averaged = results.effects[results.effects["within"].isna()]
    parts = []
    for (study, factor), rows in averaged.groupby(["study", "factor"], sort=False):
        p = results.statistics["joint_p"][study].get(factor)
        known = p is None or p < ALPHA
        words = effect_words(rows) if known else f"no difference beyond chance ({chance(p)})"
        words += "".join(f", but not alike with every {other}" for other in interacting(results, study, factor))
        parts.append(f"`{study}`, {factor} against `{rows['reference'].iloc[0]}`: {words}")
    if not parts:
        return "No study is a grid of factors, so that no effect is averaged over one"
    return f"Averaged over the grid, in test accuracy: {'; '.join(parts)}"


def limits(results: Results) -> list[str]:
    """Return what the comparison can't say, one sentence each."""
    studies = results.params.studies
    lines = []
    for study, body in studies.items():
        if body.reference and not effects.reference(results.params, study):
            lines.append(
                f"`{study}` names `{body.reference}` as its reference, which isn't there with all its levels, or has "
                "another protocol: its own first level stands in."
            )
    for study, numbers in results.statistics["studies"].items():
        now = str(len(studies[study].protocol.seeds))
        smallest, more = numbers["smallest"].get(now), numbers["smallest"]["10"]
        if smallest and smallest["one_pair"]:
            lines.append(
                f"Of two typical models of `{study}` with {count(int(now), 'seed')} each, a difference below "
                f"{percent(smallest['one_pair'])} points is lost in chance, below {percent(smallest['all_pairs'])} "
                f"where all {results.statistics['pairs']} pairs are looked at; with 10 seeds it would be "
                f"{percent(more['one_pair'])} and {percent(more['all_pairs'])}."
            )
        if not numbers["models"]:
            lines.append(f"Every model of `{study}` is one of an earlier study, and its seeds are counted there.")
        elif not numbers["freedom"]:
            lines.append(
                f"Nothing is known of what the seeds of `{study}` do, so nothing of it is decided: give it more seeds."
            )
        if (p := numbers["bartlett_p"]) is not None and p < ALPHA:
            lines.append(
                f"The seeds of `{study}` scatter unequally from model to model (Bartlett, {chance(p)}): pooling them "
                "is doubtful, and more seeds are the remedy."
            )
    lines.append("The best of many is picked by the images it is scored on, which flatters it a little.")
    on_test = [study for study, body in studies.items() if body.protocol.validation == "test"]
    if on_test:
        lines.append(
            f"In {listed(on_test)} the validation images are the test images, as in the notebook: its validation "
            "curves are no independent evidence."
        )
    if results.published is not None:
        lines.append("A published figure is of one run with an unknown seed.")
    return lines
