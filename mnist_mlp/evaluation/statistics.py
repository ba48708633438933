"""Accuracies, and what two sources of chance do to them: the seeds of a training and the images it is tested on.

A model's accuracy is estimated from replicates r (seeds), all scored on the same images i, right (1) or wrong (0).
Within a model that layout is crossed, so the variance of its mean accuracy is that of two-way random effects (as for
readers and cases in radiology: Gallas, "One-shot estimate of MRMC variance: AUC", 2006):

    variance = images + seeds,   images = (S - W / R) / n,   seeds = s^2 / R

S: the variance over images of the replicates' mean; W: the interaction's mean square, which is in s^2 too and must
not be counted twice; s^2: the variance of a run's accuracy over seeds. Models share the images, so S is a covariance
matrix, and whatever is asked of the models (an accuracy, a difference, an effect over a grid) is a contrast of it.

A few seeds tell next to nothing about one model's s^2. It is pooled over the models of a study, as a multiple (the
dispersion) of the binomial variance p (1 - p) / n: a model with 13 % errors scatters more than one with 2 %, while
their dispersions are alike. A contrast whose own models' seeds scatter more than that keeps its own. What simulations
say of this rule and of others: docs/statistics.md.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, fdtrc, stdtr, stdtrit

LEVEL = 0.95
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


def estimate(hits: list[np.ndarray], study: list[int | None], number: int | None = None) -> Estimates:
    """Estimate models from hits: a bool [replicates, n] for each, all of the same images; study: its pool, 0, 1, ...

    A model without study (None), the candidate, borrows from the pools together. number: of pools, if the last of them
    may be without a model."""
    n = hits[0].shape[1]
    replicates = np.array([len(hit) for hit in hits])
    scores = [hit.mean(axis=1) for hit in hits]
    accuracy = np.array([score.mean() for score in scores])
    own = np.array([score.var(ddof=1) if len(score) > 1 else 0.0 for score in scores])
    within = np.array([hit.var(axis=0, ddof=1).mean() if len(hit) > 1 else 0.0 for hit in hits])
    interaction = np.maximum(within - own, 0) * n / max(n - 1, 1)
    means = np.stack([hit.mean(axis=0, dtype=np.float32) for hit in hits]).astype(np.float64)
    centred = means - accuracy[:, None]
    images = (centred @ centred.T / max(n - 1, 1) - np.diag(interaction / replicates)) / n

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


def contrasts(estimates: Estimates, weights: np.ndarray) -> Contrasts:
    """Return contrasts of the accuracies. weights: [Q, K].

    Degrees of freedom are Satterthwaite's, of the images and of each pool of seeds."""
    images = np.maximum(np.einsum("qk,qk->q", weights @ estimates.images, weights), 0)
    known, n = np.isfinite(estimates.pooled), estimates.runs.shape[1]
    member = estimates.pool[:, None] == np.arange(len(estimates.freedom))
    squares = weights**2 / estimates.replicates
    pooled = squares * np.where(known, estimates.pooled, 0) @ member  # [Q, pools]
    sums = pooled.sum(axis=1)
    seeds = np.maximum(squares @ estimates.own, sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(pooled > 0, (pooled / sums[:, None]) ** 2 / estimates.freedom, 0).sum(axis=1)
        freedom = (images + seeds) ** 2 / (images**2 / max(n - 1, 1) + seeds**2 * shares)
    unknown = (weights[:, ~known] != 0).any(axis=1)
    errors = np.sqrt(images), np.where(unknown, np.nan, np.sqrt(seeds))
    return Contrasts(weights @ estimates.accuracy, *errors, np.where(np.isfinite(freedom), freedom, np.inf))


def joint_p(estimates: Estimates, weights: np.ndarray) -> float:
    """Return the p of Wald's F test that all of these contrasts are nothing. weights: [Q, K], linearly independent."""
    involved = (weights != 0).any(axis=0)
    own, pooled = (np.where(involved, v / estimates.replicates, 0) for v in (estimates.own, estimates.pooled))
    if not pooled.sum() > 0:
        return np.nan
    seeds = pooled * max(own.sum() / pooled.sum(), 1.0)
    covariance, values = weights @ (estimates.images + np.diag(seeds)) @ weights.T, weights @ estimates.accuracy
    statistic = values @ np.linalg.pinv(covariance, hermitian=True) @ values / len(weights)
    used = np.unique(estimates.pool[involved])
    return float(fdtrc(len(weights), estimates.freedom[used].sum(), max(statistic, 0.0)))


def pairs(models: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs i < j of that many models, and the contrasts first less second: [P, 2], [P, models]."""
    index = np.column_stack(np.triu_indices(models, 1))
    weights = np.zeros((len(index), models))
    np.put_along_axis(weights, index, [[1.0, -1.0]], axis=1)
    return index, weights


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


def rank_intervals(estimates: Estimates, copies: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Return the places that 95 % of 10,000 draws of images and seeds give each model, 1 the best: [K, 2].

    copies: how many variants are this model, [K]; they share a place, and those below come after them all. The images'
    part is drawn from the normal distribution that a bootstrap over thousands of them comes to; a seed's part has the
    tails of its pool's degrees of freedom. Missing where the seeds of any model are unknown.
    """
    models = len(estimates.accuracy)
    if not np.isfinite(estimates.run).all():
        return np.full((models, 2), np.nan)
    generator = np.random.default_rng(SEED)
    values, vectors = np.linalg.eigh(estimates.images)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    drawn = estimates.accuracy + generator.standard_normal((DRAWS, models)) @ factor.T
    freedom = np.maximum(estimates.freedom, 1)
    tails = np.sqrt(freedom / generator.chisquare(freedom, (DRAWS, len(freedom))))
    drawn += (
        generator.standard_normal((DRAWS, models))
        * np.sqrt(estimates.run / estimates.replicates)
        * tails[:, estimates.pool]
    )
    order = np.argsort(-drawn, axis=1)
    ahead = np.cumsum(copies[order], axis=1) - copies[order]
    places = np.empty_like(order)
    np.put_along_axis(places, order, 1 + ahead, axis=1)
    return np.quantile(places, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf").T


def quantile(freedom: np.ndarray | float, level: float = LEVEL) -> np.ndarray:
    """Return how many standard errors an interval of this level reaches to either side."""
    return stdtrit(np.minimum(freedom, 1e9), (1 + level) / 2)


def smallest_difference(estimates: Estimates, pool: int, replicates: int, tests: int = 1) -> float:
    """Return the smallest difference between two typical models of a pool that counts with this many seeds each.

    tests: how many differences are looked at (Bonferroni's bound, Holm's first step)."""
    members = np.flatnonzero(estimates.pool == pool)
    index, weights = pairs(len(members))
    freedom = len(members) * (replicates - 1)
    if not len(index) or not freedom or not np.isfinite(run := np.median(estimates.run[members])):
        return np.nan
    covariance = estimates.images[np.ix_(members, members)]
    images = max(float(np.median(np.einsum("qk,qk->q", weights @ covariance, weights))), 0.0)
    seeds = 2 * run / replicates
    satterthwaite = (images + seeds) ** 2 / (images**2 / (estimates.runs.shape[1] - 1) + seeds**2 / freedom)
    return float(quantile(satterthwaite, 1 - (1 - LEVEL) / tests) * np.sqrt(images + seeds))


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

    def statistic(variances: np.ndarray) -> np.ndarray:
        pooled = np.average(variances, axis=-1, weights=freedom)
        return freedom.sum() * np.log(pooled) - np.log(variances) @ freedom

    made = np.random.default_rng(SEED).chisquare(freedom, (DRAWS, len(freedom))) / freedom
    return float((1 + (statistic(made) >= statistic(variances)).sum()) / (1 + DRAWS))
