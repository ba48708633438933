"""What can be said of the variants beyond chance: intervals, ranks, all pairs, the candidate's duels, who may be best.

Variants whose probabilities are the same to the bit, seed by seed, are one model: it is estimated once, and no pair of
them is tested.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mnist_mlp import statistics
from mnist_mlp.scoring import Outcome

ALPHA = 1 - statistics.LEVEL  # the chance of any wrong verdict, among all pairs as among the candidate's duels
SEEDS = (2, 5, 10)


@dataclass(frozen=True)
class Inference:
    """outcomes: a row a variant, the candidate last; model: which of the K distinct models each is, [V]; studies: those
    of the estimates' pools, in their order."""

    outcomes: list[Outcome]
    model: np.ndarray
    estimates: statistics.Estimates
    studies: list[str]

    @cached_property
    def first(self) -> np.ndarray:
        """The first variant of each model: [K]."""
        return np.unique(self.model, return_index=True)[1]

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """All pairs of distinct models: their indices, the difference, its chance, its verdict.

        difference: of mean test accuracies, the first less the second; its standard errors by images and by seeds; the
        95 % interval of this pair alone; p of no difference, and Holm's over all pairs; verdict: `better`, `worse`
        (the first, p_holm < 0.05) or `undecided`. Where the seeds' variance is unknown there are no interval and no
        verdict, and p, of two models of one seed each, is McNemar's: of these two runs alone.
        """
        index, weights = statistics.pairs(len(self.estimates.accuracy))
        contrasts = statistics.contrasts(self.estimates, weights)
        single = np.isnan(contrasts.error) & (self.estimates.replicates[index] == 1).all(axis=1)
        p = contrasts.p
        p[single] = statistics.mcnemar(self.estimates, index[single])
        table = _table(contrasts).assign(p=p, p_holm=statistics.holm(p))
        decided = (table["p_holm"] < ALPHA) & ~single
        words = np.where(table["difference"] > 0, "better", "worse")
        columns = {"first": index[:, 0], "second": index[:, 1]}
        return pd.DataFrame(columns).join(table).assign(verdict=np.where(decided, words, "undecided"))


def infer(outcomes: list[Outcome], labels: np.ndarray) -> Inference:
    """outcomes: the candidate is the last one; labels: uint8 [n_test]."""
    models = {fingerprint: i for i, fingerprint in enumerate(dict.fromkeys(o.fingerprint for o in outcomes))}
    model = np.array([models[outcome.fingerprint] for outcome in outcomes])
    distinct = [outcomes[i] for i in np.unique(model, return_index=True)[1]]
    studies = list(dict.fromkeys(outcome.variant.study for outcome in outcomes[:-1]))
    pool = [studies.index(o.variant.study) if o.variant.study in studies else None for o in distinct]
    estimates = statistics.estimate([outcome.predicted == labels for outcome in distinct], pool)
    return Inference(outcomes, model, estimates, studies)


def variants(inference: Inference) -> pd.DataFrame:
    """A row a variant: how it does on the test images and how sure that is, which model it is identical to, its duel.

    replicates; test_accuracy (their mean) and test_accuracy_sd (ddof 1; missing for one); rank (1 is best, ties share
    the better); identical_to (the first variant whose probabilities are the same to the bit, seed by seed);
    error_images, error_seeds, low, high (standard errors of test_accuracy by each source of chance, its 95 % interval
    over both); run_sd (the sd over seeds of one run's accuracy that these reckon with); run_low, run_high (the 95 %
    interval for one more run, of a new seed on the same images); rank_low, rank_high (95 % of its places over draws of
    images and seeds); better, worse (how many variants are so beyond doubt, among all pairs); and the columns of
    `duels`.
    """
    outcomes, model, estimates = inference.outcomes, inference.model, inference.estimates
    scores = [np.array([row["test_accuracy"] for row in outcome.replicates]) for outcome in outcomes]
    table = pd.DataFrame([outcome.key for outcome in outcomes])
    table["replicates"] = [len(score) for score in scores]
    table["test_accuracy"] = [round(score.mean(), 9) for score in scores]  # so that ties are ties
    table["test_accuracy_sd"] = [score.std(ddof=1) if len(score) > 1 else np.nan for score in scores]
    table["rank"] = table["test_accuracy"].rank(ascending=False, method="min").astype(int)
    names = table["study"] + "/" + table["variant"]
    first = inference.first[model]
    table["identical_to"] = names.iloc[first].where(first != np.arange(len(first)), None).to_numpy()

    single = _table(statistics.contrasts(estimates, np.eye(len(estimates.accuracy))))
    for column in ("error_images", "error_seeds", "low", "high"):
        table[column] = single[column].to_numpy()[model]
    freedom = estimates.freedom[estimates.pool]
    table["run_sd"] = np.sqrt(estimates.run)[model]
    another = statistics.quantile(freedom) * np.sqrt(estimates.run * (1 + 1 / estimates.replicates))
    table["run_low"], table["run_high"] = ((estimates.accuracy + sign * another)[model] for sign in (-1, 1))
    copies = np.bincount(model)
    places = statistics.rank_intervals(estimates, copies)[model]
    table["rank_low"], table["rank_high"] = (pd.array(column, dtype="Int64") for column in places.T)
    better, worse = np.zeros(len(copies), int), np.zeros(len(copies), int)
    pairs = inference.pairs
    for verdict, winner, loser in (("better", "first", "second"), ("worse", "second", "first")):
        won = pairs[pairs["verdict"] == verdict]
        np.add.at(better, won[loser], copies[won[winner]])
        np.add.at(worse, won[winner], copies[won[loser]])
    table["better"], table["worse"] = better[model], worse[model]
    return table.join(duels(inference))


def duels(inference: Inference) -> pd.DataFrame:
    """The candidate (the last outcome) against each variant: does it know more of MNIST's digits, whatever the seed?

    A row an outcome, none for the candidate itself. difference: candidate's mean test accuracy less the variant's;
    standard_error; p: two-sided, Holm-corrected over these duels alone, since they are what a candidate is tried for;
    verdict: `beats`, `loses` (p < 0.05), `undecided`, or `identical` (the same probabilities to the bit, no duel).
    """
    *others, own = inference.model
    others, models = np.array(others), len(inference.estimates.accuracy)
    contrasts = statistics.contrasts(inference.estimates, np.eye(models)[own] - np.eye(models))
    p = np.full(models, np.nan)
    rivals = np.arange(models) != own
    p[rivals] = statistics.holm(contrasts.p[rivals])
    columns = {"difference": contrasts.value, "standard_error": np.where(rivals, contrasts.error, np.nan), "p": p}
    table = pd.DataFrame(columns).iloc[others].reset_index(drop=True)
    table["verdict"] = np.select(
        [others == own, ~(table["p"] < ALPHA), table["difference"] > 0], ["identical", "undecided", "beats"], "loses"
    )
    return table


def named_pairs(inference: Inference) -> pd.DataFrame:
    """Inference.pairs, each model by the name of its first variant."""
    names = pd.DataFrame([inference.outcomes[i].key for i in inference.first])
    columns = {}
    for which, prefix in (("first", ""), ("second", "other_")):
        for key in ("study", "variant"):
            columns[prefix + key] = names[key].to_numpy()[inference.pairs[which]]
    return pd.DataFrame(columns).join(inference.pairs.drop(columns=["first", "second"]))


def summary(inference: Inference, joint: dict[str, float]) -> dict:
    """What no table holds: how fair it is to pool the seeds' variance, and what this many seeds can show.

    joint: the p of a study's effects. smallest: by number of seeds, the smallest difference between two typical models
    of the study that counts, for a pair picked in advance and for all pairs."""
    estimates, pairs, studies = inference.estimates, inference.pairs, {}
    for i, study in enumerate(inference.studies):
        members = estimates.pool == i
        alike, unscaled = statistics.homogeneity(estimates, i)
        seeds = sorted({*SEEDS, int(np.median(estimates.replicates[members]))} - {1})
        numbers = {
            "models": int(members.sum()),
            "freedom": int(estimates.freedom[i]),
            "dispersion": float(estimates.dispersion[i]),
            "run_sd": float(np.median(np.sqrt(estimates.run[members]))),
            "bartlett_p": alike,
            "bartlett_p_unscaled": unscaled,
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
    numbers = {"models": len(estimates.accuracy), "pairs": len(pairs), "decided": decided}
    return numbers | {"joint_p": _rounded(joint), "studies": studies}


def _table(contrasts: statistics.Contrasts) -> pd.DataFrame:
    low, high = contrasts.interval()
    columns = {"error_images": contrasts.error_images, "error_seeds": contrasts.error_seeds, "low": low, "high": high}
    return pd.DataFrame({"difference": contrasts.value} | columns)


def _rounded(numbers: dict[str, float]) -> dict[str, float | None]:
    return {key: round(value, 6) if value == value else None for key, value in numbers.items()}
