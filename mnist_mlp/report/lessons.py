"""What the results show of each lesson of docs/lessons.md: numbers, a table or a figure."""

from itertools import combinations

import pandas as pd

from mnist_mlp.report import markdown, published
from mnist_mlp.report.formatting import listed, percent
from mnist_mlp.report.results import Results, grids

FOLDER = "../reports/"  # from docs/
PROMISED = ("model4", "model6", "model7")  # more layers by their headings than by their code


def placebos(results: Results) -> str:
    """Return what the notebook's penalties on the input do: which variants are one model, and the heat map."""
    lines = [*published.placebos(results)]
    if (spread := published.largest_spread(results)) == spread:
        lines.append(f"The published accuracies of identical models differ by up to {percent(spread)} points.")
    maps = {study: means for study, means in grids(results).items() if study in published.twinned(results)}
    pictures = [markdown.map_picture(study, means, FOLDER) for study, means in maps.items()]
    return _block(" ".join(lines), markdown.identical_table(results), *pictures)


def one_seed(results: Results) -> str:
    """Return what one seed would have said of each study: its best model, and in which order its models stand."""
    table = results.distinct[["study", "variant"]].merge(results.replicates, on=["study", "variant"])
    lines = [f"- {line}" for line in published.claimed_best(results)]
    for study, rows in table.groupby("study", sort=False):
        scores = rows.pivot(index="variant", columns="seed", values="test_accuracy").dropna(axis="columns")
        if scores.shape[1] < 2 or len(scores) < 2:
            continue
        first, second, *_ = scores
        bests = ", ".join(f"`{name}` by seed {seed}" for seed, name in scores.idxmax().items())
        pairs = list(combinations(scores.index, 2))
        turned = sum(_turned(scores.loc[one] - scores.loc[other], first, second) for one, other in pairs)
        apart = scores.max(axis="columns") - scores.min(axis="columns")
        lines.append(
            f"- `{study}`: the best is {bests}. Seeds {first} and {second} disagree on the better model in "
            f"{turned} of {len(pairs)} pairs. The seed alone moves `{apart.idxmax()}` by "
            f"{percent(apart.max())} points."
        )
    lines.append(
        f"- With all seeds, {results.statistics['decided']} of the {results.statistics['pairs']} pairs of models "
        f"can be told apart, and any of {listed(results.unbeaten['variant'].tolist(), 5)} may be the best."
    )
    return _block("\n".join(lines), markdown.picture("accuracy.png", FOLDER))


def _turned(difference: pd.Series, first: int, second: int) -> bool:
    """Return whether two models stand in another order by one seed than by another one."""
    return bool(difference[first] * difference[second] < 0)


def validation(results: Results) -> str:
    """Return what the best epoch on the test images adds, and the validation curves."""
    lines = [line for study in results.params.studies for line in published.validated_on_test(results, study)]
    return _block(" ".join(lines), markdown.picture("curves.png", FOLDER))


def headings(results: Results) -> str:
    """Return which layers are promised and lacking, and those that are trained."""
    rows = [
        {"variant": f"`{row['variant']}`", "layers": results.params.variant(row["study"], row["variant"]).describe()}
        for _, row in results.studied.iterrows()
        if row["variant"] in PROMISED and pd.notna(row["published"])
    ]
    return _block(*published.promised_layers(results), markdown.table(rows))


def closing_table(results: Results) -> str:
    """Return where the first notebook's closing table differs from its runs."""
    return _block(*(markdown.closing_table(results) if results.published is not None else []))


def _block(*parts: str) -> str:
    """Return the parts that say something, or the line that these results don't show it."""
    shown = [part for part in parts if part]
    return "\n\n".join(shown) or "The results in reports/ don't show this: they lack the notebooks' study or images."
