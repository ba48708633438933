"""Statistics against plain formulas, a real bootstrap, libraries, and known truth."""

import numpy as np
import pytest
import scipy.stats

from benchmarks import coverage
from mnist_mlp.evaluation import statistics


def made(truth: list[float], replicates: int = 2, n: int = 1000, drift: float = 0.1, seed: int = 0) -> list[np.ndarray]:
    """Return hits of models of known accuracy: a bool [replicates, n] each."""
    drifts = np.full(len(truth), drift)
    return coverage.simulate(np.random.default_rng(seed), np.asarray(truth, float), drifts, replicates, n)


@pytest.mark.slow
@pytest.mark.parametrize("truth", [np.full(20, 0.975), np.linspace(0.87, 0.98, 20)], ids=["equal", "unequal"])
def test_intervals_hold_the_truth_and_no_difference_is_found_where_there_is_none(truth):
    """Known truth, two seeds each, 1,000 simulations: of single models, of pairs, of an effect over a grid."""
    models, least, pairs, halves, wrong = coverage.measure(truth, np.ones(20), 2, 2000, 1000, ("larger",))["larger"]
    assert 0.93 <= models <= 0.97
    assert least >= 0.93
    assert 0.93 <= pairs <= 0.97
    assert 0.93 <= halves <= 0.97
    if np.ptp(truth) == 0:
        assert wrong <= 0.06
    else:
        assert wrong > 0.9


def test_a_pair_follows_the_formula():
    hits = made([0.9, 0.93, 0.95], n=300)
    estimates = statistics.estimate(hits, [0, 0, 1])
    index, weights = statistics.pairs(3)
    assert index.tolist() == [[0, 1], [0, 2], [1, 2]]
    found = statistics.contrasts(estimates, weights)
    assert (found.error_images > 0).any()
    runs = [hit.mean(axis=1) for hit in hits]
    dispersion = [np.var(run, ddof=1) / (run.mean() * (1 - run.mean()) / 300) for run in runs]
    pooled = [(dispersion[0] + dispersion[1]) / 2, (dispersion[0] + dispersion[1]) / 2, dispersion[2]]
    for (i, j), value, images, seeds, p in zip(
        index, found.value, found.error_images, found.error_seeds, found.p, strict=True
    ):
        paired = hits[i].mean(axis=0) - hits[j].mean(axis=0)
        noise = sum((hits[m].var(axis=0, ddof=1).mean() - np.var(runs[m], ddof=1)) * 300 / 299 / 2 for m in (i, j))
        assert value == pytest.approx(paired.mean())
        assert images**2 == pytest.approx(max(np.var(paired, ddof=1) - noise, 0) / 300, rel=1e-5)
        own = sum(np.var(runs[m], ddof=1) / 2 for m in (i, j))
        shared = [pooled[m] * runs[m].mean() * (1 - runs[m].mean()) / 300 / 2 for m in (i, j)]
        assert seeds**2 == pytest.approx(max(own, sum(shared)))
        parts = [sum(shared) ** 2 / 2] if (i, j) == (0, 1) else [shared[0] ** 2 / 2, shared[1] ** 2]
        freedom = (images**2 + seeds**2) ** 2 / (images**4 / 299 + seeds**4 * sum(parts) / sum(shared) ** 2)
        assert p == pytest.approx(2 * scipy.stats.t.sf(abs(value) / np.hypot(images, seeds), freedom), rel=1e-4)


def test_errors_and_ranks_are_those_of_a_bootstrap_over_seeds_and_images():
    """With a dozen seeds, which a bootstrap needs: it draws a model's seeds, and the images for all models together."""
    hits = made([0.90, 0.91, 0.915, 0.93], replicates=12, n=1500, drift=0.15)
    estimates = statistics.estimate(hits, [0, 1, 2, 3])  # no pooling: each its own
    generator, draws = np.random.default_rng(1), []
    for _ in range(3000):
        images = generator.integers(0, 1500, 1500)
        draws.append([hit[generator.integers(0, 12, 12)].mean(axis=0)[images].mean() for hit in hits])
    draws = np.array(draws)
    single = statistics.contrasts(estimates, np.eye(4)).error
    # The bootstrap's own bias: what belongs to one seed and one image is drawn twice.
    assert np.all((draws.std(axis=0) / single > 0.93) & (draws.std(axis=0) / single < 1.15))
    pairs = statistics.contrasts(estimates, statistics.pairs(4)[1]).error
    spread = [np.std(draws[:, i] - draws[:, j]) for i, j in statistics.pairs(4)[0]]
    assert np.all((spread / pairs > 0.93) & (spread / pairs < 1.25))
    ranks = scipy.stats.rankdata(-draws, axis=1)
    expected = np.quantile(ranks, [0.025, 0.975], axis=0, method="inverted_cdf").T
    assert np.abs(statistics.rank_intervals(estimates, np.ones(4, int)) - expected).max() <= 1


def test_copies_share_a_place_and_draws_repeat():
    estimates = statistics.estimate(made([0.99, 0.95, 0.90], replicates=5, drift=0.01), [0, 0, 0])
    places = statistics.rank_intervals(estimates, np.array([1, 3, 1]))
    assert places.tolist() == [[1, 1], [2, 2], [5, 5]]
    close = statistics.estimate(made([0.95] * 6), [0] * 6)
    again = [statistics.rank_intervals(close, np.ones(6, int)).tolist() for _ in range(2)]
    assert again[0] == again[1]
    assert all(low < high for low, high in again[0])


def test_holm_is_as_in_the_textbook_and_leaves_out_missing_tests():
    found = statistics.holm(np.array([0.01, 0.04, np.nan, 0.03, 0.005]))
    assert found == pytest.approx([0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True)


def test_mcnemar_is_that_of_mlxtend():
    from mlxtend.evaluate import mcnemar, mcnemar_table

    hits = made([0.80, 0.83, 0.80], replicates=1, n=200)
    estimates = statistics.estimate(hits, [0, 0, 0])
    index = statistics.pairs(3)[0]
    truth = np.ones(200, int)
    for (i, j), p in zip(index, statistics.mcnemar(estimates, index), strict=True):
        table = mcnemar_table(truth, hits[i][0].astype(int), hits[j][0].astype(int))
        assert p == pytest.approx(min(mcnemar(table, exact=True)[1], 1))


def test_bartlett_is_scipys_where_its_approximation_holds():
    samples = np.random.default_rng(3).normal(size=(5, 40)) * [[1], [1], [1.4], [1], [0.9]]
    found = statistics.bartlett(samples.var(axis=1, ddof=1), np.full(5, 39))
    assert found == pytest.approx(scipy.stats.bartlett(*samples).pvalue, abs=0.02)


def test_models_of_other_accuracies_scatter_alike_once_scaled():
    """One of 13 % errors among models of 2 %, the dispersion the same: only the variances look unequal."""
    truth = np.repeat([0.87, 0.985], [1, 11])
    drift = coverage.drift(truth, 1.0, 10_000)
    hits = coverage.simulate(np.random.default_rng(5), truth, drift, 10, 10_000)
    alike, unscaled = statistics.homogeneity(statistics.estimate(hits, [0] * 12), 0)
    assert alike > 0.05 > unscaled
    drift[3] *= 8
    hits = coverage.simulate(np.random.default_rng(5), truth, drift, 10, 10_000)
    assert statistics.homogeneity(statistics.estimate(hits, [0] * 12), 0)[0] < 0.01


def test_the_smallest_difference_is_that_of_a_typical_pair():
    estimates = statistics.estimate(made([0.95] * 10, n=5000), [0] * 10)
    pairs = statistics.contrasts(estimates, statistics.pairs(10)[1])
    typical = statistics.quantile(np.median(pairs.freedom)) * np.median(pairs.error)
    assert statistics.smallest_difference(estimates, 0, 2) == pytest.approx(typical, rel=0.25)
    less = [statistics.smallest_difference(estimates, 0, seeds) for seeds in (2, 5, 10)]
    assert less == sorted(less, reverse=True)
    assert statistics.smallest_difference(estimates, 0, 2, tests=45) > less[0]
    assert np.isnan(statistics.smallest_difference(estimates, 0, 1))


def test_one_contrast_tested_jointly_has_its_own_p():
    estimates = statistics.estimate(made([0.93, 0.95, 0.94, 0.95], n=3000, drift=0.2), [0] * 4)
    weights = np.array([[1.0, -1.0, 0, 0]])
    assert statistics.joint_p(estimates, weights) == pytest.approx(
        statistics.contrasts(estimates, weights).p[0], rel=0.2
    )
