"""What can be said of the variants beyond chance: intervals, ranks, all pairs, the candidate's duels.

Variants whose probabilities are the same to the bit, seed by seed, are one model: it is estimated once, no pair of them
is tested, and what is counted, a place or how many it beats, is counted over distinct models.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mnist_mlp.evaluation import statistics
from mnist_mlp.evaluation.predictions import Predictions
from mnist_mlp.evaluation.statistics import ALPHA

SEEDS = (2, 4, 10)
RATIO = 6  # of a model's sd over seeds to the others', that Bartlett's test should notice


@dataclass(frozen=True)
class Comparison:
    """The variants and the distinct models that they are.

    predictions: one per variant, the candidate last. labels: uint8 [n_test]. model: which of the K distinct models each
    variant is, [V]. studies: those of the estimates' pools, in their order."""

    predictions: list[Predictions]
    labels: np.ndarray
    model: np.ndarray
    estimates: statistics.Estimates
    studies: list[str]

    @cached_property
    def first(self) -> np.ndarray:
        """The first variant of each model: [K]."""
        return np.unique(self.model, return_index=True)[1]

    @property
    def studied(self) -> np.ndarray:
        """The models that the studies have, all but a candidate's own; the candidate's where there is no study."""
        return np.unique(self.model[:-1] if len(self.model) > 1 else self.model)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """All pairs of distinct models: their indices, the difference, its chance, the verdict.

        difference: of mean test accuracies, the first less the second; its standard errors by images and by seeds; the
        95 % interval of this pair alone; p of no difference, and Holm's over all pairs; verdict: `better`, `worse`
        (the first, p_holm < 0.05) or `undecided`; seeds_needed: how many seeds each would decide it among all pairs,
        with 80 % power and if it is as large as it looks, missing where 100 aren't enough. Where the seeds' variance is
        unknown there are no interval and no verdict, and p, of two models of one seed each, is McNemar's: of these two
        runs alone.
        """
        index = statistics.pair_index(len(self.estimates.accuracy))
        contrasts = statistics.differences(self.estimates, index)
        single = np.isnan(contrasts.error) & (self.estimates.replicates[index] == 1).all(axis=1)
        p = contrasts.p
        p[single] = statistics.mcnemar(self.estimates, index[single])
        table = _table(contrasts).assign(p=p, p_holm=statistics.holm(p))
        decided = (table["p_holm"] < ALPHA) & ~single
        words = np.where(table["difference"] > 0, "better", "worse")
        columns = {"first": index[:, 0], "second": index[:, 1]}
        needed = statistics.seeds_needed_by_pairs(self.estimates, index, len(index))
        return (
            pd.DataFrame(columns)
            .join(table)
            .assign(verdict=np.where(decided, words, "undecided"), seeds_needed=pd.array(needed, dtype="Int64"))
        )


def compare(predictions: list[Predictions], labels: np.ndarray) -> Comparison:
    """Estimate every distinct model once. predictions: the candidate's are the last; labels: uint8 [n_test]."""
    models = {fingerprint: i for i, fingerprint in enumerate(dict.fromkeys(one.fingerprint for one in predictions))}
    model = np.array([models[one.fingerprint] for one in predictions])
    distinct = [predictions[i] for i in np.unique(model, return_index=True)[1]]
    studies = list(dict.fromkeys(one.variant.study for one in predictions[:-1]))
    pool = [studies.index(one.variant.study) if one.variant.study in studies else None for one in distinct]
    hits, seeds = [one.predicted == labels for one in distinct], [list(one.variant.seeds) for one in distinct]
    estimates = statistics.estimate(hits, pool, len(studies), seeds)
    return Comparison(predictions, labels, model, estimates, studies)


def variants(comparison: Comparison, bins: pd.DataFrame) -> pd.DataFrame:
    """Return one row per variant: its accuracy on the test images and how sure that is, its twin, its duel.

    bins: of `tables.calibration`. Columns: replicates; test_accuracy (their mean) and test_accuracy_sd (ddof 1; missing
    for one); rank (among the distinct models, 1 is best, ties share the better); identical_to (the first variant whose
    probabilities are the same to the bit, seed by seed); error_images, error_seeds, low, high (standard errors of
    test_accuracy by each source of chance, its 95 % interval over both); run_sd (the sd over seeds of one run's
    accuracy that these reckon with); run_low, run_high (the 95 % interval for one more run, of a new seed on the same
    images); rank_low, rank_high (95 % of its places over draws of images and seeds); beats, beaten_by (how many
    distinct models are significantly worse, better, among all pairs); behind, behind_low, behind_high (its accuracy
    less the best other one's among the studies' models, with simultaneous 95 % intervals, of `statistics.shortfalls`:
    it may be the best where they reach above 0); calibration_error (the expected calibration error: the bins' mean
    distance of confidence and accuracy); and the columns of `duels`.
    """
    predictions, model, estimates = comparison.predictions, comparison.model, comparison.estimates
    scores = [one.outputs.finals["test_accuracy"].to_numpy() for one in predictions]
    table = pd.DataFrame([one.key for one in predictions])
    table["replicates"] = [len(score) for score in scores]
    table["test_accuracy"] = [round(one.outputs.means["test_accuracy"], 9) for one in predictions]  # ties are ties
    table["test_accuracy_sd"] = [score.std(ddof=1) if len(score) > 1 else np.nan for score in scores]
    distinct = table["test_accuracy"].iloc[comparison.first]
    table["rank"] = [1 + int((distinct > accuracy).sum()) for accuracy in table["test_accuracy"]]
    names = table["study"] + "/" + table["variant"]
    first = comparison.first[model]
    table["identical_to"] = names.iloc[first].where(first != np.arange(len(first)), None).to_numpy()

    single = _table(statistics.contrasts(estimates, np.eye(len(estimates.accuracy))))
    for column in ("error_images", "error_seeds", "low", "high"):
        table[column] = single[column].to_numpy()[model]
    freedom = estimates.freedom[estimates.pool]
    table["run_sd"] = np.sqrt(estimates.run)[model]
    another = statistics.quantile(freedom) * np.sqrt(estimates.run * (1 + 1 / estimates.replicates))
    table["run_low"], table["run_high"] = ((estimates.accuracy + sign * another)[model] for sign in (-1, 1))
    places = statistics.rank_intervals(estimates)[model]
    table["rank_low"], table["rank_high"] = (pd.array(column, dtype="Int64") for column in places.T)
    pairs, models = comparison.pairs, len(estimates.accuracy)
    better, worse = (pairs[pairs["verdict"] == verdict] for verdict in ("better", "worse"))
    for column, sides in (("beats", ("first", "second")), ("beaten_by", ("second", "first"))):
        won = np.concatenate([better[sides[0]], worse[sides[1]]])
        table[column] = np.bincount(won, minlength=models)[model]
    studied = comparison.studied
    for column, values in zip(
        ("behind", "behind_low", "behind_high"), statistics.shortfalls(estimates.chosen(studied)), strict=True
    ):
        table[column] = pd.Series(values, studied).reindex(model).to_numpy()
    table["calibration_error"] = _calibration_errors(bins).reindex(names).to_numpy()
    return table.join(duels(comparison))


def duels(comparison: Comparison) -> pd.DataFrame:
    """Return the candidate's duels: whether it gets more images right than each variant, whatever the seed.

    One row per variant; that of the candidate itself, the last, is missing. difference: the candidate's mean test
    accuracy less the variant's. standard_error. p: two-sided, Holm-corrected over these duels alone, since they are
    what a candidate is tried for. verdict: `beats`, `loses` (p < 0.05), `undecided`, or `identical` (the same
    probabilities to the bit, no duel).
    """
    others, own = comparison.model[:-1], comparison.model[-1]
    models = len(comparison.estimates.accuracy)
    contrasts = statistics.contrasts(comparison.estimates, np.eye(models)[own] - np.eye(models))
    p = np.full(models, np.nan)
    rivals = np.arange(models) != own
    p[rivals] = statistics.holm(contrasts.p[rivals])
    columns = {"difference": contrasts.value, "standard_error": np.where(rivals, contrasts.error, np.nan), "p": p}
    table = pd.DataFrame(columns).iloc[others].reset_index(drop=True)
    table["verdict"] = np.select(
        [others == own, ~(table["p"] < ALPHA), table["difference"] > 0], ["identical", "undecided", "beats"], "loses"
    )
    return table


def named_pairs(comparison: Comparison) -> pd.DataFrame:
    """Return Comparison.pairs with each model by the name of its first variant."""
    names = pd.DataFrame([comparison.predictions[i].key for i in comparison.first])
    columns = {}
    for which, prefix in (("first", ""), ("second", "other_")):
        for key in ("study", "variant"):
            columns[prefix + key] = names[key].to_numpy()[comparison.pairs[which]]
    return pd.DataFrame(columns).join(comparison.pairs.drop(columns=["first", "second"]))


def summary(comparison: Comparison, joint: dict[str, dict[str, tuple[float, float]]]) -> dict[str, Any]:
    """Return what no table holds: the best's accuracy, chosen and scored apart; what the effects of a factor are at
    once, how fair it is to pool the seeds' variance, and what this many seeds can show.

    joint: by study, of all effects of a factor, p and what it could have seen. smallest: by number of seeds, the
    smallest difference between two typical models of the study that is found with 80 % power, for a pair picked in
    advance and for all pairs. A study whose models all count in an earlier study has no numbers of its own: they are
    null, and its models are 0."""
    estimates, pairs, studies = comparison.estimates, comparison.pairs, {}
    for i, study in enumerate(comparison.studies):
        members = estimates.pool == i
        alike, unscaled = statistics.homogeneity(estimates, i)
        now = [int(np.median(estimates.replicates[members]))] if members.any() else []
        seeds = sorted({*SEEDS, *now} - {1})
        numbers = {
            "models": int(members.sum()),
            "freedom": int(estimates.freedom[i]),
            "dispersion": float(estimates.dispersion[i]),
            "run_sd": float(np.median(np.sqrt(estimates.run[members]))) if members.any() else np.nan,
            "bartlett_p": alike,
            "bartlett_p_unscaled": unscaled,
            "bartlett_power": statistics.bartlett_power(estimates, i, RATIO),
        }
        smallest = {
            str(number): {
                "one_pair": statistics.smallest_difference(estimates, i, number),
                "all_pairs": statistics.smallest_difference(estimates, i, number, len(pairs)),
            }
            for number in seeds
        }
        studies[study] = _rounded(numbers) | {"smallest": {key: _rounded(row) for key, row in smallest.items()}}
    decided = int((pairs["verdict"] != "undecided").sum())
    studied = [comparison.predictions[i].predicted == comparison.labels for i in comparison.first[comparison.studied]]
    numbers = {"models": len(estimates.accuracy), "pairs": len(pairs), "decided": decided}
    return numbers | {
        "best_apart": round(statistics.chosen_apart(studied), 6),
        "joint": {
            study: {what: _rounded({"p": p, "visible": visible}) for what, (p, visible) in each.items()}
            for study, each in joint.items()
        },
        "studies": studies,
    }


def _calibration_errors(bins: pd.DataFrame) -> pd.Series:
    weighted = (bins["accuracy"] - bins["confidence"]).abs() * bins["count"]
    names = bins["study"] + "/" + bins["variant"]
    return weighted.groupby(names).sum() / bins["count"].groupby(names).sum()


def _table(contrasts: statistics.Contrasts) -> pd.DataFrame:
    low, high = contrasts.interval()
    columns = {"error_images": contrasts.error_images, "error_seeds": contrasts.error_seeds, "low": low, "high": high}
    return pd.DataFrame({"difference": contrasts.value} | columns)


def _rounded(numbers: dict[str, float]) -> dict[str, float | None]:
    return {key: round(value, 6) if value == value else None for key, value in numbers.items()}
