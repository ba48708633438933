"""The comparison in Markdown: reports/comparison.md, the short form of comparison.html."""

import numpy as np
import pandas as pd

from mnist_mlp.config import Protocol, Variant
from mnist_mlp.evaluation.statistics import ALPHA, LEVEL
from mnist_mlp.report import formatting, published
from mnist_mlp.report.figures import interaction_name, map_name
from mnist_mlp.report.formatting import accuracy, chance, count, percent, points, span
from mnist_mlp.report.results import Results, grids, identical, interactions, warning
from mnist_mlp.report.summary import limits, opening, summary, unseen, within

FIGURES = {
    "accuracy.png": "Test accuracy of every variant, by study: mean, 95 % interval, each seed and, on MNIST, the "
    "published accuracy",
    "costs.png": "Test accuracy of every distinct model against its parameters and the multiply-adds of its training",
    "curves.png": "Validation accuracy by epoch: the candidate and the best variant of each study",
}
SEEN = {"beats": "better", "loses": "worse", "identical": "identical", "undecided": "undecided"}
VERDICTS = {"beats": "beats", "loses": "loses to", "identical": "identical to", "undecided": "undecided"}


def markdown(results: Results) -> str:
    """Return reports/comparison.md."""
    parts = ["# Comparison", *note(results), opening(results)]
    parts += ["\n".join(f"- **{finding.line}** {finding.text}".rstrip() for finding in summary(results))]
    parts += ["Everything, with the statistics behind it: [comparison.html](comparison.html)."]
    parts += [picture("accuracy.png"), *_best(results), picture("costs.png"), *_candidate(results)]
    maps = grids(results)
    for study, body in results.params.studies.items():
        rows = results.studied[results.studied["study"] == study]
        parts += [f"## Study `{study}`", _protocol(body.protocol, len(rows)), study_table(results, study)]
        if study in maps:
            parts.append(map_picture(study, maps[study]))
    parts += [*_effects(results), *_identical(results)]
    if results.published is not None:
        parts += [*_agreement(results), *_contradictions(results)]
    return "\n\n".join([*parts, "## Limits", "\n".join(f"- {line}" for line in limits(results))]) + "\n"


def note(results: Results) -> list[str]:
    return [f"> **{line}**" for line in filter(None, [warning(results)])]


def _candidate(results: Results) -> list[str]:
    candidate, variant = results.candidate, results.params.candidate
    lists = []
    for verdict in VERDICTS:
        names = [f"`{name}`" for name in results.names(verdict)]
        lists.append(f"- {VERDICTS[verdict]}{_found(names, len(names))}")
    return [
        "## The candidate",
        f"{variant.describe()}; {variant.activation}, {formatting.optimizer(variant)}, batch {variant.batch_size}, "
        f"{count(variant.epochs, 'epoch')}, {count(len(variant.seeds), 'seed')}; {candidate['parameters']:,.0f} "
        f"parameters: {accuracy(candidate)} of the test images right, test loss {candidate['test_loss']:.4f} nats. "
        "Against the studies' variants it",
        "\n".join(lists),
        "Identical variants count once. Beats and loses are significant differences, in comparisons on the same test "
        "images. Both the images and the seeds count as chance. The chance of any wrong verdict among the "
        f"{len(results.distinct)} is {100 * ALPHA:.0f} % at most (Holm's method). It is higher if the candidate varies "
        "over its seeds much more than the studies' models do: give such a candidate more seeds. Numbers: "
        "[variants.csv](variants.csv); method: [statistics.py](../mnist_mlp/evaluation/statistics.py).",
        picture("curves.png"),
    ]


def study_table(results: Results, study: str) -> str:
    rows, studied = [], results.studied[results.studied["study"] == study]
    for _, row in studied.iterrows():
        variant = results.params.variant(study, row["variant"])
        cells = {
            "variant": f"`{variant.name}`",
            "activation": variant.activation,
            "optimizer": formatting.optimizer(variant),
            "layers": variant.describe(),
            "test accuracy (%)": percent(row["test_accuracy"]),
            "95 % interval": span(row["low"], row["high"]),
            "published (%)": percent(row["published"]) or _changed(results, variant),
            "difference (points)": points(row["test_accuracy"] - row["published"]),
            "test loss (nats)": f"{row['test_loss']:.4f}",
            "train accuracy (%)": percent(row["train_accuracy"]),
            "parameters": f"{row['parameters']:,.0f}",
            "the candidate is": SEEN[row["verdict"]],
        }
        if studied["published"].isna().all():
            del cells["published (%)"], cells["difference (points)"]
        rows.append(cells)
    return table(rows)


def _protocol(protocol: Protocol, variants: int) -> str:
    trained = {"last_epoch": "the running mean over the last epoch", "finished_model": "the finished model's"}
    return (
        f"{count(variants, 'variant')}, each with {count(len(protocol.seeds), 'seed')}, "
        f"{count(protocol.epochs, 'epoch')} and batches of {protocol.batch_size}. Numbers are means over the seeds. "
        f"Train accuracy is {trained[protocol.train_metrics]}. Losses are cross-entropies without penalties."
    )


def _best(results: Results) -> list[str]:
    """Return the section on which model is the best, if there are several to choose from."""
    may, best = results.unbeaten, results.best
    if len(results.distinct) < 2 or may["behind_high"].isna().any():
        return []
    pairs = {frozenset([(pair.study, pair.variant), (pair.other_study, pair.other_variant)]): pair
             for pair in results.pairs.itertuples()}  # fmt: skip
    rows = []
    for _, row in may.iterrows():
        own = row["study"], row["variant"]
        pair = pairs.get(frozenset([own, (best["study"], best["variant"])]))
        rows.append({
            "may be the best": f"`{'/'.join(own)}`",
            "test accuracy (%)": percent(row["test_accuracy"]),
            "95 % interval": span(row["low"], row["high"]),
            "minus the best other model (points)": points(row["behind"]),
            "its 95 % interval, simultaneous": span(row["behind_low"], row["behind_high"], points),
            f"chance that it is better than `{best['variant']}`": _share(pair.p / 2) if pair else "",
            "seeds per model to tell them apart": _seeds(pair.seeds_needed) if pair else "",
        })  # fmt: skip
    text = (
        f"With 95 % confidence, the best of the {len(results.distinct)} distinct models is one of these. The chance "
        f"to be better than `{best['variant']}` looks at these two models alone, over seeds and images. It does "
        f"not know that `{best['variant']}` was picked for the highest of many means: a model with a small chance may "
        "still be the best. The last column is the number of seeds that tells the two apart among all pairs with 80 % "
        "power, if they truly differ as much as they seem to."
    )
    return ["## Which is the best", text, table(rows)]


def _share(chance: float) -> str:
    return f"{100 * chance:.0f} %" if chance >= 0.01 else "under 1 %"


def _seeds(needed: float) -> str:
    return "more than 100" if pd.isna(needed) else f"{needed:.0f}"


def _effects(results: Results) -> list[str]:
    def cells(row: pd.Series) -> dict[str, str]:
        which = f", {row['within']}" if pd.notna(row["within"]) else ""
        return {
            "study": f"`{row['study']}`",
            "effect": f"{row['factor']} `{row['level']}` against `{row['reference']}`{which}",
            "difference (points)": points(row["difference"]),
            "95 % interval, simultaneous": span(row["family_low"], row["family_high"], points),
            "p, family-wise": chance(row["p_family"]),
            "found in 4 of 5 repetitions (points)": percent(row["visible"]),
            "seeds per model to decide it": "" if row["p_family"] < ALPHA else _seeds(row["seeds_needed"]),
        }

    averaged = results.effects[results.effects["within"].isna()]
    if averaged.empty:
        return []
    alike = averaged["p_alike"].map(lambda p: {"p against the same with all": chance(p) if pd.notna(p) else ""})
    rows = [cells(row) | more for (_, row), more in zip(averaged.iterrows(), alike, strict=True)]
    text = (
        "Differences in test accuracy, averaged over the levels of the study's other factors. Identical models count "
        f"once. With 95 % confidence all {len(rows)} intervals hold at once. \u201cFound in 4 of 5 repetitions\u201d "
        "is the size of an effect that is found with 80 % power. The last p tests whether the effect is the same with "
        "all levels of the other factors (Holm's method, over all rows). If it is small, the average says little, and "
        "the effect is shown by level below. A large p does not show that the effect is the same."
    )
    joint = [
        f"{what} in `{study}` {unseen(found)}"
        for study, of_factor in results.statistics["joint"].items()
        for what, found in of_factor.items()
        if found["p"] is not None
    ]
    if joint:
        text += f" One test per factor and per interaction, for all levels together: {'; '.join(joint)}."
    parts = ["## Effects", text, table(rows)]
    parts += [interaction_picture(study) for study in interactions(results)]
    told = averaged[averaged["p_alike"] < ALPHA]
    own = [cells(one) for _, row in told.iterrows() for _, one in within(results, row).iterrows()]
    by_level = "By level of the other factors; with 95 % confidence these intervals, too, hold all at once:"
    return [*parts, by_level, table(own)] if own else parts


def _identical(results: Results) -> list[str]:
    rows = identical_table(results)
    if not rows:
        return ["## Identical models", "None: no two variants gave the same probabilities."]
    text = (
        "These variants gave the same probabilities, bit for bit, with each seed: what differs between them changes "
        "nothing that is learned."
    )
    if np.isfinite(spread := published.largest_spread(results)):
        noise, freedom = published.published_noise(results)
        text += (
            f" Their published accuracies differ by up to {percent(spread)} points, by chance alone. They show the "
            f"notebooks' standard deviation over seeds: {percent(noise)} points ({freedom} degrees of freedom)."
            + "".join(
                f" Ours is {percent(published.run_sd(results, study))} in `{study}`."
                for study in published.twinned(results)
            )
        )
    return ["## Identical models", text, rows]


def identical_table(results: Results) -> str:
    """Return the table of variants that are one model; nothing if there are none."""
    rows = []
    for group, reason in identical(results):
        rows.append({
            "identical": " = ".join(f"`{name}`" for name in group["variant"]),
            "test accuracy (%)": percent(group.iloc[0]["test_accuracy"]),
            "why": reason,
        })  # fmt: skip
        if results.published is not None:
            then = group["published"].dropna()
            rows[-1] |= {
                "published (%)": ", ".join(map(percent, then)),
                "published spread (points)": percent(then.max() - then.min() if len(then) > 1 else np.nan),
            }
    return table(rows)


def _agreement(results: Results) -> list[str]:
    rows = []
    for study, group in published.fidelity(results).groupby("study", sort=False):
        gap = group["test_accuracy"] - group["published"]
        worst = group.loc[gap.abs().idxmax()]
        known = group["run_low"].notna().all()
        rows.append({
            "study": f"`{study}`",
            "figures": f"{len(group)}",
            "mean (points)": points(gap.mean()),
            "mean without sign (points)": percent(gap.abs().mean()),
            "largest (points)": f"{points(worst['test_accuracy'] - worst['published'])} (`{worst['variant']}`)",
            "sd over seeds (points)": percent(published.run_sd(results, study)),
            "within": f"{group['inside'].sum()} of {len(group)}" if known else "",
            "expected": f"{LEVEL * len(group):.1f}" if known else "",
            "outside": ", ".join(f"`{name}`" for name in group[~group["inside"]]["variant"]) if known else "",
        })  # fmt: skip
    text = (
        "A difference is our mean test accuracy minus the published one. The sd (standard deviation) is pooled over "
        "the study's distinct models. Within: how many published accuracies lie in our 95 % prediction interval for "
        "one more run, with a new seed and the same images. Expected: 95 % of them."
    )
    return ["## Agreement with the published figures", text, table(rows)]


def _contradictions(results: Results) -> list[str]:
    lines = "\n".join(f"- {line}" for line in published.contradictions(results))
    return ["## Where the notebooks contradict themselves", lines, *closing_table(results)]


def closing_table(results: Results) -> list[str]:
    """Return what the first notebook's closing table says against the runs that it sums up. Needs published figures."""
    rows, tabled = [], published.tabled(results)
    for _, row in tabled.iterrows():
        cells = {"variant": f"`{row['study']}/{row['variant']}`"}
        for split in ("train", "test"):
            printed, summed = row[f"{split}_accuracy"], row[f"summary_{split}_accuracy"]
            cells[f"{split}, printed (%)"], cells[f"{split}, summary (%)"] = percent(printed), percent(summed)
            cells[f"{split}, difference (points)"] = points(summed - printed) if summed != printed else ""
        rows.append(cells)
    assert results.published is not None
    number = results.published["summary_test_accuracy"].count()
    text = (
        f"The first notebook ends with a summary table. {len(tabled)} of its {number} rows differ from what the same "
        "notebook printed during training. Our results are compared with what was printed."
    )
    return [text, table(rows)]


def table(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)] if rows else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def picture(name: str, folder: str = "") -> str:
    return f"![{FIGURES[name]}]({folder}figures/{name})"


def interaction_picture(study: str, folder: str = "") -> str:
    words = f"Effects in {study}: each level of the first factor with each level of the second, with 95 % intervals"
    return f"![{words}]({folder}figures/{interaction_name(study)})"


def map_picture(study: str, means: pd.DataFrame, folder: str = "") -> str:
    words = f"Heat map of mean test accuracy in {study}, by {means.index.name} and {means.columns.name}"
    return f"![{words}]({folder}figures/{map_name(study)})"


def _changed(results: Results, variant: Variant) -> str:
    keys = results.changed.get((variant.study, variant.name))
    return f"changed: {', '.join(keys)}" if keys else ""


def _found(names: list[str], number: int) -> str:
    return f": {number or 'none'}{' (' if names else ''}{', '.join(names)}{')' if names else ''}"
