"""Comparisons of variants: against plain recomputation, and of models whose truth is known."""

import dataclasses
import json
import math
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from mnist_mlp.evaluation import comparisons, statistics, tables
from mnist_mlp.evaluation.predictions import Predictions
from tests.helpers.made_outputs import TWINS, drawn, make, make_outputs, read_predictions, rows, share_wrong
from tests.helpers.params import ROOT


def variants(predictions: list[Predictions], labels: np.ndarray) -> pd.DataFrame:
    return comparisons.variants(comparisons.compare(predictions, labels), tables.calibration(predictions, labels))


def duels(predictions: list[Predictions], labels: np.ndarray) -> pd.DataFrame:
    return comparisons.duels(comparisons.compare(predictions, labels))


def plain(root: Path) -> pd.DataFrame:
    """Return variants.csv's intervals from results.csv and the stored predictions, by loops and scipy alone."""
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


def test_the_main_table_is_what_plain_recomputation_gives(evaluated):
    expected = plain(evaluated)
    found = pd.read_csv(evaluated / "reports/variants.csv")[list(expected)]
    pd.testing.assert_frame_equal(found, expected, atol=2e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "models/candidate/candidate").exists(), reason="no trained models here: `dvc repro`")
def test_the_real_table_is_what_plain_recomputation_gives():
    expected = plain(ROOT)
    found = pd.read_csv(ROOT / "reports/variants.csv")[list(expected)]
    pd.testing.assert_frame_equal(found, expected, atol=2e-6, rtol=0)


def test_variants_summarize_the_replicates(evaluated):
    scores = defaultdict(list)
    for row in rows(evaluated / "reports/results.csv"):
        scores[row["study"], row["variant"]].append(float(row["test_accuracy"]))
    means = {key: sum(values) / len(values) for key, values in scores.items()}
    table = rows(evaluated / "reports/variants.csv")
    distinct = {(row["study"], row["variant"]) for row in table if not row["identical_to"]}
    assert [(row["study"], row["variant"]) for row in table] == list(scores)
    for row in table:
        key = (row["study"], row["variant"])
        sd = math.sqrt(sum((value - means[key]) ** 2 for value in scores[key]) / (len(scores[key]) - 1))
        assert float(row["test_accuracy"]) == pytest.approx(means[key], abs=1e-6)
        assert float(row["test_accuracy_sd"]) == pytest.approx(sd, abs=1e-6)
        assert int(row["rank"]) == 1 + sum(means[other] > means[key] + 1e-9 for other in distinct)
        assert row["identical_to"] == (f"techniques/{TWINS[row['variant']]}" if row["variant"] in TWINS else "")
        if row["verdict"]:
            gap = means["candidate", "candidate"] - means[key]
            assert float(row["difference"]) == pytest.approx(gap, abs=1e-6)


def test_duels_find_the_differences_that_are_there_and_no_others():
    made, labels = drawn(
        {f"equal{i}": 0.98 for i in range(20)} | {"worse": 0.965, "better": 0.992, "best": 0.994, "candidate": 0.98}
    )
    table = variants(made, labels).set_index("variant")
    assert table.loc["worse", "verdict"] == "beats"
    assert table.loc["better", "verdict"] == "loses"
    assert (table.loc["equal0":"equal19", "verdict"] == "undecided").all()
    assert table.loc["worse", "difference"] > 0 > table.loc["better", "difference"]
    assert np.isnan(table.loc["candidate", "difference"])
    metrics = tables.headline(table.reset_index(), made[-1], "mnist")
    assert (metrics["beats"], metrics["loses"]) == (1, 2)
    assert (metrics["rank_best"], metrics["rank_worst"]) == (3, 23)


def test_twins_count_once_in_the_pooled_variance():
    made, labels = drawn({"a": 0.98, "b": 0.97, "candidate": 0.975}, images=2000, sd=0.004)
    twin = dataclasses.replace(made[0], variant=made[0].variant.model_copy(update={"name": "twin"}))
    table, again = duels(made, labels), duels([twin, *made], labels)
    assert again["standard_error"].tolist()[1:] == table["standard_error"].tolist()


def test_a_candidate_whose_seeds_differ_much_keeps_its_own_variance():
    made, labels = drawn({"a": 0.98, "b": 0.97, "candidate": 0.975}, images=2000, sd=0.004)
    steady = dataclasses.replace(made[-1], predicted=np.stack([made[-1].predicted[0]] * 2))
    torn = made[-1].predicted.copy()
    torn[1, :400] = 1
    torn = dataclasses.replace(made[-1], predicted=torn)
    errors = [duels([*made[:2], candidate], labels)["standard_error"] for candidate in (steady, torn)]
    own = np.var((torn.predicted == 0).mean(axis=1), ddof=1)
    assert (errors[1] ** 2 > own / 2).all()
    assert (errors[1] > 3 * errors[0]).all()


def test_seeds_that_scatter_more_raise_p():
    calm, labels = drawn({"a": 0.98, "b": 0.98, "candidate": 0.965}, sd=0.0005)
    wild, _ = drawn({"a": 0.98, "b": 0.98, "candidate": 0.965}, sd=0.02)
    assert duels(calm, labels)["verdict"].tolist() == ["loses", "loses"]
    assert (duels(wild, labels)["p"] > duels(calm, labels)["p"]).all()


def test_one_seed_decides_no_duel():
    made, labels = drawn({"a": 0.9, "b": 0.9, "candidate": 0.99}, seeds=1)
    assert duels(made, labels)["verdict"].tolist() == ["undecided"] * 2


def test_one_seed_of_the_candidate_borrows_the_studies_variance():
    made, labels = drawn({"a": 0.9, "b": 0.9, "candidate": 0.99})
    single = drawn({"candidate": 0.99}, seeds=1)[0][0]
    assert duels([*made[:2], single], labels)["verdict"].tolist() == ["beats"] * 2


def test_a_candidate_identical_to_a_variant_is_found_whatever_the_order_of_its_seeds(tmp_path):
    candidate = make(tmp_path, seeds=[1, 0]).candidate
    labels = np.load(tmp_path / "data/prepared/labels/test.npy")
    shutil.rmtree(tmp_path / candidate.folder)
    make_outputs(tmp_path / candidate.folder, candidate, labels, "model8", share_wrong("model8"))
    table = variants(*read_predictions(tmp_path)).set_index("variant")
    assert table.loc["candidate", "identical_to"] == "architectures/model8"
    assert table.loc["model8", "verdict"] == "identical"
    assert (table["verdict"] == "identical").sum() == 1


def test_pairs_of_one_seed_each_have_mcnemars_p_and_no_verdict():
    made, labels = drawn({"a": 0.9, "b": 0.95, "candidate": 0.99}, seeds=1)
    comparison = comparisons.compare(made, labels)
    pairs = comparison.pairs
    assert pairs["p"].tolist() == statistics.mcnemar(comparison.estimates, statistics.pairs(3)[0]).tolist()
    assert (pairs["p_holm"] < 0.001).all()
    assert set(pairs["verdict"]) == {"undecided"}
    assert pairs[["low", "high", "error_seeds"]].isna().all(axis=None)
    table = comparisons.variants(comparison, tables.calibration(comparison.predictions, comparison.labels))
    assert table[["low", "rank_low", "run_low"]].isna().all(axis=None)


def test_pairs_find_the_differences_that_are_there_and_intervals_agree_with_p():
    made, labels = drawn({"a": 0.95, "b": 0.98, "c": 0.98, "d": 0.98, "candidate": 0.98})
    pairs = comparisons.named_pairs(comparisons.compare(made, labels))
    assert len(pairs) == 10
    verdicts = pairs.set_index(["variant", "other_variant"])["verdict"]
    assert verdicts["a"].tolist() == ["worse"] * 4
    assert (verdicts.drop("a", level=0) == "undecided").all()
    assert ((pairs["low"] > 0) | (pairs["high"] < 0)).tolist() == (pairs["p"] < 0.05).tolist()
    table = variants(made, labels).set_index("variant")
    assert table.loc["a", "behind_high"] == 0  # the others may be the best, but for the lucky one's sake
    assert table.loc["b":"d", "behind_high"].max() > 0
    assert np.isnan(table.loc["candidate", "behind"])
    assert table["beaten_by"].tolist() == [4, 0, 0, 0, 0]
    assert table["beats"].tolist() == [0, 1, 1, 1, 1]


def test_the_summary_counts_models_pairs_and_degrees_of_freedom(evaluated):
    numbers = json.loads((evaluated / "reports/statistics.json").read_text())
    assert numbers["models"] == 9  # 3 architectures, 4 techniques, a penalty, the candidate
    assert numbers["pairs"] == 36
    assert numbers["studies"]["architectures"]["freedom"] == 3
    assert set(numbers["studies"]["techniques"]["smallest"]) == {"2", "4", "10"}
