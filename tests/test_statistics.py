"""Intervals, pairs, ranks and effects against plain recomputation, a real bootstrap, libraries, and known truth."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from test_scoring import ROOT, drawn, make, stage

from benchmarks import coverage
from mnist_mlp import config, effects, inference, statistics


def made(truth, replicates=2, n=1000, drift=0.1, seed=0) -> list[np.ndarray]:
    truth = np.asarray(truth, float)
    return coverage.simulate(np.random.default_rng(seed), truth, np.full(len(truth), drift), replicates, n)


def plain(root: Path) -> pd.DataFrame:
    """variants.csv's intervals from results.csv and the stored predictions, by loops and scipy alone."""
    results = pd.read_csv(root / "reports/results.csv")
    labels = np.load(root / "data/prepared/labels/test.npy")
    n, models, rows = len(labels), {}, []
    for (study, variant), group in results.groupby(["study", "variant"], sort=False):
        probabilities = np.load(root / "models" / study / variant / "probabilities.npy")
        models[study, variant] = (probabilities.argmax(axis=2) == labels).astype(float), probabilities.tobytes()
        assert np.allclose(group["test_accuracy"], models[study, variant][0].mean(axis=1), atol=1e-6)
    pools, seen = defaultdict(list), set()
    for (study, _), (hits, content) in models.items():
        if study != "candidate" and content not in seen:
            seen.add(content)
            p, runs = hits.mean(), hits.mean(axis=1)
            pools[study].append((np.var(runs, ddof=1) / (p * (1 - p) / n), len(runs) - 1))
    for (study, variant), (hits, _) in models.items():
        r, p = len(hits), hits.mean()
        pool = pools.get(study) or [entry for entries in pools.values() for entry in entries]
        freedom = sum(f for _, f in pool)
        run = max(np.var(hits.mean(axis=1), ddof=1), sum(d * f for d, f in pool) / freedom * p * (1 - p) / n)
        grand, rows_, columns = hits.mean(), hits.mean(axis=1), hits.mean(axis=0)
        residual = hits - rows_[:, None] - columns[None] + grand
        interaction = (residual**2).sum() / ((r - 1) * (n - 1))  # as any two-way analysis of variance has it
        images = max(np.var(columns, ddof=1) - interaction / r, 0) / n
        seeds = run / r
        satterthwaite = (images + seeds) ** 2 / (images**2 / (n - 1) + seeds**2 / freedom)
        half = scipy.stats.t.ppf(0.975, satterthwaite) * np.sqrt(images + seeds)
        another = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(run * (1 + 1 / r))
        rows.append((study, variant, p, np.std(rows_, ddof=1), np.sqrt(images), np.sqrt(seeds), p - half, p + half,
                     p - another, p + another))  # fmt: skip
    names = ["test_accuracy", "test_accuracy_sd", "error_images", "error_seeds", "low", "high", "run_low", "run_high"]
    return pd.DataFrame(rows, columns=["study", "variant", *names])


def test_the_main_table_is_what_plain_recomputation_gives(tmp_path):
    make(tmp_path)
    assert stage("stages.evaluate", tmp_path).returncode == 0
    expected = plain(tmp_path)
    found = pd.read_csv(tmp_path / "reports/variants.csv")[list(expected)]
    pd.testing.assert_frame_equal(found, expected, atol=2e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "models/candidate/candidate").exists(), reason="no trained models here: `dvc repro`")
def test_the_real_table_is_what_plain_recomputation_gives():
    expected = plain(ROOT)
    found = pd.read_csv(ROOT / "reports/variants.csv")[list(expected)]
    pd.testing.assert_frame_equal(found, expected, atol=2e-6, rtol=0)


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


def test_places_are_shared_by_copies_and_the_same_each_time():
    estimates = statistics.estimate(made([0.99, 0.95, 0.90], replicates=5, drift=0.01), [0, 0, 0])
    places = statistics.rank_intervals(estimates, np.array([1, 3, 1]))
    assert places.tolist() == [[1, 1], [2, 2], [5, 5]]
    close = statistics.estimate(made([0.95] * 6), [0] * 6)
    again = [statistics.rank_intervals(close, np.ones(6, int)).tolist() for _ in range(2)]
    assert again[0] == again[1]
    assert all(low < high for low, high in again[0])


def test_holm_is_as_in_the_textbook_and_leaves_out_what_is_no_test():
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


def test_the_smallest_difference_is_where_a_typical_pair_counts():
    estimates = statistics.estimate(made([0.95] * 10, n=5000), [0] * 10)
    pairs = statistics.contrasts(estimates, statistics.pairs(10)[1])
    typical = statistics.quantile(np.median(pairs.freedom)) * np.median(pairs.error)
    assert statistics.smallest_difference(estimates, 0, 2) == pytest.approx(typical, rel=0.25)
    less = [statistics.smallest_difference(estimates, 0, seeds) for seeds in (2, 5, 10)]
    assert less == sorted(less, reverse=True)
    assert statistics.smallest_difference(estimates, 0, 2, tests=45) > less[0]
    assert np.isnan(statistics.smallest_difference(estimates, 0, 1))


def test_one_contrast_jointly_is_that_contrast():
    estimates = statistics.estimate(made([0.93, 0.95, 0.94, 0.95], n=3000, drift=0.2), [0] * 4)
    weights = np.array([[1.0, -1.0, 0, 0]])
    assert statistics.joint_p(estimates, weights) == pytest.approx(
        statistics.contrasts(estimates, weights).p[0], rel=0.2
    )


def test_one_seed_each_is_mcnemars_and_no_verdict():
    outcomes, labels = drawn({"a": 0.9, "b": 0.95, "candidate": 0.99}, seeds=1)
    inferred = inference.infer(outcomes, labels)
    pairs = inferred.pairs
    assert pairs["p"].tolist() == statistics.mcnemar(inferred.estimates, statistics.pairs(3)[0]).tolist()
    assert (pairs["p_holm"] < 0.001).all()
    assert set(pairs["verdict"]) == {"undecided"}
    assert pairs[["low", "high", "error_seeds"]].isna().all(axis=None)
    table = inference.variants(inferred)
    assert table[["low", "rank_low", "run_low"]].isna().all(axis=None)


def test_all_pairs_find_what_is_there_and_their_intervals_agree_with_their_p():
    outcomes, labels = drawn({"a": 0.95, "b": 0.98, "c": 0.98, "d": 0.98, "candidate": 0.98})
    pairs = inference.named_pairs(inference.infer(outcomes, labels))
    assert len(pairs) == 10
    verdicts = pairs.set_index(["variant", "other_variant"])["verdict"]
    assert verdicts["a"].tolist() == ["worse"] * 4
    assert (verdicts.drop("a", level=0) == "undecided").all()
    assert ((pairs["low"] > 0) | (pairs["high"] < 0)).tolist() == (pairs["p"] < 0.05).tolist()
    table = inference.variants(inference.infer(outcomes, labels)).set_index("variant")
    assert table["better"].tolist() == [4, 0, 0, 0, 0]
    assert table["worse"].tolist() == [0, 1, 1, 1, 1]


@pytest.fixture(scope="module")
def gridded(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("gridded")
    make(root)
    assert stage("stages.evaluate", root).returncode == 0
    return root


def grid_of(root: Path, drop: set[str] = frozenset()) -> tuple[pd.DataFrame, dict[str, float]]:
    from mnist_mlp import scoring

    params = config.load(root / "params.yaml")
    labels = np.load(root / "data/prepared/labels/test.npy")
    outcomes = [scoring.read(v.model_copy(), labels) for v in params.variants if v.name not in drop]
    return effects.effects(params, inference.infer(outcomes, labels))


def test_effects_are_means_over_the_grid_and_twins_change_nothing(gridded, monkeypatch):
    monkeypatch.chdir(gridded)
    table, joint = grid_of(gridded)
    mean = pd.read_csv("reports/variants.csv").set_index("variant")["test_accuracy"]
    averaged = table[table["within"].isna()].set_index("level")
    assert averaged.index.tolist() == ["batchnorm", "tanh"]  # l1 and l2 are none
    expected = (mean["batchnorm-relu"] + mean["batchnorm-tanh"] - mean["none-relu"] - mean["none-tanh"]) / 2
    assert averaged.loc["batchnorm", "difference"] == pytest.approx(expected, abs=1e-6)
    expected = (mean["batchnorm-tanh"] + mean["none-tanh"] - mean["batchnorm-relu"] - mean["none-relu"]) / 2
    assert averaged.loc["tanh", "difference"] == pytest.approx(expected, abs=1e-6)
    penalty = table[table["factor"] == "penalty"].iloc[0]
    assert (penalty["level"], penalty["reference"], penalty["within"]) == ("l2-1e-3", "none", "relu")
    assert penalty["difference"] == pytest.approx(mean["l2-1e-3-relu"] - mean["none-relu"], abs=1e-6)
    again, joint_again = grid_of(gridded, drop={"l1-relu", "l1-tanh", "l2-relu", "l2-tanh"})
    pd.testing.assert_frame_equal(table, again)
    assert joint == joint_again
    assert set(joint) == {"technique", "activation", "interaction"}


def test_a_technique_that_lacks_an_activation_is_in_no_average(gridded, monkeypatch):
    monkeypatch.chdir(gridded)
    table, joint = grid_of(gridded, drop={"batchnorm-tanh"})
    assert "batchnorm" not in set(table["level"])
    assert "interaction" not in joint


def test_an_effect_that_is_there_is_found(monkeypatch):
    """Techniques x activations with a technique worth a point and no effect of the activation."""
    names = {
        f"{t}-{a}": 0.96 + 0.01 * (t == "dropout") for t in ("none", "dropout") for a in ("relu", "tanh", "sigmoid")
    }
    outcomes, labels = drawn(names | {"candidate": 0.97})
    for outcome in outcomes[:-1]:
        activation = outcome.variant.name.rpartition("-")[2]
        renamed = outcome.variant.model_copy(update={"study": "techniques", "activation": activation})
        object.__setattr__(outcome, "variant", renamed)
    table, joint = effects.effects(config.load(ROOT / "params.yaml"), inference.infer(outcomes, labels))
    dropout = table[(table["level"] == "dropout") & table["within"].isna()].iloc[0]
    assert dropout["low"] < 0.01 < dropout["high"]
    assert dropout["p_holm"] < 0.001
    assert joint["technique"] < 0.001 < 0.05 < joint["activation"]


def test_the_numbers_of_the_studies_are_all_there(gridded):
    numbers = json.loads((gridded / "reports/statistics.json").read_text())
    assert numbers["models"] == 9  # 3 architectures, 4 techniques, a penalty, the candidate
    assert numbers["pairs"] == 36
    assert numbers["studies"]["architectures"]["freedom"] == 3
    assert set(numbers["studies"]["techniques"]["smallest"]) == {"2", "5", "10"}
