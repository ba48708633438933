"""What evaluate wrote to reports/, read and checked; which models are identical, and which may be the best.

Both reports, comparison.md and comparison.html, are made from these and nothing else, so that they can't disagree.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mnist_mlp import UserError, config, files, scoring
from mnist_mlp.config import Params

REPORTS = Path("reports")
COMPARABLE = "mnist"  # the data set that the published figures are of
ALPHA = 0.05  # beyond doubt: the chance of any wrong verdict among those made together
PARTS = ("train_accuracy", "test_accuracy", "summary_train_accuracy", "summary_test_accuracy")


@dataclass(frozen=True)
class Findings:
    """table: a row a variant, the candidate last: variants.csv, the means over seeds of test_loss, train_accuracy and
    parameters, and, where it is of MNIST itself, the published test accuracy as `published`, else missing."""

    params: Params
    table: pd.DataFrame
    results: pd.DataFrame
    history: pd.DataFrame
    metrics: dict
    published: pd.DataFrame | None
    pairs: pd.DataFrame
    effects: pd.DataFrame
    statistics: dict
    calibration: pd.DataFrame
    confusion: pd.DataFrame
    hardest: dict

    @property
    def candidate(self) -> pd.Series:
        return self.table.iloc[-1]

    @property
    def studied(self) -> pd.DataFrame:
        return self.table.iloc[:-1]

    @property
    def best(self) -> pd.Series:
        """The studies' best variant by its mean, the first of equals."""
        return self.studied.loc[self.studied["rank"].idxmin()]

    @property
    def unbeaten(self) -> pd.DataFrame:
        """The studies' distinct models that may be the best: with 95 %, the true best is among them.

        One is out where another is better, one-sided at 5 % divided by the number of others (Gupta 1965)."""
        pairs = self.pairs[(self.pairs[["study", "other_study"]] != "candidate").all(axis=1)]
        first, second = (pairs[f"{which}study"] + "/" + pairs[f"{which}variant"] for which in ("", "other_"))
        distinct = self.studied[self.studied["identical_to"].isna()]
        beyond = (pairs["p"] / 2 * (len(distinct) - 1) < ALPHA) & pairs["low"].notna()
        losers = first.where(pairs["difference"] < 0, second)[beyond]
        may = distinct[~(distinct["study"] + "/" + distinct["variant"]).isin(losers)]
        return may.sort_values("rank", kind="stable")

    def names(self, verdict: str) -> list[str]:
        """The variants with this verdict of their duel with the candidate, the best first."""
        return self.studied[self.studied["verdict"] == verdict].sort_values("rank", kind="stable")["variant"].tolist()


def read(params: Params) -> Findings:
    """Raises UserError where reports/ lacks a file, or was made with another params.yaml."""
    who = ["study", "variant"]
    metrics = files.read_json(REPORTS / "metrics.json", "dataset", "test_images", "rank", "rank_best", "rank_worst")
    results = files.read_table(REPORTS / "results.csv", [*who, "seed", *scoring.METRICS, "parameters"])
    columns = ["replicates", "test_accuracy", "test_accuracy_sd", "rank", "identical_to", "error_images", "error_seeds",
               "low", "high", "run_low", "run_high", "rank_low", "rank_high", "better", "worse", "verdict"]  # fmt: skip
    table = files.read_table(REPORTS / "variants.csv", [*who, *columns])
    expected = [(variant.study, variant.name, seed) for variant in params.variants for seed in variant.seeds]
    if list(results[[*who, "seed"]].itertuples(index=False, name=None)) != expected:
        raise UserError(f"{REPORTS / 'results.csv'}: other variants or seeds than params.yaml's; run `dvc repro`")
    means = results.groupby(who)[["test_loss", "train_accuracy", "parameters"]].mean()
    table, published = table.join(means, on=who).assign(published=np.nan), None
    if metrics["dataset"] == COMPARABLE:
        path = REPORTS / "published.csv"
        if not path.exists():
            raise UserError(f"{path}: not found; it belongs to the repository: run `git checkout {path}`")
        published = files.read_table(path, [*who, *PARTS])
        then = published.set_index(who)["test_accuracy"].rename("published")
        table = table.drop(columns="published").join(then, on=who)
    others = {
        "history": [*who, "seed", "epoch", *scoring.CURVES],
        "pairs": [*who, "other_study", "other_variant", "difference", "low", "high", "p", "p_holm", "verdict"],
        "effects": ["factor", "level", "reference", "within", "difference", "low", "high", "p", "p_holm"],
        "calibration": [*who, "bin", "count", "confidence", "accuracy"],
        "confusion": [*who, "true", "predicted", "count"],
    }
    read = {name: files.read_table(REPORTS / f"{name}.csv", columns) for name, columns in others.items()}
    read["statistics"] = files.read_json(REPORTS / "statistics.json", "models", "pairs", "joint_p", "studies")
    read["hardest"] = files.read_json(REPORTS / "hardest.json", "runs", "digits")
    return Findings(params, table, results, metrics=metrics, published=published, **read)


def warning(findings: Findings) -> str | None:
    if findings.published is not None:
        return None
    name = findings.metrics["dataset"]
    what = "ONLY A SAMPLE OF MNIST" if name == config.SAMPLE else "NOT MNIST"
    return f"{what}: these results are of `{name}`, and no published figure compares with them."


def identical(findings: Findings) -> Iterator[tuple[pd.DataFrame, str]]:
    """Each group of variants that are one model, the first one first, and the reason."""
    table = findings.table
    own = table["study"] + "/" + table["variant"]
    for first in table["identical_to"].dropna().unique():
        group = table[(own == first) | (table["identical_to"] == first)]
        bare = [_without_input_penalties(findings.params.variant(*key))
                for key in zip(group["study"], group["variant"], strict=True)]  # fmt: skip
        alike = all(parameters == bare[0] for parameters in bare)
        reason = "they differ in a penalty on the input, which no weight changes: it has no gradient"
        yield group, reason if alike else "they are trained alike"


def _without_input_penalties(variant: config.Variant) -> dict:
    parameters = variant.parameters()
    kept = [
        layer for layer in parameters["layers"] if not (isinstance(layer, dict) and next(iter(layer)).startswith("act"))
    ]
    return parameters | {"layers": [layer for layer in kept if layer != "flatten"]}


def grid(findings: Findings) -> pd.DataFrame:
    """Mean test accuracy of each technique (down, the best first, so that twins are neighbours) and activation."""
    table = findings.studied[findings.studied["study"] == "techniques"].set_index("variant")
    activations = [findings.params.techniques.variants[name].activation for name in table.index]
    techniques = [
        name.removesuffix(f"-{activation}") for name, activation in zip(table.index, activations, strict=True)
    ]
    table = table.assign(technique=techniques, activation=activations)
    grid = table.pivot(index="technique", columns="activation", values="test_accuracy")[
        list(dict.fromkeys(activations))
    ]
    grid = grid.loc[list(dict.fromkeys(techniques))]
    return grid.loc[grid.mean(axis=1).round(9).sort_values(ascending=False, kind="stable").index]
