"""Accuracies, and what two sources of chance do to them: the seeds of a training and the images it is tested on.

A model's accuracy is estimated from replicates r (seeds), all scored on the same images i, right (1) or wrong (0).
Within a model that layout is crossed, so the variance of its mean accuracy is that of two-way random effects (as for
readers and cases in radiology: Gallas, "One-shot estimate of MRMC variance: AUC", 2006):

    variance = images + seeds,   images = C / n,   seeds = s^2 / R

C: the covariance over images of two runs of different seeds; s^2: the variance of a run's accuracy over seeds, which
holds what belongs to one seed and one image too. Models share the images, so C is a covariance matrix of them, and
whatever is asked of the models (an accuracy, a difference, an effect over a grid) is a contrast of it. Models share
seeds as well, and two runs of one seed err alike a little beyond what the images do (their first weights and the order
of the images are the same): only pairs of different seeds tell of the images. What they share by their seed counts as
if it were each one's own, which makes a difference look a little less sure than it is, never more.

A few seeds tell next to nothing about one model's s^2. It is pooled over the models of a study, as a multiple (the
dispersion) of the binomial variance p (1 - p) / n: a model with 13 % errors scatters more than one with 2 %, while
their dispersions are alike. A contrast whose own models' seeds scatter more than that keeps its own. What simulations
say of this rule and of others: docs/statistics.md.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtr, fdtrc, fdtri, ncfdtr, ndtr, ndtri, stdtr, stdtrit

LEVEL = 0.95
POWER = 0.8  # with which a difference that is called visible is found
MOST_SEEDS = 100  # that anybody would train
DECENTRED = 2.0 ** np.arange(11)  # noncentralities of F distributions; far beyond, they aren't numbers
ALPHA = 1 - LEVEL  # the chance of any wrong verdict among all pairs, and among the candidate's duels
DRAWS = 10_000
SEED = 0  # of every draw: the report is reproducible


@dataclass(frozen=True)
class Estimates:
    """K models. accuracy, own and pooled (the variance of a run's accuracy over seeds, of the model's own and by its
    pool), replicates, pool (an index): [K]. images: [K, K], the accuracies' covariance by the choice of images.

    dispersion (missing without replicates) and freedom: of each pool, the last one all of them together. runs: [K, n],
    1 where the first replicate is right.
    """

    accuracy: np.ndarray
    images: np.ndarray
    own: np.ndarray
    pooled: np.ndarray
    replicates: np.ndarray
    pool: np.ndarray
    dispersion: np.ndarray
    freedom: np.ndarray
    runs: np.ndarray

    @property
    def run(self) -> np.ndarray:
        """The variance of one run's accuracy over seeds that is reckoned with, missing where nothing is known: [K]."""
        return np.maximum(self.own, self.pooled)

    @property
    def binomial(self) -> np.ndarray:
        """The variance of a run's accuracy, were each image right or wrong by a toss of its own: [K]."""
        return self.accuracy * (1 - self.accuracy) / self.runs.shape[1]

    def chosen(self, models: np.ndarray) -> "Estimates":
        """Return the estimates of some of the models: their indices."""
        taken = {
            name: getattr(self, name)[models] for name in ("accuracy", "own", "pooled", "replicates", "pool", "runs")
        }
        return replace(self, images=self.images[np.ix_(models, models)], **taken)


@dataclass(frozen=True)
class Contrasts:
    """Weighted sums of accuracies, [Q] each: their values, standard errors by source of chance, degrees of freedom.

    Missing (nan) where a model's seeds are unknown."""

    value: np.ndarray
    error_images: np.ndarray
    error_seeds: np.ndarray
    freedom: np.ndarray

    @property
    def error(self) -> np.ndarray:
        return np.hypot(self.error_images, self.error_seeds)

    @property
    def p(self) -> np.ndarray:
        """Two-sided, of no difference."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where((self.value == 0) & (self.error == 0), 0.0, np.abs(self.value) / self.error)
        return 2 * stdtr(self.freedom, -t)

    def interval(self, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
        """Return the lower and the upper ends of the intervals."""
        half = quantile(self.freedom, level) * self.error
        return self.value - half, self.value + half


def estimate(
    hits: list[np.ndarray], study: list[int | None], number: int | None = None, seeds: list[list[int]] | None = None
) -> Estimates:
    """Estimate models from hits: a bool [replicates, n] for each, all of the same images; study: its pool, 0, 1, ...

    A model without study (None), the candidate, borrows from the pools together. number: of pools, if the last of them
    may be without a model. seeds: of each model's replicates, by default 0, 1, ..."""
    n = hits[0].shape[1]
    replicates = np.array([len(hit) for hit in hits])
    scores = [hit.mean(axis=1) for hit in hits]
    accuracy = np.array([score.mean() for score in scores])
    own = np.array([score.var(ddof=1) if len(score) > 1 else 0.0 for score in scores])
    images = _images(hits, seeds or [list(range(count)) for count in replicates])

    binomial = accuracy * (1 - accuracy) / n
    if number is None:
        number = max((s for s in study if s is not None), default=-1) + 1
    member = np.array([number if s is None else s for s in study])
    dispersion, freedom = np.full(number + 1, np.nan), np.zeros(number + 1, int)
    for s in range(number + 1):
        counted = (member == s if s < number else member < number) & (replicates > 1) & (binomial > 0)
        freedom[s] = (replicates[counted] - 1).sum()
        if freedom[s]:
            dispersion[s] = np.average(own[counted] / binomial[counted], weights=replicates[counted] - 1)
    pooled, runs = dispersion[member] * binomial, np.stack([hit[0] for hit in hits])
    return Estimates(accuracy, images, own, pooled, replicates, member, dispersion, freedom, runs)


def _images(hits: list[np.ndarray], seeds: list[list[int]]) -> np.ndarray:
    """Return the covariance of the models' accuracies by the choice of images, [K, K]: of pairs of runs of different
    seeds, or of the same one where two models have no other."""
    models, n = len(hits), hits[0].shape[1]
    total, same, alike = np.zeros((models, n)), np.zeros((models, models)), np.zeros((models, models))
    for seed in sorted({seed for own in seeds for seed in own}):
        here = [k for k in range(models) if seed in seeds[k]]
        runs = np.zeros((models, n))
        runs[here] = np.stack([hits[k][seeds[k].index(seed)] for k in here])
        runs[here] -= runs[here].mean(axis=1, keepdims=True)
        total += runs
        same += runs @ runs.T
        alike[np.ix_(here, here)] += 1
    replicates = np.array([len(own) for own in seeds])
    every, products = np.outer(replicates, replicates), total @ total.T
    apart = every - alike
    mean = np.where(apart > 0, (products - same) / np.maximum(apart, 1), products / every)
    return mean / max(n - 1, 1) / n


def contrasts(estimates: Estimates, weights: np.ndarray) -> Contrasts:
    """Return contrasts of the accuracies. weights: [Q, K].

    Degrees of freedom are Satterthwaite's, of the images and of each pool of seeds."""
    images = np.maximum(np.einsum("qk,qk->q", weights @ estimates.images, weights), 0)
    known, member = np.isfinite(estimates.pooled), estimates.pool[:, None] == np.arange(len(estimates.freedom))
    squares = weights**2 / estimates.replicates
    pooled = squares * np.where(known, estimates.pooled, 0) @ member  # [Q, pools]
    unknown = (weights[:, ~known] != 0).any(axis=1)
    return _made(estimates, weights @ estimates.accuracy, images, squares @ estimates.own, pooled, unknown)


def _made(
    estimates: Estimates,
    value: np.ndarray,
    images: np.ndarray,
    own: np.ndarray,
    pooled: np.ndarray,
    unknown: np.ndarray,
) -> Contrasts:
    """Return contrasts by their variances: by images, by their own models' seeds, by each pool's seeds, [Q, pools].

    unknown: whose seeds' variance is."""
    n, sums = estimates.runs.shape[1], pooled.sum(axis=1)
    seeds = np.maximum(own, sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(pooled > 0, (pooled / sums[:, None]) ** 2 / estimates.freedom, 0).sum(axis=1)
        freedom = (images + seeds) ** 2 / (images**2 / max(n - 1, 1) + seeds**2 * shares)
    errors = np.sqrt(images), np.where(unknown, np.nan, np.sqrt(seeds))
    return Contrasts(value, *errors, np.where(np.isfinite(freedom), freedom, np.inf))


def joint(estimates: Estimates, weights: np.ndarray) -> tuple[float, float]:
    """Return the p of Wald's F test that all of these contrasts are nothing, and what it could have seen.

    weights: [Q, K], linearly independent. The latter: how large one of them alone, a typical one, must be to be found
    with 80 % power. Both missing where the seeds are unknown."""
    involved = (weights != 0).any(axis=0)
    own, pooled = (np.where(involved, v / estimates.replicates, 0) for v in (estimates.own, estimates.pooled))
    if not pooled.sum() > 0 or not len(weights):
        return np.nan, np.nan
    seeds = pooled * max(own.sum() / pooled.sum(), 1.0)
    covariance, values = weights @ (estimates.images + np.diag(seeds)) @ weights.T, weights @ estimates.accuracy
    inverse = np.linalg.pinv(covariance, hermitian=True)
    number, freedom = len(weights), estimates.freedom[np.unique(estimates.pool[involved])].sum()
    p = fdtrc(number, freedom, max(values @ inverse @ values / number, 0.0))
    critical = fdtri(number, freedom, LEVEL)

    def missed(decentred: float) -> float:
        return float(ncfdtr(number, freedom, decentred, critical)) - (1 - POWER)

    found = next((bound for bound in DECENTRED if missed(bound) < 0), None)
    if found is None:
        return float(p), np.nan
    return float(p), float(np.sqrt(brentq(missed, 0.0, found) / np.median(np.diag(inverse))))


def pair_index(models: int) -> np.ndarray:
    """Return the pairs i < j of that many models: [P, 2]."""
    return np.column_stack(np.triu_indices(models, 1))


def pairs(models: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `pair_index`, and the same pairs as contrasts first less second, [P, models]: not of many models."""
    index = pair_index(models)
    weights = np.zeros((len(index), models))
    np.put_along_axis(weights, index, [[1.0, -1.0]], axis=1)
    return index, weights


def differences(estimates: Estimates, index: np.ndarray) -> Contrasts:
    """Return the contrasts first less second of pairs of models. index: [P, 2].

    As `contrasts` gives them, but without a row of K weights per pair: 1,000 models have 500,000 pairs."""
    (i, j), by_images = index.T, np.maximum(_pair_variances(estimates.images, index), 0)
    known, shares = np.isfinite(estimates.pooled), 1 / estimates.replicates
    pooled, own = shares * np.where(known, estimates.pooled, 0), shares * estimates.own
    by_pool = np.zeros((len(index), len(estimates.freedom)))
    for side in (i, j):
        by_pool[np.arange(len(index)), estimates.pool[side]] += pooled[side]
    return _made(estimates, estimates.accuracy[i] - estimates.accuracy[j], by_images, own[i] + own[j], by_pool,
                 ~(known[i] & known[j]))  # fmt: skip


def _pair_variances(covariance: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the variances of the differences of pairs: [P]. covariance: [K, K]; index: [P, 2]."""
    i, j = index.T
    return (covariance[i, i] - covariance[j, i]) - (covariance[i, j] - covariance[j, j])


def mcnemar(estimates: Estimates, index: np.ndarray) -> np.ndarray:
    """Return McNemar's exact p of pairs of models' first runs on the same images. index: [P, 2] -> [P]."""
    runs = estimates.runs.astype(np.float32)
    both, right = runs @ runs.T, runs.sum(axis=1)
    common = both[index[:, 0], index[:, 1]]
    one, other = right[index[:, 0]] - common, right[index[:, 1]] - common
    return np.minimum(2 * bdtr(np.minimum(one, other).astype(float), (one + other).astype(int), 0.5), 1.0)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values corrected by Holm (1979): the chance of any wrong rejection stays below the level.

    Missing values are no tests."""
    corrected, tested = np.full(len(p), np.nan), np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return corrected


def family(estimates: Estimates, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ends of simultaneous 95 % intervals of contrasts, and their p as one family: [Q] each.

    weights: [Q, K]. With 95 % all of the intervals hold the truth, and one holds 0 exactly if its p is 0.05 or more.
    By the distribution of the smallest p of 10,000 draws of contrasts that are correlated as these are. Missing values
    are no members."""
    made = contrasts(estimates, weights)
    low, high, p = (np.full(len(weights), np.nan) for _ in range(3))
    known = np.isfinite(made.p) & (made.error > 0)
    if not known.any():
        return low, high, p
    lines = weights[known]
    seeds = np.diag(np.where(np.isfinite(estimates.run), estimates.run, 0) / estimates.replicates)
    covariance = lines @ (estimates.images + seeds) @ lines.T
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    drawn = np.random.default_rng(SEED).standard_normal((DRAWS, len(lines))) @ _root(
        covariance / scale / scale[:, None]
    )
    spread = np.sqrt((drawn**2).mean(axis=0))  # 1, but for what is negative in the matrix
    smallest = np.sort(2 * ndtr(-np.abs(drawn / np.where(spread > 0, spread, 1.0)).max(axis=1)))
    critical = np.quantile(smallest, ALPHA, method="lower")
    half = stdtrit(np.minimum(made.freedom[known], 1e9), 1 - critical / 2) * made.error[known]
    low[known], high[known] = made.value[known] - half, made.value[known] + half
    p[known] = np.searchsorted(smallest, made.p[known], side="right") / DRAWS
    return low, high, p


def shortfalls(estimates: Estimates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each model's accuracy less the best other's, and the ends of that's simultaneous 95 % intervals: [K] each.

    Hsu's constrained intervals, each model's comparisons with all others by Bonferroni. With 95 %, the models whose
    interval reaches above 0 hold the true best among them (Gupta 1965). Missing where the seeds of any are unknown."""
    models = len(estimates.accuracy)
    value, low, high = (np.full(models, np.nan) for _ in range(3))
    if models < 2:
        return value, low, high
    index = pair_index(models)
    made = differences(estimates, index)
    difference, half = np.full((models, models), np.inf), np.full((models, models), np.inf)
    reach = quantile(made.freedom, 1 - 2 * ALPHA / (models - 1)) * made.error
    for sign, (one, other) in ((1, index.T), (-1, index.T[::-1])):
        difference[one, other], half[one, other] = sign * made.value, reach
    value = difference.min(axis=1)
    if np.isnan(made.error).any():
        return value, low, high
    high = np.maximum((difference + half).min(axis=1), 0.0)
    may = high > 0
    ahead = np.where(may, difference - np.where(np.isfinite(half), half, 0.0), np.inf).min(axis=1)
    return value, np.where(may & (may.sum() == 1), 0.0, np.minimum(ahead, 0.0)), high


def chosen_apart(hits: list[np.ndarray]) -> float:
    """Return the mean accuracy of the best model where it is chosen and scored apart, which flatters no one.

    It is chosen by half of each model's seeds on half of the images, and scored by the other seeds on the other
    images: the mean of the four ways to do so. A model of one seed is chosen and scored by that one. hits: as for
    `estimate`."""
    scores = []
    for images, seeds in product((0, 1), (0, 1)):
        own = [_half(hit, seeds)[:, images::2].mean() for hit in hits]
        scores.append(_half(hits[int(np.argmax(own))], 1 - seeds)[:, 1 - images :: 2].mean())
    return float(np.mean(scores))


def _half(hits: np.ndarray, which: int) -> np.ndarray:
    return hits[which::2] if len(hits) > 1 else hits


def rank_intervals(estimates: Estimates, level: float = LEVEL) -> np.ndarray:
    """Return the places that 95 % of 10,000 draws of images and seeds give each model, 1 the best: [K, 2].

    The images' part is drawn from the normal distribution that a bootstrap over thousands of them comes to; a seed's
    part has the tails of its pool's degrees of freedom. Missing where the seeds of any model are unknown.
    """
    models = len(estimates.accuracy)
    if not np.isfinite(estimates.run).all():
        return np.full((models, 2), np.nan)
    generator = np.random.default_rng(SEED)
    drawn = estimates.accuracy + generator.standard_normal((DRAWS, models)) @ _root(estimates.images)
    freedom = np.maximum(estimates.freedom, 1)
    tails = np.sqrt(freedom / generator.chisquare(freedom, (DRAWS, len(freedom))))
    drawn += (
        generator.standard_normal((DRAWS, models))
        * np.sqrt(estimates.run / estimates.replicates)
        * tails[:, estimates.pool]
    )
    places = (-drawn).argsort(axis=1).argsort(axis=1) + 1
    return np.quantile(places, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf").T


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return the matrix that gives independent normal draws, as rows, this covariance; what is negative is nothing."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))).T


def quantile(freedom: np.ndarray | float, level: float = LEVEL) -> np.ndarray:
    """Return how many standard errors an interval of this level reaches to either side."""
    return stdtrit(np.minimum(freedom, 1e9), (1 + level) / 2)


def visible(freedom: np.ndarray | float, error: np.ndarray | float, tests: int = 1) -> np.ndarray:
    """Return how large a difference of this standard error must be to be found with 80 % power.

    tests: how many are looked at (Bonferroni's bound, Holm's first step)."""
    return (quantile(freedom, 1 - ALPHA / max(tests, 1)) + stdtrit(np.minimum(freedom, 1e9), POWER)) * error


def smallest_difference(estimates: Estimates, pool: int, replicates: int, tests: int = 1) -> float:
    """Return the difference between two typical models of a pool that this many seeds each find with 80 % power.

    tests: how many differences are looked at."""
    members = np.flatnonzero(estimates.pool == pool)
    index = pair_index(len(members))
    freedom = len(members) * (replicates - 1)
    if not len(index) or not freedom or not np.isfinite(run := np.median(estimates.run[members])):
        return np.nan
    covariance = estimates.images[np.ix_(members, members)]
    images = max(float(np.median(_pair_variances(covariance, index))), 0.0)
    seeds = 2 * run / replicates
    satterthwaite = (images + seeds) ** 2 / (images**2 / (estimates.runs.shape[1] - 1) + seeds**2 / freedom)
    return float(visible(satterthwaite, np.sqrt(images + seeds), tests))


def seeds_needed(estimates: Estimates, weights: np.ndarray, tests: int = 1) -> np.ndarray:
    """Return how many seeds each would find contrasts, if they are as large as they look, with 80 % power: [Q].

    weights: [Q, K]; tests: how many are looked at. Missing where `MOST_SEEDS` don't, because of the images or else."""
    with np.errstate(invalid="ignore"):
        variance = np.where(weights != 0, weights**2 * _known_run(estimates), 0).sum(axis=1)
    return _seeds_needed(contrasts(estimates, weights), variance, (weights != 0).sum(axis=1), tests)


def seeds_needed_by_pairs(estimates: Estimates, index: np.ndarray, tests: int = 1) -> np.ndarray:
    """Return the same of pairs of models. index: [P, 2] -> [P]."""
    variance = _known_run(estimates)[index].sum(axis=1)
    return _seeds_needed(differences(estimates, index), variance, np.full(len(index), 2), tests)


def _known_run(estimates: Estimates) -> np.ndarray:
    """Return each model's variance of one run, infinite where it is unknown: [K]."""
    return np.where(np.isfinite(estimates.run), estimates.run, np.inf)


def _seeds_needed(made: Contrasts, variance: np.ndarray, models: np.ndarray, tests: int) -> np.ndarray:
    """Search the numbers of seeds. variance: by one seed each; models: how many each contrast is of."""
    found, (kinds, kind) = np.full(len(models), np.nan), np.unique(models, return_inverse=True)
    for replicates in range(MOST_SEEDS, 1, -1):
        error = np.sqrt(made.error_images**2 + variance / replicates)
        reach = visible(kinds * (replicates - 1), 1.0, tests)[kind]  # a quantile is slow, and has few kinds
        found[reach * error <= np.abs(made.value)] = replicates
    return found


def wilson(share: np.ndarray, number: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of Wilson's intervals of binomial shares."""
    z = ndtri((1 + level) / 2)
    middle, half = share + z**2 / (2 * number), z * np.sqrt(share * (1 - share) / number + (z / (2 * number)) ** 2)
    return (middle - half) / (1 + z**2 / number), (middle + half) / (1 + z**2 / number)


def homogeneity(estimates: Estimates, pool: int) -> tuple[float, float]:
    """Return Bartlett's p that a pool's models scatter alike over seeds: of their dispersions, of their variances."""
    counted = (estimates.pool == pool) & (estimates.replicates > 1) & (estimates.binomial > 0)
    # Accuracies are counts of images: seeds that tie aren't of variance 0.
    own = np.maximum(estimates.own[counted], 1 / (12 * estimates.runs.shape[1] ** 2))
    freedom = estimates.replicates[counted] - 1
    return bartlett(own / estimates.binomial[counted], freedom), bartlett(own, freedom)


def bartlett(variances: np.ndarray, freedom: np.ndarray) -> float:
    """Return the p of Bartlett's test that normal samples have equal variances, by simulation.

    Its chi-squared approximation is off for two seeds.
    Levene's can't be had from two: either is as far from their median as the other.
    variances: none 0; freedom: [K]."""
    if len(variances) < 3:
        return np.nan
    made = np.random.default_rng(SEED).chisquare(freedom, (DRAWS, len(freedom))) / freedom
    return float((1 + (_bartlett(made, freedom) >= _bartlett(variances, freedom)).sum()) / (1 + DRAWS))


def bartlett_power(estimates: Estimates, pool: int, ratio: float) -> float:
    """Return how often Bartlett's test notices, at 5 %, that one of a pool's models has this multiple of the others'
    sd over seeds: by simulation."""
    counted = (estimates.pool == pool) & (estimates.replicates > 1) & (estimates.binomial > 0)
    freedom = estimates.replicates[counted] - 1
    if len(freedom) < 3:
        return np.nan
    made = np.random.default_rng(SEED).chisquare(freedom, (DRAWS, len(freedom))) / freedom
    critical = np.quantile(_bartlett(made, freedom), LEVEL)
    made[:, 0] *= ratio**2
    return float((_bartlett(made, freedom) > critical).mean())


def _bartlett(variances: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    pooled = np.average(variances, axis=-1, weights=freedom)
    return freedom.sum() * np.log(pooled) - np.log(variances) @ freedom
