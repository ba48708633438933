"""Statistics against plain formulas, a real bootstrap, libraries, and known truth."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from benchmarks import coverage
from mnist_mlp.evaluation import statistics


def made(
    truth: list[float], replicates: int | list[int] = 2, n: int = 1000, multiple: float = 1.0, seed: int = 0
) -> list[np.ndarray]:
    """Return hits of models of known accuracy: a bool [replicates, n] each."""
    counts = np.broadcast_to(replicates, len(truth))
    setting = coverage.Setting(np.asarray(truth, float), np.full(len(truth), multiple), counts, images=n)
    return setting.simulate(np.random.default_rng(seed))


SETTINGS = ["alike", "errors of 2 to 13 %", "half 2, half 4 seeds", "twins: 20 models are 30 variants",
            "seeds' shifts correlated, 0.06", "alike, 4 seeds"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_intervals_hold_the_truth_and_no_difference_is_found_where_there_is_none(name):
    """Known truth, 500 simulations: of single models, of pairs, of an effect over a grid, of families."""
    setting = coverage.SETTINGS[name]
    models, least, pairs, halves, family, best, wrong = coverage.measure(setting, 500)["larger"]
    assert 0.93 <= models <= 0.97
    assert least >= 0.92
    assert 0.94 <= pairs <= 0.98
    assert 0.93 <= halves <= 0.98
    assert family >= 0.93
    assert best >= 0.94
    assert wrong <= 0.06 if np.ptp(setting.truth) == 0 else wrong > 0.9


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

        def apart(one: int, other: int) -> float:
            """Return the mean covariance over images of runs of different seeds."""
            return np.mean([np.cov(hits[one][a], hits[other][1 - a])[0, 1] for a in (0, 1)])

        assert value == pytest.approx(runs[i].mean() - runs[j].mean())
        assert images**2 == pytest.approx(max(apart(i, i) + apart(j, j) - 2 * apart(i, j), 0) / 300, rel=1e-5)
        own = sum(np.var(runs[m], ddof=1) / 2 for m in (i, j))
        shared = [pooled[m] * runs[m].mean() * (1 - runs[m].mean()) / 300 / 2 for m in (i, j)]
        assert seeds**2 == pytest.approx(max(own, sum(shared)))
        parts = [sum(shared) ** 2 / 2] if (i, j) == (0, 1) else [shared[0] ** 2 / 2, shared[1] ** 2]
        freedom = (images**2 + seeds**2) ** 2 / (images**4 / 299 + seeds**4 * sum(parts) / sum(shared) ** 2)
        assert p == pytest.approx(2 * scipy.stats.t.sf(abs(value) / np.hypot(images, seeds), freedom), rel=1e-4)


def test_errors_and_ranks_are_those_of_a_bootstrap_over_seeds_and_images():
    """With a dozen seeds, which a bootstrap needs: it draws a model's seeds, and the images for all models together."""
    hits = made([0.90, 0.91, 0.915, 0.93], replicates=12, n=1500, multiple=1.5)
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
    assert np.abs(statistics.rank_intervals(estimates) - expected).max() <= 1


def test_places_are_those_of_the_models_and_draws_repeat():
    estimates = statistics.estimate(made([0.99, 0.95, 0.90], replicates=5, multiple=0.1), [0, 0, 0])
    assert statistics.rank_intervals(estimates).tolist() == [[1, 1], [2, 2], [3, 3]]
    close = statistics.estimate(made([0.95] * 6), [0] * 6)
    again = [statistics.rank_intervals(close).tolist() for _ in range(2)]
    assert again[0] == again[1]
    assert all(low < high for low, high in again[0])


def test_only_runs_of_different_seeds_tell_of_the_images():
    """Two models whose runs of one seed are the same: what they share by their seed is none of the images' doing."""
    runs = made([0.9], replicates=4, n=4000)[0]
    estimates = statistics.estimate([runs, runs.copy()], [0, 0])
    apart = [np.cov(runs[a], runs[b])[0, 1] for a in range(4) for b in range(4) if a != b]
    assert estimates.images == pytest.approx(np.full((2, 2), np.mean(apart) / 4000), rel=1e-4)
    other = statistics.estimate([runs, runs[::-1]], [0, 0], seeds=[[0, 1, 2, 3], [3, 2, 1, 0]])
    assert other.images == pytest.approx(estimates.images, rel=1e-4)
    unequal = statistics.estimate([runs, runs[:1]], [0, 0], seeds=[[0, 1, 2, 3], [2]])
    assert unequal.images[0, 1] == pytest.approx(np.mean([np.cov(runs[0], runs[a])[0, 1] for a in (0, 1, 3)]) / 4000)


def test_a_family_holds_zero_exactly_where_its_p_says_so_and_is_wider_than_one_by_itself():
    estimates = statistics.estimate(made([0.93, 0.95, 0.94, 0.95, 0.97], n=3000), [0] * 5)
    weights = np.eye(5)[1:] - np.eye(5)[0]
    low, high, p = statistics.family(estimates, weights)
    single = statistics.contrasts(estimates, weights)
    assert (((low > 0) | (high < 0)) == (p < 0.05)).all()
    assert (high - low > np.subtract(*single.interval()[::-1])).all()
    assert (p >= single.p).all()
    assert (p <= 4 * single.p + 0.01).all()
    alone = statistics.family(estimates, weights[:1])
    assert np.array(alone[:2]).ravel() == pytest.approx(np.array(single.interval())[:, 0], abs=2e-4)


def test_a_family_of_the_same_contrast_twice_is_one_contrast():
    estimates = statistics.estimate(made([0.93, 0.95], n=3000), [0] * 2)
    one, two = (statistics.family(estimates, np.array([[1.0, -1.0]] * number))[2] for number in (1, 3))
    assert two == pytest.approx([one[0]] * 3, abs=0.02)


def test_shortfalls_keep_the_best_and_leave_out_what_is_far_behind():
    estimates = statistics.estimate(made([0.97, 0.97, 0.90, 0.80], replicates=4, n=4000), [0] * 4)
    value, low, high = statistics.shortfalls(estimates)
    assert (high > 0).tolist() == [True, True, False, False]
    assert (low <= value).all()
    assert (value <= high).all()
    assert value[3] == pytest.approx(estimates.accuracy[3] - estimates.accuracy[:2].max())
    far = statistics.estimate(made([0.99, 0.90, 0.80], replicates=4, n=4000), [0] * 3)
    value, low, high = statistics.shortfalls(far)
    assert low[0] == 0 < value[0] < high[0]
    alone = statistics.shortfalls(statistics.estimate(made([0.9]), [0]))
    assert np.isnan(alone).all()


def test_the_best_chosen_and_scored_apart_is_no_lucky_one():
    """Twenty models of one accuracy, a hundred times: the highest mean flatters, what was chosen elsewhere doesn't."""
    apart, highest = [], []
    for seed in range(100):
        hits = made([0.97] * 20, seed=seed)
        apart.append(statistics.chosen_apart(hits))
        highest.append(max(hit.mean() for hit in hits))
    error = np.std(apart) / 10
    assert abs(np.mean(apart) - 0.97) < 3 * error < np.mean(highest) - 0.97
    single = [np.ones((1, 10), bool), np.zeros((1, 10), bool)]
    assert statistics.chosen_apart(single) == 1


def test_what_is_visible_is_found_four_times_in_five():
    """A difference of that size, drawn with its error many times, at one test and at forty."""
    generator = np.random.default_rng(0)
    for tests in (1, 40):
        size = statistics.visible(16.0, 1.0, tests)
        spread = np.sqrt(generator.chisquare(16, 40_000) / 16)
        t = (size + generator.standard_normal(40_000)) / spread
        assert (2 * scipy.stats.t.sf(t, 16) < 0.05 / tests).mean() == pytest.approx(0.8, abs=0.03)


def test_a_joint_test_finds_what_it_says_it_could_have_seen():
    """Simulated: one of three contrasts is as large as that."""
    generator, found = np.random.default_rng(3), 0
    weights = np.eye(4)[1:] - np.eye(4)[0]
    estimates = statistics.estimate(made([0.95] * 4, replicates=8, n=3000), [0] * 4)
    estimates = dataclasses.replace(estimates, images=np.diag(np.diag(estimates.images)))
    _, size = statistics.joint(estimates, weights)
    spread = np.sqrt(np.diag(estimates.images) + estimates.run / 8)
    for _ in range(400):
        shift = np.array([0.0, size, 0.0, 0.0]) + spread * generator.standard_normal(4)
        moved = dataclasses.replace(estimates, accuracy=0.95 + shift)
        found += statistics.joint(moved, weights)[0] < 0.05
    assert 0.6 < found / 400 < 0.95


def test_more_seeds_decide_what_fewer_cannot_and_the_images_set_a_limit():
    estimates = statistics.estimate(made([0.95, 0.955, 0.96, 0.97], n=20_000), [0] * 4)
    weights = np.eye(4)[1:] - np.eye(4)[0]
    needed = statistics.seeds_needed(estimates, weights)
    assert (np.diff(needed) <= 0).all()
    assert (statistics.seeds_needed(estimates, weights, tests=50) >= needed).all()
    half = np.concatenate([np.full(2, 0.5), np.full(2, -0.5)])[[0, 2, 3, 1]]  # a difference that is next to nothing
    small = dataclasses.replace(estimates, accuracy=np.full(4, 0.95) + 1e-6 * np.arange(4))
    assert np.isnan(statistics.seeds_needed(small, half[None])).all()


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
    truth, multiple = np.repeat([0.75, 0.985], [1, 11]), np.full(12, 1.5)
    setting = coverage.Setting(truth, multiple, np.full(12, 10), images=10_000)
    estimates = statistics.estimate(setting.simulate(np.random.default_rng(5)), [0] * 12)
    alike, unscaled = statistics.homogeneity(estimates, 0)
    assert alike > 0.05 > unscaled
    multiple[3] *= 64
    hits = setting.simulate(np.random.default_rng(5))
    assert statistics.homogeneity(statistics.estimate(hits, [0] * 12), 0)[0] < 0.01


def test_bartletts_power_grows_with_the_seeds_and_is_its_level_where_all_scatter_alike():
    two, five = (statistics.estimate(made([0.95] * 9, replicates=seeds), [0] * 9) for seeds in (2, 5))
    assert statistics.bartlett_power(two, 0, 1) == pytest.approx(0.05, abs=0.01)
    assert statistics.bartlett_power(two, 0, 6) < statistics.bartlett_power(five, 0, 6)


def test_wilsons_interval_is_that_of_statsmodels_formula():
    low, high = statistics.wilson(np.array([0.9, 1.0]), np.array([50.0, 10.0]))
    found = [
        scipy.stats.binomtest(right, number).proportion_ci(method="wilson") for right, number in ((45, 50), (10, 10))
    ]
    assert low == pytest.approx([one.low for one in found])
    assert high == pytest.approx([one.high for one in found])


def test_the_smallest_difference_is_that_of_a_typical_pair():
    estimates = statistics.estimate(made([0.95] * 10, n=5000), [0] * 10)
    pairs = statistics.contrasts(estimates, statistics.pairs(10)[1])
    typical = statistics.visible(np.median(pairs.freedom), np.median(pairs.error))
    assert statistics.smallest_difference(estimates, 0, 2) == pytest.approx(typical, rel=0.25)
    less = [statistics.smallest_difference(estimates, 0, seeds) for seeds in (2, 5, 10)]
    assert less == sorted(less, reverse=True)
    assert statistics.smallest_difference(estimates, 0, 2, tests=45) > less[0]
    assert np.isnan(statistics.smallest_difference(estimates, 0, 1))


def test_one_contrast_tested_jointly_has_its_own_p():
    estimates = statistics.estimate(made([0.93, 0.95, 0.94, 0.95], n=3000, multiple=4), [0] * 4)
    weights = np.array([[1.0, -1.0, 0, 0]])
    p, seen = statistics.joint(estimates, weights)
    contrast = statistics.contrasts(estimates, weights)
    assert p == pytest.approx(contrast.p[0], rel=0.2)
    assert seen == pytest.approx(statistics.visible(contrast.freedom, contrast.error)[0], rel=0.2)
