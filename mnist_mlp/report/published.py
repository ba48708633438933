"""The reproduction against the notebooks: their published figures, and what they contradict themselves in."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.special import ndtr

from mnist_mlp.evaluation.statistics import LEVEL
from mnist_mlp.report.formatting import chance, count, listed, percent
from mnist_mlp.report.results import Results, identical


def fidelity(results: Results) -> pd.DataFrame:
    """Return the variants with a published figure; `inside`: whether it lies where one more run of ours would."""
    table = results.studied.dropna(subset="published")
    return table.assign(inside=(table["run_low"] <= table["published"]) & (table["published"] <= table["run_high"]))


def agreement(results: Results) -> tuple[str, str]:
    """Return the line on how many published figures are where ours would be, and the numbers behind it."""
    table = fidelity(results)
    number = len(table)
    if table.empty:
        return "No published accuracy is compared.", _changed(results).strip()
    gap = (table["test_accuracy"] - table["published"]).abs()
    largest = table.loc[gap.idxmax()]
    figures = count(number, "published accuracy", "published accuracies")
    line = f"Ours are {percent(gap.mean())} points from the {figures}."
    text = f"On average; at most {percent(gap.max())} (`{largest['study']}/{largest['variant']}`)."
    if table["run_low"].notna().all():
        line = f"{table['inside'].sum()} of {figures} lie where we expect a new run (95 % prediction interval)."
        text = (
            f"{LEVEL * number:.0f} are expected, which is 95 %. The distance between ours and theirs is "
            f"{percent(gap.mean())} points on average and {percent(gap.max())} at most "
            f"(`{largest['study']}/{largest['variant']}`)."
        )
    return line, f"{text}{_common(results)}{_changed(results)}"


def losses(results: Results) -> tuple[float, float]:
    """Return how much higher our mean test losses are than the published ones, as a share, and its z.

    The mean of logarithms; their variance is that of our runs, pooled over the distinct models, in ours and, once a
    figure, in theirs: the z is missing without a second seed."""
    table = results.studied.dropna(subset="published_loss")
    logs = np.log(results.replicates.set_index(["study", "variant"])["test_loss"])
    groups = dict(list(logs.groupby(level=[0, 1], sort=False)))
    distinct = [groups[key] for key in zip(results.distinct["study"], results.distinct["variant"], strict=True)]
    freedom = sum(len(own) - 1 for own in distinct)
    ours = np.array([groups[key].mean() for key in zip(table["study"], table["variant"], strict=True)])
    higher = float((ours - np.log(table["published_loss"])).mean())
    if not freedom:
        return float(np.expm1(higher)), np.nan
    variance = sum(own.var() * (len(own) - 1) for own in distinct if len(own) > 1) / freedom
    model = table["identical_to"].fillna(table["study"] + "/" + table["variant"])
    figures = (
        model.map(model.value_counts()) / table["replicates"]
    )  # a run of ours stands beside all figures of its twins
    return float(np.expm1(higher)), higher / np.sqrt(variance * (len(table) + figures.sum())) * len(table)


def _common(results: Results) -> str:
    """Return what our figures have in common against the published ones."""
    table = fidelity(results)
    gap = (table["test_accuracy"] - table["published"]).mean()
    higher, z = losses(results)
    words = [f"{percent(abs(size))} {unit} {'higher' if size > 0 else 'lower'}"
             for size, unit in ((gap, "points"), (higher, "%"))]  # fmt: skip
    known = f" ({chance(2 * ndtr(-abs(z)))})" if z == z else ""
    return f" On average our accuracies are {words[0]}, and our test losses are {words[1]}{known}."


def _changed(results: Results) -> str:
    if results.published is None or not results.changed:
        return ""
    (study, name), keys = next(iter(results.changed.items()))
    return (
        f" {count(len(results.changed), 'variant')} changed from the notebook, such as `{study}/{name}` in its "
        f"{listed(keys)}: no figure of theirs is compared."
    )


def published_noise(results: Results) -> tuple[float, int]:
    """Return the notebooks' own sd over seeds, from identical models' figures, and its degrees of freedom."""
    groups = [then for group, _ in identical(results) if len(then := group["published"].dropna()) > 1]
    freedom = sum(len(then) - 1 for then in groups)
    squares = sum(then.var() * (len(then) - 1) for then in groups)
    return (float(np.sqrt(squares / freedom)), freedom) if freedom else (np.nan, 0)


def twinned(results: Results) -> list[str]:
    """Return the studies in which some variants are one model."""
    return list(results.studied[results.studied["identical_to"].notna()]["study"].unique())


def run_sd(results: Results, study: str) -> float:
    """Return the sd over seeds of one run's accuracy, pooled over a study's distinct models."""
    rows = results.distinct[(results.distinct["study"] == study) & (results.distinct["replicates"] > 1)]
    if rows.empty:
        return np.nan
    return float(np.sqrt(np.average(rows["test_accuracy_sd"] ** 2, weights=rows["replicates"] - 1)))


def largest_spread(results: Results) -> float:
    """Return how far apart the published accuracies of one model are at most; missing if none has two."""
    groups = [then for group, _ in identical(results) if len(then := group["published"].dropna()) > 1]
    return max((float(then.max() - then.min()) for then in groups), default=np.nan)


def contradictions(results: Results) -> Iterator[str]:
    """Yield what the notebooks say against what they ran, one sentence each, from the data if the data show it."""
    yield from claimed_best(results)
    yield from other_bests(results)
    for study in _compared(results):
        yield from validated_on_test(results, study)
        yield from running_means(results, study)
    yield from promised_layers(results)
    yield from placebos(results)


def claimed_best(results: Results) -> Iterator[str]:
    """Yield what became of the best model that the first notebook names."""
    claimed, studied = ("architectures", "model8"), results.studied.set_index(["study", "variant"])
    if claimed in _kept(results) & set(studied.index):
        may, row = results.unbeaten, studied.loc[claimed]
        among = claimed in may.set_index(["study", "variant"]).index
        yield (
            f"The first notebook concludes from one run of each model: \u201cmodel8 is the best model\u201d. Here "
            f"model8 is in place {row['rank']} by its mean, and {'among' if among else 'not among'} the {len(may)} "
            "models that may be the best."
        )


def other_bests(results: Results) -> Iterator[str]:
    """Yield the studies whose best is another one than by the published figures."""
    for study, group in results.studied.dropna(subset="published").groupby("study", sort=False):
        then, now = group.loc[group["published"].idxmax(), "variant"], group.loc[group["rank"].idxmin(), "variant"]
        if then != now:
            yield f"In `{study}` the best model is `{then}` by the published accuracies, and `{now}` by ours."


def validated_on_test(results: Results, study: str) -> Iterator[str]:
    """Yield what choosing the best epoch on the test images would add, if a study validates on them."""
    if results.params.studies[study].protocol.validation == "test":
        curves = results.history[results.history["study"] == study].groupby(["variant", "seed"])["val_accuracy"]
        flattery = (curves.max() - curves.last()).mean()
        yield (
            f"`{study}` validates on the test images. If each run reported its best epoch there instead of its last "
            f"one, the accuracies would be {percent(flattery)} points higher on average, by that choice alone."
        )


def running_means(results: Results, study: str) -> Iterator[str]:
    """Yield what a study's train accuracy is, if it was taken while the model trained."""
    if results.params.studies[study].protocol.train_metrics == "last_epoch":
        rows = results.studied[results.studied["study"] == study]
        below = rows[rows["train_accuracy"] < rows["test_accuracy"]]["variant"].tolist()
        yield (
            f"The train accuracy of `{study}` is a running mean over the last epoch, while dropout is on and the "
            f"weights still change. So it is {'below the test accuracy in ' + listed(below) if below else 'too low'}, "
            "which says nothing about overfitting."
        )


def promised_layers(results: Results) -> Iterator[str]:
    """Yield which layers the first notebook's headings promise and its code lacks."""
    if "architectures" in _compared(results):
        yield (
            "The first notebook's headings promise layers that its code lacks: a dropout after the third layer in "
            "model4, and a dropout of 0.5 in model6 and model7. The code is what is reproduced."
        )


def placebos(results: Results) -> Iterator[str]:
    """Yield what the second notebook's penalties penalize."""
    if "techniques" in _compared(results):
        own = ". Our own study `penalties` shows what a penalty on the weights does"
        yield (
            "The second notebook's techniques \u201cL1\u201d and \u201cL2\u201d penalize the input, which changes "
            f"nothing that is learned{own if 'penalties' in results.params.studies else ''}."
        )


def _kept(results: Results) -> set[tuple[str, str]]:
    """Return the variants that are still what the notebooks ran; none unless the data set is theirs."""
    published = results.published
    return set() if published is None else set(zip(published["study"], published["variant"], strict=True))


def _compared(results: Results) -> list[str]:
    """Return the studies that have such variants."""
    kept = {study for study, _ in _kept(results)}
    return [study for study in results.params.studies if study in kept]


def tabled(results: Results) -> pd.DataFrame:
    """Return the rows of the first notebook's closing table that differ from what it printed of the same run."""
    assert results.published is not None
    rows = results.published.dropna(subset="summary_test_accuracy")
    return rows[
        (rows["train_accuracy"] != rows["summary_train_accuracy"])
        | (rows["test_accuracy"] != rows["summary_test_accuracy"])
    ]
