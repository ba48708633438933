"""What evaluate wrote to reports/, read and checked: all that comparison.md and comparison.html are made from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mnist_mlp import files, paths
from mnist_mlp.config import Params, Variant
from mnist_mlp.config.choices import SAMPLE
from mnist_mlp.config.layers import ActivityL1, Flatten
from mnist_mlp.config.params import CANDIDATE
from mnist_mlp.errors import UserError
from mnist_mlp.evaluation import effects, tables
from mnist_mlp.report import notebooks
from mnist_mlp.training.outputs import CURVES, METRICS

THEN = ["published", "published_loss"]  # published test accuracy and loss


@dataclass(frozen=True)
class Results:
    """The reports as tables.

    table: one row per variant, the candidate last: variants.csv, the means over seeds of test_loss, train_accuracy and
    parameters, and the published test accuracy and loss as `published` and `published_loss`. published: the notebooks'
    figures of the variants that are still what the notebooks ran, or None unless the data set is theirs; changed: by
    study and variant, the keys in which the others differ. The others are named as their files; replicates is
    results.csv."""

    params: Params
    table: pd.DataFrame
    replicates: pd.DataFrame
    history: pd.DataFrame
    metrics: dict[str, Any]
    published: pd.DataFrame | None
    changed: dict[tuple[str, str], list[str]]
    pairs: pd.DataFrame
    effects: pd.DataFrame
    statistics: dict[str, Any]
    calibration: pd.DataFrame
    confusion: pd.DataFrame
    hardest: dict[str, Any]

    @property
    def candidate(self) -> pd.Series:
        return self.table.iloc[-1]

    @property
    def studied(self) -> pd.DataFrame:
        return self.table.iloc[:-1]

    @property
    def best(self) -> pd.Series:
        """The studies' best variant by its mean, the first of equals; the candidate without a study."""
        ranked = self.table if self.studied.empty else self.studied
        return ranked.loc[ranked["rank"].idxmin()]

    @property
    def distinct(self) -> pd.DataFrame:
        """The studies' distinct models, each by its first variant, the best first."""
        return self.studied[self.studied["identical_to"].isna()].sort_values("rank", kind="stable")

    @property
    def unbeaten(self) -> pd.DataFrame:
        """The distinct models that may be the best: with 95 %, the true best is among them."""
        return self.distinct[~(self.distinct["behind_high"] <= 0)]

    def names(self, verdict: str) -> list[str]:
        """Return the distinct models with this verdict of their duel with the candidate, the best first; `identical`:
        all variants."""
        rows = self.studied.sort_values("rank", kind="stable") if verdict == "identical" else self.distinct
        return rows[rows["verdict"] == verdict]["variant"].tolist()


def read(params: Params, reports: Path = paths.REPORTS, published_path: Path = paths.PUBLISHED) -> Results:
    """Return the results. Raises UserError if a file is missing, or if they were made with another params.yaml."""
    who = ["study", "variant"]
    metrics = files.read_json(
        reports / "metrics.json", "dataset", "test_images", "distinct_models", "rank", "rank_best", "rank_worst"
    )
    replicates = files.read_table(reports / "results.csv", [*who, "seed", *METRICS, "parameters"])
    columns = ["replicates", "test_accuracy", "test_accuracy_sd", "rank", "identical_to", "error_images", "error_seeds",
               "low", "high", "run_sd", "run_low", "run_high", "rank_low", "rank_high", "beats", "beaten_by", "behind",
               "behind_low", "behind_high", "calibration_error", "verdict"]  # fmt: skip
    table = files.read_table(reports / "variants.csv", [*who, *columns])
    expected = [(variant.study, variant.name, seed) for variant in params.variants for seed in variant.seeds]
    if list(replicates[[*who, "seed"]].itertuples(index=False, name=None)) != expected:
        raise UserError(f"{reports / 'results.csv'}: other variants or seeds than params.yaml's; run `dvc repro`")
    means = replicates.groupby(who)[["test_loss", "train_accuracy", "parameters"]].mean()
    table, published = table.join(means, on=who).assign(published=np.nan, published_loss=np.nan), None
    definitions = published_path.with_name(paths.NOTEBOOKS.name)
    changed = {key: keys for key, keys in notebooks.changed(params, definitions).items() if keys}
    if notebooks.same_data(params, metrics["dataset"], definitions):
        published = notebooks.figures(published_path)
        kept = [key not in changed for key in zip(published["study"], published["variant"], strict=True)]
        published = published.loc[kept]
        then = published.set_index(who)[["test_accuracy", "test_loss"]].set_axis(THEN, axis="columns")
        table = table.drop(columns=THEN).join(then, on=who)
    others = {
        "history": [*who, "seed", "epoch", *CURVES],
        "pairs": [
            *who,
            "other_study",
            "other_variant",
            "difference",
            "low",
            "high",
            "p",
            "p_holm",
            "verdict",
            "seeds_needed",
        ],
        "effects": [*effects.COLUMNS, *effects.ESTIMATES],
        "calibration": [*who, "bin", "count", "confidence", "accuracy", "low", "high"],
        "confusion": [*who, "true", "predicted", "count"],
    }
    read: dict[str, Any] = {
        name: files.read_table(reports / f"{name}.csv", columns) for name, columns in others.items()
    }
    read["statistics"] = files.read_json(
        reports / "statistics.json", "models", "pairs", "best_apart", "joint", "studies"
    )
    read["hardest"] = files.read_json(reports / "hardest.json", "runs", "height", "width", "images")
    return Results(params, table, replicates, metrics=metrics, published=published, changed=changed, **read)


def warning(results: Results) -> str | None:
    """Return the line that says that the data set isn't MNIST, or None."""
    if results.published is not None:
        return None
    name = results.metrics["dataset"]
    what = "ONLY A SAMPLE OF MNIST" if name == SAMPLE else "NOT THE NOTEBOOKS' MNIST"
    return f"{what}: these results are of `{name}`, and no published figure compares with them."


def identical(results: Results) -> Iterator[tuple[pd.DataFrame, str]]:
    """Yield each group of variants that are one model, the first one first, and the reason."""
    table = results.table
    own = table["study"] + "/" + table["variant"]
    for first in table["identical_to"].dropna().unique():
        group = table[(own == first) | (table["identical_to"] == first)]
        bare = [_without_input_penalties(results.params.variant(*key))
                for key in zip(group["study"], group["variant"], strict=True)]  # fmt: skip
        alike = all(parameters == bare[0] for parameters in bare)
        reason = "only a penalty on the input differs: no weight changes the input, so the penalty has no gradient"
        yield group, reason if alike else "they are trained alike"


def _without_input_penalties(variant: Variant) -> dict[str, Any]:
    """Return a variant's parameters without what changes no weight: activity penalties and `flatten`."""
    kept = [layer.spell() for layer in variant.layers if not isinstance(layer, ActivityL1 | Flatten)]
    return variant.parameters() | {"layers": kept}


def grids(results: Results) -> dict[str, pd.DataFrame]:
    """Return, by study with two factors or more, mean test accuracy by the first (the best level first; levels that are
    one model are one, `none = l1`) and the second. The first includes the reference that another study lends."""
    table = results.table.set_index(["study", "variant"])
    accuracy = table["test_accuracy"]
    models = table["identical_to"].fillna(pd.Series(table.index.map("/".join), table.index))
    found = {}
    for study, body in results.params.studies.items():
        if len(body.factors) < 2:
            continue
        first, second, *_ = body.factors
        own = [variant for variant in results.params.variants if variant.study == study]
        cells = [(variant.levels[first], variant.levels[second], study, variant.name) for variant in own]
        if lent := effects.reference(results.params, study):
            other, level = lent
            names = {"-".join([level, *list(variant.levels.values())[1:]]): variant.levels[second] for variant in own}
            cells = [*((level, column, other, name) for name, column in names.items()), *cells]
        alike: dict[tuple[str, ...], list[str]] = {}
        for level in dict.fromkeys(cell[0] for cell in cells):
            alike.setdefault(tuple(models[cell[2:]] for cell in cells if cell[0] == level), []).append(level)
        called = {names[0]: " = ".join(names) for names in alike.values()}
        shown = [(called[row], column, accuracy[tuple(key)]) for row, column, *key in cells if row in called]
        means = pd.DataFrame(shown, columns=[first, second, "accuracy"]).pivot_table(
            index=first, columns=second, values="accuracy", sort=False
        )
        order = means.mean(axis=1).round(9).sort_values(ascending=False, kind="stable").index
        found[study] = means.loc[order, list(body.factors[second])]
    return found


def interactions(results: Results) -> dict[str, pd.DataFrame]:
    """Return, by study, the effects of its first factor with each level of the others: rows of effects.csv."""
    rows = results.effects[results.effects["within"].notna()]
    found = {study: rows[(rows["study"] == study) & (rows["factor"] == next(iter(body.factors), None))]
             for study, body in results.params.studies.items()}  # fmt: skip
    return {study: own for study, own in found.items() if not own.empty}


def across(results: Results, study: str) -> str:
    """Return what the levels are of that a study's first factor is seen with: its other factors."""
    return ", ".join(list(results.params.studies[study].factors)[1:])


def costs(results: Results) -> pd.DataFrame:
    """Return the distinct models and the candidate, the last: study, variant, test_accuracy, parameters, and work, the
    number of multiply-adds (one each parameter) that each training image costs over all epochs."""
    own = results.candidate.to_frame().T
    table = pd.concat([results.distinct, own])[["study", "variant", "test_accuracy", "parameters"]]
    keys = zip(table["study"], table["variant"], strict=True)
    epochs = [results.params.variant(*key).epochs for key in keys]
    return table.astype({"test_accuracy": float, "parameters": float}).assign(work=lambda t: t["parameters"] * epochs)


def best_curves(results: Results) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return the learning curves of the candidate and each study's best: label -> (study, history)."""
    best = tables.best(results.studied)
    histories = results.history.groupby(["study", "variant"])
    curves = {}
    for study, name in [(CANDIDATE, CANDIDATE), *zip(best["study"], best["variant"], strict=True)]:
        variant = results.params.variant(study, name)
        images = "test images" if variant.validation == "test" else "held-out training images"
        label = study if study == name else variant.label
        curves[f"{label} (validated on {images})"] = (study, histories.get_group((study, name)))
    return curves
