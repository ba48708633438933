"""The comparison in a few lines, a picture each, and its limits."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnist_mlp.evaluation import effects
from mnist_mlp.evaluation.comparisons import RATIO
from mnist_mlp.evaluation.statistics import ALPHA
from mnist_mlp.report import formatting, published
from mnist_mlp.report.formatting import accuracy, chance, count, listed, percent, points, span
from mnist_mlp.report.results import Results, across

UNLEARNT = 0.1  # of the loss that the last fifth of the epochs takes away, from which more epochs are worth a try


@dataclass(frozen=True)
class Finding:
    """A line of the summary, and the numbers behind it. picture: what shows them, best, effects, published or
    candidate; study: of effects."""

    line: str
    text: str
    picture: str
    study: str = ""


def opening(results: Results) -> str:
    """Return the sentence on what was compared."""
    table, images = results.studied, f"{results.metrics['test_images']:,} test images of {results.metrics['dataset']}"
    seeds = formatting.seeds(results.table)
    if table.empty:
        return f"The candidate, {seeds}, was scored on the {images}."
    studies, distinct = count(table["study"].nunique(), "study", "studies"), len(results.distinct)
    twins = (
        "" if distinct == len(table) else f" are {count(distinct, 'distinct model')}: the others match one to the bit"
    )
    return (
        f"{count(len(table), 'variant')} of {studies}{twins}. They and the candidate, {seeds} each, were scored on the "
        f"{images}."
    )


def summary(results: Results) -> list[Finding]:
    """Return the findings: on the best, on each study that is a grid, on the notebooks, on the candidate."""
    return [_best(results), *_effects(results), _published(results), _candidate(results)]


def _best(results: Results) -> Finding:
    if results.studied.empty:
        return Finding("There is no study to compare the candidate with.", "", "best")
    may, best = results.unbeaten, f"`{results.best['study']}/{results.best['variant']}`"
    mean = f"{best} has the highest mean, {accuracy(results.best)}"
    if len(results.distinct) == 1:
        return Finding(f"{best} stands alone: no other model was trained.", f"{mean}.", "best")
    apart = (
        f"Chosen by half of the seeds and images and scored on the others, the best gets "
        f"{percent(results.statistics['best_apart'])} %."
    )
    if len(may) == 1:
        return Finding(f"{best} is the best.", f"{mean}, and no other model may be as good (95 %). {apart}", "best")
    names = listed(may["variant"].tolist(), 4)
    return Finding(f"Cannot be told apart as the best: {names}.", f"A 95 % set. {mean}. {apart}", "best")


def _published(results: Results) -> Finding:
    return Finding(*published.agreement(results), "published")


def _candidate(results: Results) -> Finding:
    metrics = results.metrics
    line = f"The candidate is in place {metrics['rank']} of {metrics['models']}."
    text = f"By its mean, {accuracy(results.candidate)}."
    if not results.studied.empty:
        better, worse, unknown = (len(results.names(verdict)) for verdict in ("beats", "loses", "undecided"))
        text += (
            f" It is significantly better than {better} models, worse than {worse}, and {unknown} can't be told from "
            "it (5 % family-wise)."
        )
    return Finding(line, text, "candidate")


def within(results: Results, row: pd.Series) -> pd.DataFrame:
    """Return the effects of a level with each level of the other factors. row: its average, of effects.csv."""
    keys = ["study", "factor", "level"]
    rows = results.effects[(results.effects[keys] == row[keys]).all(axis=1)]
    return rows[rows["within"].notna()]


def effect_words(results: Results, rows: pd.DataFrame) -> str:
    """Return a factor's averaged levels against their reference in words: what is decided, what depends on the other
    factors, what isn't decided, each with its numbers. rows: of effects.csv."""
    parts, undecided = [], []
    for _, row in rows.iterrows():
        numbers = f"`{row['level']}` {points(row['difference'])} {span(row['family_low'], row['family_high'], points)}"
        if row["p_alike"] < ALPHA:
            own = (f"{points(one.difference)} with {one.within}" for one in within(results, row).itertuples())
            parts.append(f"`{row['level']}` {', '.join(own)}")
        elif row["p_family"] < ALPHA:
            parts.append(numbers)
        else:
            undecided.append(numbers.strip())
    if undecided:
        power = rows["visible"].median()
        seen = f" (80 % power begins at {percent(power)})" if pd.notna(power) else ""
        parts.append(f"undecided {', '.join(undecided)}{seen}")
    return "; ".join(parts)


def interactions(results: Results, study: str, factor: str) -> str:
    """Return what is known of how much a factor's effects depend on the others, in words, or nothing."""
    words = []
    for name, found in results.statistics["joint"].get(study, {}).items():
        if " x " not in name or factor not in (pair := name.split(" x ")) or found["p"] is None:
            continue
        other = pair[1 - pair.index(factor)]
        if found["p"] < ALPHA:
            words.append(f"its effects differ by {other} ({chance(found['p'])})")
        else:
            words.append(f"whether its effects differ by {other} is undecided ({_unseen(found)})")
    return "; ".join(words)


def _unseen(found: dict[str, float | None]) -> str:
    power = f"; 80 % power begins at {percent(found['visible'])} points" if found["visible"] is not None else ""
    return chance(np.nan if found["p"] is None else found["p"]) + power


def _effects(results: Results) -> list[Finding]:
    """Return, by study, the effects of its first factor in full, and what is decided of the others."""
    averaged, found = results.effects[results.effects["within"].isna()], []
    for study, factors in averaged.groupby("study", sort=False):
        (first, rows), *others = factors.groupby("factor", sort=False)
        title = f"`{study}`, {first} against `{rows['reference'].iloc[0]}`"
        text = f"In points of test accuracy: {effect_words(results, rows)}"
        if more := interactions(results, str(study), str(first)):
            text += f"; {more}"
        for factor, own in others:
            title_other = f"{factor[0].upper()}{factor[1:]} against `{own['reference'].iloc[0]}`"
            text += f". {title_other}: {_other(results, str(study), str(factor), own)}"
        line = f"{title}: {_verdicts(rows, across(results, str(study)))}."
        found.append(Finding(line, f"{text}.", "effects", str(study)))
    return found


def _verdicts(rows: pd.DataFrame, others: str) -> str:
    """Return in a few words which averaged levels of a factor help, hurt, depend on others, or are undecided."""
    depends = rows["p_alike"] < ALPHA
    decided = (rows["p_family"] < ALPHA) & ~depends
    forms = (  # of one level, of several
        (decided & (rows["difference"] > 0), "{} helps", "{} help"),
        (decided & (rows["difference"] < 0), "{} hurts", "{} hurt"),
        (depends, f"what {{}} does depends on {others}", f"what {{}} do depends on {others}"),
        (~decided & ~depends, "{} is undecided", "{} are undecided"),
    )
    found = [(rows.loc[which, "level"].tolist(), one, many) for which, one, many in forms if which.any()]
    return "; ".join((one if len(levels) == 1 else many).format(listed(levels, 4)) for levels, one, many in found)


def _other(results: Results, study: str, factor: str, rows: pd.DataFrame) -> str:
    """Return what is decided of a factor that isn't its study's first."""
    depends = rows["p_alike"] < ALPHA
    words = [effect_words(results, rows[(rows["p_family"] < ALPHA) & ~depends])]
    for _, row in rows[depends].iterrows():
        own = within(results, row).sort_values("difference")[["difference", "within"]]
        least, most = (f"{points(own.iloc[i]['difference'])} with {own.iloc[i]['within']}" for i in (0, -1))
        words.append(f"`{row['level']}` from {least} to {most}")
    if not any(words):
        return f"undecided ({_unseen(results.statistics['joint'][study].get(factor, {'p': None, 'visible': None}))})"
    return "; ".join(filter(None, words))


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
                f"Between two typical models of `{study}` with {count(int(now), 'seed')} each, a difference of "
                f"{percent(smallest['one_pair'])} points is found with 80 % power, of {percent(smallest['all_pairs'])} "
                f"where all {results.statistics['pairs']} pairs are looked at; with 10 seeds "
                f"{percent(more['one_pair'])} and {percent(more['all_pairs'])}."
            )
        if not numbers["models"]:
            lines.append(f"Every model of `{study}` is one of an earlier study, and its seeds are counted there.")
        elif not numbers["freedom"]:
            lines.append(
                f"Nothing is known of what the seeds of `{study}` do, so nothing of it is decided: give it more seeds."
            )
        if (p := numbers["bartlett_p"]) is not None:
            power = f"one model of {RATIO} times the others' sd is noticed in {100 * numbers['bartlett_power']:.0f} %"
            if p < ALPHA:
                lines.append(
                    f"The seeds of `{study}` scatter unequally from model to model (Bartlett, {chance(p)}): pooling "
                    "them is doubtful, and more seeds are the remedy."
                )
            else:
                lines.append(
                    f"That the seeds of `{study}` scatter alike is assumed, not shown: Bartlett's test ({chance(p)}) "
                    f"sees little ({power} of cases)."
                )
    lines.append(
        "One data set and one set of training images: what holds on others isn't asked. The networks have the "
        "notebooks' settings, or a library's defaults, and none is tuned: a better setting may turn any of this around."
    )
    if unlearnt := _unlearnt(results):
        lines.append(
            f"{listed(unlearnt, 5)} had not learnt out: the last fifth of the epochs still took more than "
            f"{100 * UNLEARNT:.0f} % off the validation loss."
        )
    on_test = [study for study, body in studies.items() if body.protocol.validation == "test"]
    if on_test:
        lines.append(
            f"In {listed(on_test)} the validation images are the test images, as in the notebook: its validation "
            "curves are no independent evidence."
        )
    if results.published is not None:
        lines.append("A published figure is of one run with an unknown seed.")
    return lines


def _unlearnt(results: Results) -> list[str]:
    """Return the distinct models whose validation loss was still falling fast at the end."""
    names = set(zip(results.distinct["study"], results.distinct["variant"], strict=True))
    found = []
    for key, curve in results.history.groupby(["study", "variant"], sort=False):
        losses = curve.groupby("epoch")["val_loss"].mean()
        before = losses.iloc[max(0, int(0.8 * len(losses)) - 1)]
        if key in names and losses.iloc[-1] < (1 - UNLEARNT) * before:
            found.append("/".join(key))
    return found
