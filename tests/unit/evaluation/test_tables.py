"""Tables against plain recomputation from the outputs that training left."""

import base64
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mnist_mlp import config
from mnist_mlp.errors import UserError
from mnist_mlp.evaluation import comparisons, tables
from mnist_mlp.evaluation.predictions import Predictions
from mnist_mlp.training.outputs import Outputs
from tests.helpers.made_outputs import TESTED, drawn, make, read_predictions, rows
from tests.helpers.params import PARAMS


def made_by(root: Path, row: dict[str, str]) -> tuple[np.ndarray, np.ndarray, dict]:
    """Return the labels, a replicate's probabilities, and its entry in metrics.json."""
    folder = root / "models" / row["study"] / row["variant"]
    entries = json.loads((folder / "metrics.json").read_text())["replicates"]
    index = [entry["seed"] for entry in entries].index(int(row["seed"]))
    labels = np.load(root / "data/prepared/labels/test.npy")
    return labels, np.load(folder / "probabilities.npy")[index], entries[index]


def test_results_are_what_training_wrote(evaluated):
    results, variants = rows(evaluated / "reports/results.csv"), config.load(evaluated / "params.yaml").variants
    keys = [(variant.study, variant.name, str(seed)) for variant in variants for seed in variant.seeds]
    assert [(row["study"], row["variant"], row["seed"]) for row in results] == keys
    assert list(results[0]) == ["study", "variant", "seed", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
                                "test_loss", "test_accuracy", "parameters"]  # fmt: skip
    for row in results:
        labels, probabilities, entry = made_by(evaluated, row)
        right = sum(p.argmax() == y for p, y in zip(probabilities, labels, strict=True))
        assert float(row["test_accuracy"]) == right / TESTED
        assert all(float(row[name]) == pytest.approx(entry[name], abs=1e-6) for name in list(row)[3:9])
        assert re.fullmatch(r"\d\.\d{6}", row["test_loss"])


def test_history_is_what_training_wrote(evaluated):
    expected = [
        f"{variant.study},{variant.name},{line}"
        for variant in config.load(evaluated / "params.yaml").variants
        for line in (evaluated / variant.folder / "history.csv").read_text().splitlines()[1:]
    ]
    assert (evaluated / "reports/history.csv").read_text().splitlines()[1:] == expected


def test_confusions_and_the_accuracy_of_each_class_are_counted(evaluated):
    counts = Counter()
    for row in rows(evaluated / "reports/per_class.csv"):
        labels, probabilities, _ = made_by(evaluated, row)
        pairs = list(zip(labels.tolist(), probabilities.argmax(axis=1).tolist(), strict=True))
        counts.update((row["study"], row["variant"], *pair) for pair in pairs)
        for i in range(10):
            own = [guess == i for label, guess in pairs if label == i]
            assert float(row[f"class_{i}"]) == pytest.approx(sum(own) / len(own), abs=1e-6)
    found = {
        (row["study"], row["variant"], int(row["true"]), int(row["predicted"])): int(row["count"])
        for row in rows(evaluated / "reports/confusion.csv")
    }
    assert found == counts


def test_the_candidates_predictions_are_those_of_its_first_seed(evaluated):
    predictions = rows(evaluated / "reports/candidate_predictions.csv")
    labels, probabilities, _ = made_by(evaluated, {"study": "candidate", "variant": "candidate", "seed": "0"})
    assert [int(row["actual"]) for row in predictions] == labels.tolist()
    assert [int(row["predicted"]) for row in predictions] == probabilities.argmax(axis=1).tolist()


def test_calibration_is_counted_in_tenths_of_confidence(evaluated):
    predictions, labels = read_predictions(evaluated)
    table = tables.calibration(predictions, labels).set_index(["variant", "bin"])
    for one in predictions:
        own = table.loc[one.variant.name]
        assert own["count"].sum() == one.predicted.size
        for tenth, row in own.iterrows():
            inside = (one.confidence >= tenth / 10) & (one.confidence < (tenth + 1) / 10)
            expected = inside.sum(), one.confidence[inside].mean(), (one.predicted == labels)[inside].mean()
            assert row[["count", "confidence", "accuracy"]].tolist() == pytest.approx(expected)
            assert row["low"] <= row["accuracy"] + 1e-12
            assert row["accuracy"] <= row["high"] + 1e-12


def test_the_hardest_images_are_those_that_most_runs_get_wrong(evaluated):
    predictions, labels = read_predictions(evaluated)
    wrong = sum((row != labels).astype(int) for one in predictions for row in one.predicted)
    images = np.full((TESTED, 32, 20), 0.5)
    hardest = tables.hardest(predictions, labels, images)
    assert hardest["runs"] == sum(len(one.predicted) for one in predictions)
    assert (hardest["height"], hardest["width"]) == (32, 20)
    shown = hardest["images"]
    assert [image["wrong"] for image in shown] == sorted(wrong, reverse=True)[: tables.HARDEST]
    for image in shown:
        assert image["wrong"] == wrong[image["index"]]
        assert image["label"] == labels[image["index"]]
        assert image["predicted"] == (image["label"] + 1) % 10  # as the made models err
        assert base64.b64decode(image["pixels"]) == bytes([128]) * 32 * 20


def test_the_headline_summarizes_the_candidate(evaluated):
    metrics = json.loads((evaluated / "reports/metrics.json").read_text())
    scores = [float(row["test_accuracy"]) for row in rows(evaluated / "reports/results.csv")[-2:]]
    *others, own = rows(evaluated / "reports/variants.csv")
    assert metrics["test_accuracy"] == pytest.approx(np.mean(scores), abs=1e-6)
    assert [metrics[f"test_accuracy_{end}"] for end in ("low", "high")] == [float(own["low"]), float(own["high"])]
    assert metrics["rank"] == int(own["rank"])
    assert metrics["distinct_models"] == 1 + sum(not row["identical_to"] for row in others)
    assert metrics["rank_best"] <= metrics["rank"] <= metrics["rank_worst"]
    assert (metrics["dataset"], metrics["test_images"], metrics["parameters"]) == ("mnist", TESTED, 1234)


def test_the_headline_of_one_seed_has_no_interval():
    made, labels = drawn({"a": 0.9, "b": 0.9, "candidate": 0.99}, seeds=1)
    table = comparisons.variants(comparisons.compare(made, labels), tables.calibration(made, labels))
    assert "test_accuracy_low" not in tables.headline(table, made[-1], "mnist")


def test_the_champion_is_no_candidate_and_is_scored_on_images_that_did_not_choose_it(tmp_path, monkeypatch):
    """Right on that many of the even and of the odd images, 10 each: the second variant's second seed is chosen by the
    even ones, though it is the worst on the odd ones."""
    first, second, *_, candidate = PARAMS.variants
    monkeypatch.chdir(tmp_path)
    predictions = []
    for variant, scores in ((first, [(8, 9), (7, 9)]), (second, [(8, 7), (9, 1), (9, 10)]), (candidate, [(10, 10)])):
        seeds = list(range(len(scores)))
        finals = pd.DataFrame({"seed": seeds, "val_accuracy": [0.5, 0.6, 0.7][: len(seeds)], "test_accuracy": 0.5})
        predicted = np.ones((len(scores), 20), np.uint8)
        for seed, (even, odd) in enumerate(scores):
            predicted[seed, : 2 * even : 2] = predicted[seed, 1 : 2 * odd : 2] = 0
        own = variant.model_copy(update={"seeds": tuple(seeds)})
        predictions.append(Predictions(own, Outputs(pd.DataFrame(), finals, 1), predicted, predicted, frozenset()))
    labels = np.zeros(20, np.uint8)
    with pytest.raises(UserError, match=r"seed-1\.keras"):
        tables.champion(predictions, labels)
    second.folder.mkdir(parents=True)
    (second.folder / "seed-1.keras").write_bytes(b"a model")
    assert tables.champion(predictions, labels) == {
        "study": second.study, "variant": second.name, "scaling": second.scaling, "seed": 1, "val_accuracy": 0.6,
        "chosen_by": 0.9, "test_accuracy": 0.1, "test_images": 10, "model": f"{second.folder}/seed-1.keras",
        "md5": hashlib.md5(b"a model").hexdigest(),
    }  # fmt: skip


def test_curves_are_means_over_seeds_of_the_candidate_and_each_studys_best(tmp_path):
    make(tmp_path, epochs=5)
    predictions, labels = read_predictions(tmp_path)
    bins = tables.calibration(predictions, labels)
    table, histories = comparisons.variants(comparisons.compare(predictions, labels), bins), tables.history(predictions)
    curves = tables.curves(table, histories)
    assert list(curves) == ["curve", "epoch", "val_accuracy", "val_loss"]
    best = {study: rows["variant"].iloc[0] for study, rows in table.sort_values("rank", kind="stable").groupby("study")}
    names = [f"{study}/{best[study]}" for study in ("architectures", "techniques", "penalties")]
    epochs = {name: rows["epoch"].tolist() for name, rows in curves.groupby("curve", sort=False)}
    assert list(epochs) == [*names, "candidate"]
    assert epochs["candidate"] == [1, 2, 3, 4, 5]
    assert epochs[names[1]] == [1, 2, 3]  # an earlier end is no row, never an empty cell: charts draw those as 0
    assert curves.notna().all(axis=None)
    own = histories[(histories["variant"] == best["techniques"]) & (histories["epoch"] == 2)]
    drawn = curves[(curves["curve"] == names[1]) & (curves["epoch"] == 2)]
    assert drawn["val_accuracy"].item() == pytest.approx(own["val_accuracy"].mean())
