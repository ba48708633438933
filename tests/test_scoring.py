"""Tables against plain recomputation, outputs that don't fit, and duels whose truth is known."""

import csv
import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from mnist_mlp import UserError, config, inference, scoring

ROOT = Path(__file__).parents[1]
TECHNIQUES = [f"{technique}-{a}" for technique in ("none", "l1", "l2", "batchnorm") for a in ("relu", "tanh")]
KEPT = {"architectures": ["model1", "model4", "model8"], "techniques": TECHNIQUES, "penalties": ["l2-1e-3-relu"]}
TESTED = 200
TWINS = {"l1-relu": "none-relu", "l1-tanh": "none-tanh", "l2-relu": "none-relu", "l2-tanh": "none-tanh"}


def make(root: Path, dataset: str = "mnist", edit=None, error=None, **candidate) -> config.Params:
    """What every stage before evaluate leaves, in small: params.yaml, labels, made models, reports/published.csv.

    edit changes the parameters; error: of every model, the share of images that it gets wrong."""
    raw = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8")) | candidate
    for study, names in KEPT.items():
        raw[study]["protocol"]["epochs"] = 3
        raw[study]["variants"] = {name: raw[study]["variants"][name] for name in names}
    if edit:
        edit(raw)
    (root / "params.yaml").write_text(json.dumps(raw), encoding="utf-8")  # JSON is YAML
    params = config.load(root / "params.yaml")
    labels = np.random.default_rng(0).integers(0, 10, TESTED).astype(np.uint8)
    (root / "data/prepared/labels").mkdir(parents=True)
    np.save(root / "data/prepared/labels/test.npy", labels)
    (root / "data/prepared/pixels").mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (TESTED, 28, 28)).astype(np.float32) / 255
    np.save(root / "data/prepared/pixels/test.npy", pixels)
    said = {"name": dataset, "requested": "auto", "train": 2000, "test": TESTED, "sha256": {}}
    (root / "data/raw").mkdir()
    (root / "data/raw/dataset.json").write_text(json.dumps(said))
    for variant in params.variants:
        model = TWINS.get(variant.name, variant.name)
        share = 0.05 + 0.01 * (len(model) % 4) if error is None else error
        make_outputs(root / variant.folder, variant, labels, model, share)
    (root / "reports").mkdir()
    (root / "reports/published.csv").write_bytes((ROOT / "reports/published.csv").read_bytes())
    return params


def make_outputs(folder: Path, variant: config.Variant, labels: np.ndarray, model: str, error: float) -> None:
    """Outputs of a model that errs on this share of images: the same ones for the same `model` and seeds."""
    folder.mkdir(parents=True)
    probabilities, replicates, rows = [], [], ["seed,epoch,loss,accuracy,val_loss,val_accuracy"]
    for seed in variant.seeds:
        generator = np.random.default_rng([seed, *model.encode()])
        predicted = np.where(generator.random(len(labels)) < error, (labels + 1) % 10, labels)
        table = np.full((len(labels), 10), 0.01, np.float32)
        table[np.arange(len(labels)), predicted] = generator.uniform(0.5, 0.9, len(labels))
        table /= table.sum(axis=1, keepdims=True)
        likelihood = table[np.arange(len(labels)), labels].astype(float)
        scores = {
            "train_loss": 0.1, "train_accuracy": 0.98, "val_loss": 0.2, "val_accuracy": 0.95 + seed / 1000,
            "test_loss": round(float(-np.log(likelihood).mean()), 6),
            "test_accuracy": round(float((predicted == labels).mean()), 6), "penalty": 0.0,
        }  # fmt: skip
        probabilities.append(table)
        replicates.append({"seed": seed} | scores)
        for epoch in range(1, variant.epochs + 1):
            rows.append(f"{seed},{epoch},{1 / epoch:.6f},{1 - 0.1 / epoch:.6f},{1.1 / epoch:.6f},{1 - 0.2 / epoch:.6f}")
        (folder / f"seed-{seed}.keras").write_bytes(f"{model} {seed}".encode())
    np.save(folder / "probabilities.npy", np.stack(probabilities))
    (folder / "metrics.json").write_text(json.dumps({"parameters": 1234, "replicates": replicates}))
    (folder / "history.csv").write_text("\n".join([*rows, ""]))


def stage(name: str, root: Path, **environment: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run([sys.executable, "-m", name], cwd=root, env=environment, capture_output=True, text=True)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("evaluated")
    make(root)
    done = stage("stages.evaluate", root)
    assert (done.returncode, done.stderr) == (0, "")
    return root


def made_by(root: Path, row: dict[str, str]) -> tuple[np.ndarray, np.ndarray, dict]:
    """The labels, a replicate's probabilities, and its entry in metrics.json."""
    folder = root / "models" / row["study"] / row["variant"]
    entries = json.loads((folder / "metrics.json").read_text())["replicates"]
    index = [entry["seed"] for entry in entries].index(int(row["seed"]))
    labels = np.load(root / "data/prepared/labels/test.npy")
    return labels, np.load(folder / "probabilities.npy")[index], entries[index]


def test_results_and_history_are_what_training_wrote(evaluated):
    results, variants = rows(evaluated / "reports/results.csv"), config.load(evaluated / "params.yaml").variants
    keys = [(variant.study, variant.name, str(seed)) for variant in variants for seed in variant.seeds]
    assert [(row["study"], row["variant"], row["seed"]) for row in results] == keys
    assert list(results[0]) == ["study", "variant", "seed", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
                                "test_loss", "test_accuracy", "parameters"]  # fmt: skip
    for row in results:
        labels, probabilities, entry = made_by(evaluated, row)
        assert (
            float(row["test_accuracy"])
            == sum(p.argmax() == y for p, y in zip(probabilities, labels, strict=True)) / TESTED
        )
        assert all(float(row[name]) == pytest.approx(entry[name], abs=1e-6) for name in list(row)[3:9])
        assert re.fullmatch(r"\d\.\d{6}", row["test_loss"])
    expected = [
        f"{variant.study},{variant.name},{line}"
        for variant in variants
        for line in (evaluated / variant.folder / "history.csv").read_text().splitlines()[1:]
    ]
    assert (evaluated / "reports/history.csv").read_text().splitlines()[1:] == expected


def test_confusion_and_classes_are_counted(evaluated):
    counts = Counter()
    for row in rows(evaluated / "reports/per_class.csv"):
        labels, probabilities, _ = made_by(evaluated, row)
        pairs = list(zip(labels.tolist(), probabilities.argmax(axis=1).tolist(), strict=True))
        counts.update((row["study"], row["variant"], *pair) for pair in pairs)
        for digit in range(10):
            own = [guess == digit for label, guess in pairs if label == digit]
            assert float(row[f"digit_{digit}"]) == pytest.approx(sum(own) / len(own), abs=1e-6)
    found = {
        (row["study"], row["variant"], int(row["true"]), int(row["predicted"])): int(row["count"])
        for row in rows(evaluated / "reports/confusion.csv")
    }
    assert found == counts
    predictions = rows(evaluated / "reports/candidate_predictions.csv")
    labels, probabilities, _ = made_by(evaluated, {"study": "candidate", "variant": "candidate", "seed": "0"})
    assert [int(row["actual"]) for row in predictions] == labels.tolist()
    assert [int(row["predicted"]) for row in predictions] == probabilities.argmax(axis=1).tolist()


def test_variants_and_headline_summarize_the_replicates(evaluated):
    scores = {}
    for row in rows(evaluated / "reports/results.csv"):
        scores.setdefault((row["study"], row["variant"]), []).append(float(row["test_accuracy"]))
    means = {key: sum(values) / len(values) for key, values in scores.items()}
    table = rows(evaluated / "reports/variants.csv")
    assert [(row["study"], row["variant"]) for row in table] == list(scores)
    for row in table:
        key = (row["study"], row["variant"])
        sd = math.sqrt(sum((value - means[key]) ** 2 for value in scores[key]) / (len(scores[key]) - 1))
        assert float(row["test_accuracy"]) == pytest.approx(means[key], abs=1e-6)
        assert float(row["test_accuracy_sd"]) == pytest.approx(sd, abs=1e-6)
        assert int(row["rank"]) == 1 + sum(mean > means[key] + 1e-9 for mean in means.values())
        assert row["identical_to"] == (f"techniques/{TWINS[row['variant']]}" if row["variant"] in TWINS else "")
        if row["verdict"]:
            gap = means["candidate", "candidate"] - means[key]
            assert float(row["difference"]) == pytest.approx(gap, abs=1e-6)
    metrics = json.loads((evaluated / "reports/metrics.json").read_text())
    assert metrics["test_accuracy"] == pytest.approx(means["candidate", "candidate"], abs=1e-6)
    assert metrics["rank"] == int(table[-1]["rank"])
    assert metrics["rank_best"] <= metrics["rank"] <= metrics["rank_worst"]


def test_the_same_outputs_give_the_same_bytes(evaluated):
    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (evaluated / "reports").iterdir()}

    before = content()
    assert stage("stages.evaluate", evaluated, PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C").returncode == 0
    assert content() == before
    assert not any(b"\r" in data or b"NaN" in data for data in before.values())


def break_(root: Path, what: str) -> str:
    """Spoil an output; returns what the message names."""
    folder = root / "models/architectures/model4"
    if what in ("metrics.json", "history.csv", "probabilities.npy"):
        (folder / what).unlink()
        return f"models/architectures/model4/{what}: No such file"
    if what == "seeds":
        text = (folder / "metrics.json").read_text().replace('"seed": 1,', '"seed": 5,')
        (folder / "metrics.json").write_text(text)
        return r"model4/metrics.json: found seeds \[0, 5\]; allowed: \[0, 1\]"
    if what == "no json":
        (folder / "metrics.json").write_text("{")
        return "model4/metrics.json: found something else; allowed: a valid JSON file"
    if what == "a metric is missing":
        (folder / "metrics.json").write_text((folder / "metrics.json").read_text().replace("val_loss", "loss"))
        return "model4/metrics.json: found KeyError 'val_loss'"
    if what == "epochs":
        lines = (folder / "history.csv").read_text().splitlines()
        (folder / "history.csv").write_text("\n".join([*lines[:-1], ""]))
        return r"model4/history.csv: found 5 rows; allowed: 3 epochs of each of the seeds \[0, 1\]"
    if what == "shape":
        np.save(folder / "probabilities.npy", np.load(folder / "probabilities.npy")[:, :-1])
        return r"model4/probabilities.npy: found float32 \[2, 199, 10\]; allowed: float32 \[2, 200, 10\]"
    if what == "other labels":
        labels = root / "data/prepared/labels/test.npy"
        np.save(labels, (np.load(labels) + 1) % 10)
        return "model1/probabilities.npy: found test accuracy 0.0[0-9]+ for seed 0; allowed: metrics.json's 0.9"
    if what == "cut short":
        content = (folder / "probabilities.npy").read_bytes()
        (folder / "probabilities.npy").write_bytes(content[: len(content) // 2])
        return "model4/probabilities.npy: found something else; allowed: a valid NumPy array file"
    (root / "data/raw/dataset.json").unlink()
    return "data/raw/dataset.json: No such file"


FAULTS = ["metrics.json", "history.csv", "probabilities.npy", "seeds", "no json", "a metric is missing", "epochs",
          "shape", "other labels", "cut short", "dataset.json"]  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_outputs_that_do_not_fit_are_named_and_nothing_is_written(what, tmp_path, monkeypatch, capsys):
    from stages import evaluate, run

    make(tmp_path)
    expected = break_(tmp_path, what)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(evaluate.main)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert re.match(f"error: .*{expected}", said)
    assert said.count("\n") == 1
    assert "run `dvc repro`" in said
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["published.csv"]


def outcomes(root: Path) -> tuple[list[scoring.Outcome], np.ndarray]:
    labels = scoring.read_labels(root / "data/prepared/labels/test.npy")
    return [scoring.read(variant, labels) for variant in config.load(root / "params.yaml").variants], labels


def drawn(accuracies: dict[str, float], seeds: int = 2, images: int = 10_000, sd: float = 0.001) -> tuple:
    """Outcomes of models of known accuracy, over a population of images as hard as MNIST's; the candidate last."""
    generator = np.random.default_rng(1)
    base = config.load(ROOT / "params.yaml")
    hardness, made = generator.logistic(size=images), []
    for name, share in accuracies.items():
        study = "candidate" if name == "candidate" else "architectures"
        variant = base.candidate.model_copy(update={"study": study, "name": name, "seeds": tuple(range(seeds))})
        taste = hardness + generator.normal(0, 0.3, images)
        wrong = []
        for _ in range(seeds):
            order = np.argsort(taste + generator.normal(0, 0.4, images))
            miss = np.zeros(images, bool)
            miss[order[images - round(images * (1 - share + generator.normal(0, sd))) :]] = True
            wrong.append(miss)
        fingerprint = frozenset((seed, f"{name} {seed}") for seed in range(seeds))
        predicted = np.array(wrong, np.uint8)
        sure = np.full(predicted.shape, 0.9, np.float32)
        made.append(scoring.Outcome(variant, 1, replicates_of(wrong), None, predicted, sure, fingerprint))
    return made, np.zeros(images, np.uint8)


def variants(outcomes: list[scoring.Outcome], labels: np.ndarray) -> pd.DataFrame:
    return inference.variants(inference.infer(outcomes, labels))


def duels(outcomes: list[scoring.Outcome], labels: np.ndarray) -> pd.DataFrame:
    return inference.duels(inference.infer(outcomes, labels))


def replicates_of(wrong: list[np.ndarray]) -> list[dict[str, float]]:
    return [
        dict.fromkeys(scoring.METRICS, 0.0) | {"seed": i, "test_accuracy": 1 - w.mean()} for i, w in enumerate(wrong)
    ]


def test_duels_find_what_is_there_and_nothing_else():
    made, labels = drawn(
        {f"equal{i}": 0.98 for i in range(20)} | {"worse": 0.965, "better": 0.992, "best": 0.994, "candidate": 0.98}
    )
    table = variants(made, labels).set_index("variant")
    assert table.loc["worse", "verdict"] == "beats"
    assert table.loc["better", "verdict"] == "loses"
    assert (table.loc["equal0":"equal19", "verdict"] == "undecided").all()
    assert table.loc["worse", "difference"] > 0 > table.loc["better", "difference"]
    assert np.isnan(table.loc["candidate", "difference"])
    metrics = scoring.headline(table.reset_index(), scoring.results(made), "mnist", len(labels))
    assert (metrics["beats"], metrics["loses"]) == (1, 2)
    assert (metrics["rank_best"], metrics["rank_worst"]) == (3, 23)


def test_twins_count_once_in_the_pooled_variance_and_seeds_that_differ_in_the_candidate_are_believed():
    made, labels = drawn({"a": 0.98, "b": 0.97, "candidate": 0.975}, images=2000, sd=0.004)
    twin = dataclasses.replace(made[0], variant=made[0].variant.model_copy(update={"name": "twin"}))
    table, again = duels(made, labels), duels([twin, *made], labels)
    assert again["standard_error"].tolist()[1:] == table["standard_error"].tolist()
    steady = dataclasses.replace(made[-1], predicted=np.stack([made[-1].predicted[0]] * 2))
    torn = made[-1].predicted.copy()
    torn[1, :400] = 1
    torn = dataclasses.replace(made[-1], predicted=torn)
    errors = [duels([*made[:2], candidate], labels)["standard_error"] for candidate in (steady, torn)]
    own = np.var((torn.predicted == 0).mean(axis=1), ddof=1)
    assert (errors[1] ** 2 > own / 2).all()
    assert (errors[1] > 3 * errors[0]).all()


def test_seeds_that_scatter_raise_the_doubt():
    calm, labels = drawn({"a": 0.98, "b": 0.98, "candidate": 0.965}, sd=0.0005)
    wild, _ = drawn({"a": 0.98, "b": 0.98, "candidate": 0.965}, sd=0.02)
    assert duels(calm, labels)["verdict"].tolist() == ["loses", "loses"]
    assert (duels(wild, labels)["p"] > duels(calm, labels)["p"]).all()


def test_one_seed_decides_nothing():
    made, labels = drawn({"a": 0.9, "b": 0.9, "candidate": 0.99}, seeds=1)
    assert duels(made, labels)["verdict"].tolist() == ["undecided"] * 2
    assert "test_accuracy_sd" not in scoring.headline(variants(made, labels), scoring.results(made), "mnist", 1)


def test_one_seed_of_the_candidate_borrows_the_studies_variance():
    made, labels = drawn({"a": 0.9, "b": 0.9, "candidate": 0.99})
    single = drawn({"candidate": 0.99}, seeds=1)[0][0]
    assert duels([*made[:2], single], labels)["verdict"].tolist() == ["beats"] * 2


def test_a_candidate_identical_to_a_variant_is_found_whatever_the_order_of_seeds(tmp_path, monkeypatch):
    params = make(tmp_path, seeds=[1, 0])
    labels = np.load(tmp_path / "data/prepared/labels/test.npy")
    folder = tmp_path / params.candidate.folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    make_outputs(folder, params.candidate, labels, "model8", 0.05 + 0.01 * 2)
    monkeypatch.chdir(tmp_path)
    table = variants(*outcomes(tmp_path)).set_index("variant")
    assert table.loc["candidate", "identical_to"] == "architectures/model8"
    assert table.loc["model8", "verdict"] == "identical"
    assert (table["verdict"] == "identical").sum() == 1


def test_a_label_that_is_none_is_refused(tmp_path):
    np.save(tmp_path / "test.npy", np.array([1, 12], np.uint8))
    with pytest.raises(UserError, match="allowed: uint8"):
        scoring.read_labels(tmp_path / "test.npy")


def test_curves_are_means_over_seeds_of_the_candidate_and_each_studys_best(tmp_path, monkeypatch):
    params = make(tmp_path, epochs=5)
    monkeypatch.chdir(tmp_path)
    labels = np.load("data/prepared/labels/test.npy")
    outcomes = [scoring.read(variant, labels) for variant in params.variants]
    table, histories = variants(outcomes, labels), scoring.history(outcomes)
    curves = scoring.curves(table, histories)
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
