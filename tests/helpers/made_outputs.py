"""Make small projects whose models are made up: all that evaluate and compare read, without a training."""

import copy
import csv
import functools
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from mnist_mlp import config, paths
from mnist_mlp.evaluation import predictions
from mnist_mlp.evaluation.predictions import Predictions
from mnist_mlp.report import results
from mnist_mlp.training.outputs import METRICS, Outputs
from tests.helpers.params import PARAMS, PARAMS_FILE, ROOT
from tests.helpers.variants import shrink

KEPT = {
    "architectures": ["model1", "model4", "model8"],
    "techniques": [["none", "l1", "l2", "batchnorm"], ["relu", "tanh"]],
    "penalties": [["l2-1e-3"], ["relu"]],
}
TESTED = 200
HEAVY = {"tensorflow", "keras", "mlflow"}
TWINS = {"l1-relu": "none-relu", "l1-tanh": "none-tanh", "l2-relu": "none-relu", "l2-tanh": "none-tanh"}


def make(
    root: Path,
    dataset: str = "mnist",
    edit: Callable[[dict[str, Any]], object] | None = None,
    error: float | None = None,
    **candidate: Any,
) -> config.Params:
    """Write what every stage before evaluate leaves, in small: params.yaml, labels, pixels, models, published figures.

    edit: changes the parameters. error: the share of images that every model gets wrong."""
    raw = copy.deepcopy(_shipped()) | candidate
    for study in KEPT:
        raw[study]["protocol"]["epochs"] = 3
    shrink(raw, KEPT)
    if edit:
        edit(raw)
    (root / paths.PARAMS).write_text(json.dumps(raw), encoding="utf-8")  # JSON is YAML
    params = config.load(root / paths.PARAMS)
    labels = np.random.default_rng(0).integers(0, 10, TESTED).astype(np.uint8)
    pixels = np.random.default_rng(1).integers(0, 256, (TESTED, 28, 28)).astype(np.float32) / 255
    for name, array in (("labels", labels), ("pixels", pixels)):
        (root / paths.PREPARED / name).mkdir(parents=True)
        np.save(root / paths.PREPARED / name / "test.npy", array)
    described = {"name": dataset, "requested": "auto", "train": 2000, "test": TESTED, "sha256": {}}
    (root / paths.DATASET).write_text(json.dumps(described))
    for variant in params.variants:
        model = TWINS.get(variant.name, variant.name)
        make_outputs(root / variant.folder, variant, labels, model, share_wrong(model) if error is None else error)
    (root / paths.PUBLISHED).parent.mkdir()
    (root / paths.PUBLISHED).write_bytes((ROOT / paths.PUBLISHED).read_bytes())
    ran = (ROOT / paths.NOTEBOOKS).read_text(encoding="utf-8")
    (root / paths.NOTEBOOKS).write_text(re.sub("epochs: .*", "epochs: 3", ran), encoding="utf-8")
    return params


@functools.cache
def _shipped() -> dict[str, Any]:
    return YAML(typ="safe", pure=True).load(PARAMS_FILE.read_text(encoding="utf-8"))


def share_wrong(model: str) -> float:
    """Return the share of images that `make` has a model get wrong."""
    return 0.05 + 0.01 * (len(model) % 4)


def make_outputs(folder: Path, variant: config.Variant, labels: np.ndarray, model: str, error: float) -> None:
    """Write a training's outputs. The same `model`, seeds and error (the share of images read wrong) give the same."""
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


def drawn(
    accuracies: dict[str, float], seeds: int = 2, images: int = 10_000, sd: float = 0.001
) -> tuple[list[Predictions], np.ndarray]:
    """Return predictions of models of known accuracy, and the labels.

    The images are as hard as MNIST's. accuracies: by the variant's name, the candidate last; sd: of a seed's."""
    generator = np.random.default_rng(1)
    hardness, made = generator.logistic(size=images), []
    for name, share in accuracies.items():
        study = "candidate" if name == "candidate" else "architectures"
        variant = PARAMS.candidate.model_copy(update={"study": study, "name": name, "seeds": tuple(range(seeds))})
        taste = hardness + generator.normal(0, 0.3, images)
        wrong = np.zeros((seeds, images), np.uint8)
        for row in wrong:
            order = np.argsort(taste + generator.normal(0, 0.4, images))
            row[order[images - round(images * (1 - share + generator.normal(0, sd))) :]] = 1
        finals = pd.DataFrame({"seed": range(seeds)} | dict.fromkeys(METRICS, 0.0))
        outputs = Outputs(pd.DataFrame(), finals.assign(test_accuracy=1 - wrong.mean(axis=1)), 1)
        fingerprint = frozenset((seed, f"{name} {seed}") for seed in range(seeds))
        made.append(Predictions(variant, outputs, wrong, np.full(wrong.shape, 0.9, np.float32), fingerprint))
    return made, np.zeros(images, np.uint8)


def read_predictions(root: Path) -> tuple[list[Predictions], np.ndarray]:
    """Return a made project's predictions, the candidate's last, and the labels."""
    with chdir(root):
        labels = predictions.read_labels(paths.PREPARED / "labels/test.npy")
        return [predictions.read(variant, labels) for variant in config.load().variants], labels


def run_main(stage: ModuleType, root: Path) -> str:
    """Run a stage's main in a project's folder, in this process. Returns what it printed; a warning is an error."""
    printed = StringIO()
    with chdir(root), warnings.catch_warnings(), redirect_stdout(printed):
        warnings.simplefilter("error")
        stage.main()
    return printed.getvalue()


def read_results(root: Path) -> results.Results:
    """Return what evaluate wrote in a made project."""
    return results.read(config.load(root / paths.PARAMS), root / paths.REPORTS, root / paths.PUBLISHED)


def run_python(root: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python` with these words in a project's folder, by this checkout's code."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=root, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, capture_output=True, text=True,
    )  # fmt: skip


def run_stage(name: str, root: Path, **environment: str) -> tuple[str, set[str]]:
    """Run `python -m stages.<name>`. Returns what it printed, and the packages that it imported.

    Fails the test if the stage does, or if it writes to the standard error."""
    done = run_python(root, "-X", "importtime", "-m", f"stages.{name}", **environment)
    lines = done.stderr.splitlines()
    imports = [line.split("|")[-1].strip() for line in lines if line.startswith("import time:")]
    assert (done.returncode, len(lines)) == (0, len(imports)), done.stderr
    return done.stdout, {module.partition(".")[0] for module in imports}


def rows(path: Path) -> list[dict[str, str]]:
    """Return a CSV file's rows by Python's own reader."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
