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
        "" if distinct == len(table) else f" are {count(distinct, 'distinct model')}; the others are exact duplicates"
    )
    return (
        f"{count(len(table), 'variant')} of {studies}{twins}. These models and the candidate (your own model) were "
        f"trained with {seeds} each, and scored on the {images}. Brackets are 95 % intervals. The interval of an "
        "accuracy holds for that accuracy alone; the intervals of differences hold all at once."
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
        "The highest of many means is partly luck. If one half of the seeds and images chooses the best model, this "
        f"model gets {percent(results.statistics['best_apart'])} % on the other half."
    )
    if len(may) == 1:
        return Finding(f"{best} is the best.", f"{mean}, and no other model may be as good (95 %). {apart}", "best")
    names = listed(may["variant"].tolist(), 4)
    text = f"With 95 % confidence, the best of the studies' models is one of these. {mean}. {apart}"
    return Finding(f"Any of {names} may be the best.", text, "best")


def _published(results: Results) -> Finding:
    return Finding(*published.agreement(results), "published")


def _candidate(results: Results) -> Finding:
    metrics = results.metrics
    place, best, worst = (metrics[key] for key in ("rank", "rank_best", "rank_worst"))
    others = f"; places {best} to {worst} are possible" if best < worst else ""
    line = f"The candidate is in place {place} of {metrics['distinct_models']}{others}."
    text = f"Its mean is {accuracy(results.candidate)}."
    if not results.studied.empty:
        better, worse, unknown = (results.names(verdict) for verdict in ("beats", "loses", "undecided"))
        text += (
            f" It is better than {count(len(better), 'model')} and worse than {len(worse) or 'none'}. Undecided: "
            f"{listed(unknown, 5) if unknown else 'none'}. The chance of any wrong verdict is 5 % at most."
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
    parts, told = [], _told(rows)
    undecided = rows[~told]
    for _, row in rows[told].iterrows():
        parts.append(_by_level(results, row) if row["p_alike"] < ALPHA else f"`{row['level']}` {_numbers(row)}")
    if not undecided.empty:
        levels = ", ".join(f"`{row['level']}` {_numbers(row)}".strip() for _, row in undecided.iterrows())
        power = undecided["visible"].max()
        parts.append(f"undecided: {levels}" + (f" ({_found(power)})" if pd.notna(power) else ""))
    return "; ".join(parts)


def _told(rows: pd.DataFrame) -> pd.Series:
    """Return which averaged levels are decided, or depend on the other factors."""
    return (rows["p_family"] < ALPHA) | (rows["p_alike"] < ALPHA)


def _by_level(results: Results, row: pd.Series) -> str:
    """Return the effects of a level with the levels of the other factors with which they are decided, and the rest."""
    own = within(results, row)
    decided = own["p_family"] < ALPHA
    parts = [f"{_numbers(one)} with {one['within']}" for _, one in own[decided].iterrows()]
    rest = own.loc[~decided, "within"].tolist()
    if rest:
        parts.append("undecided with the others" if parts else f"undecided with {', '.join(rest)}")
    return f"`{row['level']}` {', '.join(parts)}"


def _numbers(row: pd.Series) -> str:
    return f"{points(row['difference'])} {span(row['family_low'], row['family_high'], points)}".strip()


def _found(size: float) -> str:
    return f"an effect of {percent(size)} points would be found in 4 of 5 repetitions"


def interactions(results: Results, study: str, factor: str) -> str:
    """Return what is known of how much a factor's effects, taken together, depend on the others, or nothing."""
    words = []
    for name, found in results.statistics["joint"].get(study, {}).items():
        if " x " not in name or factor not in (pair := name.split(" x ")) or found["p"] is None:
            continue
        other = pair[1 - pair.index(factor)]
        if found["p"] < ALPHA:
            words.append(f"Taken together, these effects depend on {other} ({chance(found['p'])})")
        else:
            words.append(f"Whether these effects depend on {other} is undecided ({unseen(found)})")
    return ". ".join(words)


def unseen(found: dict[str, float | None]) -> str:
    """Return a joint p and, where it is large, what the test could have seen. found: of statistics.json's joint."""
    p, size = found["p"], found["visible"]
    known = chance(np.nan if p is None else p)
    return f"{known}, and {_found(size)}" if size is not None and p is not None and p >= ALPHA else known


def _effects(results: Results) -> list[Finding]:
    """Return, by study, the effects of its first factor in full, and what is decided of the others."""
    averaged, found = results.effects[results.effects["within"].isna()], []
    for study, factors in averaged.groupby("study", sort=False):
        (first, rows), *others = factors.groupby("factor", sort=False)
        title = f"`{study}`, compared with `{rows['reference'].iloc[0]}`"
        text = f"Differences in points of test accuracy: {effect_words(results, rows)}."
        if more := interactions(results, str(study), str(first)):
            text += f" {more}."
        for factor, own in others:
            words = effect_words(results, own)
            if not _told(own).any():
                joint = results.statistics["joint"][study].get(factor, {"p": None, "visible": None})
                words = f"undecided ({unseen(joint)})"
            text += f" {factor[0].upper()}{factor[1:]}, compared with `{own['reference'].iloc[0]}`: {words}."
        line = f"{title}: {_verdicts(rows, across(results, str(study)))}."
        found.append(Finding(line, text, "effects", str(study)))
    return found


def _verdicts(rows: pd.DataFrame, others: str) -> str:
    """Return in a few words which averaged levels of a factor help, hurt, depend on others, or are undecided."""
    depends = rows["p_alike"] < ALPHA
    decided = (rows["p_family"] < ALPHA) & ~depends
    forms = (  # of one level, of several
        (decided & (rows["difference"] > 0), "{} helps", "{} help"),
        (decided & (rows["difference"] < 0), "{} hurts", "{} hurt"),
        (depends, f"the effect of {{}} depends on {others}", f"the effects of {{}} depend on {others}"),
        (~_told(rows), "{} is undecided", "{} are undecided"),
    )
    found = [(rows.loc[which, "level"].tolist(), one, many) for which, one, many in forms if which.any()]
    return "; ".join((one if len(levels) == 1 else many).format(listed(levels, 4)) for levels, one, many in found)


def limits(results: Results) -> list[str]:
    """Return what the comparison can't say, one sentence each."""
    studies = results.params.studies
    lines = []
    for study, body in studies.items():
        if body.reference and not effects.reference(results.params, study):
            lines.append(
                f"`{study}` names `{body.reference}` as its reference, which lacks some of the levels or has another "
                "protocol. So the first level of its own is the reference."
            )
    for study, numbers in results.statistics["studies"].items():
        now = str(len(studies[study].protocol.seeds))
        smallest, more = numbers["smallest"].get(now), numbers["smallest"]["10"]
        if smallest and smallest["one_pair"]:
            lines.append(
                f"Between two typical models of `{study}` with {count(int(now), 'seed')} each, a difference of "
                f"{percent(smallest['one_pair'])} points is found with 80 % power. Among all "
                f"{results.statistics['pairs']} pairs, it must be {percent(smallest['all_pairs'])} points. With 10 "
                f"seeds, these are {percent(more['one_pair'])} and {percent(more['all_pairs'])} points."
            )
        if not numbers["models"]:
            lines.append(f"Every model of `{study}` is one of an earlier study, and its seeds are counted there.")
        elif not numbers["freedom"]:
            lines.append(
                f"Nothing is known about chance over the seeds of `{study}`, so nothing is decided: give it more seeds."
            )
        if (p := numbers["bartlett_p"]) is not None:
            power = f"{100 * numbers['bartlett_power']:.0f} %"
            if p < ALPHA:
                lines.append(
                    f"Some models of `{study}` vary more over their seeds than others (Bartlett's test, {chance(p)}). "
                    "So pooling is doubtful: give the study more seeds."
                )
            else:
                lines.append(
                    f"The intervals assume that all models of `{study}` vary over their seeds by the same multiple of "
                    f"the binomial variance. Bartlett's test finds nothing against it ({chance(p)}). It would notice "
                    f"one model with {RATIO} times the others' standard deviation in {power} of cases, smaller "
                    "differences less often."
                )
    lines.append(
        "All of this was found on one data set and one set of training images; others may give other results. The "
        "networks have the notebooks' settings or a library's defaults. No network is tuned, and better settings may "
        "reverse any result."
    )
    if unlearnt := _unlearnt(results):
        lines.append(
            f"{listed(unlearnt, 5)} had not finished learning: the validation loss still fell by more than "
            f"{100 * UNLEARNT:.0f} % in the last fifth of the epochs."
        )
    on_test = [study for study, body in studies.items() if body.protocol.validation == "test"]
    if on_test:
        lines.append(
            f"In {listed(on_test)} the validation images are the test images, as in the notebook. So its validation "
            "curves are not independent evidence."
        )
    if results.published is not None:
        lines.append("Each published accuracy comes from one run with an unknown seed.")
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
