"""Made-up outputs, reports and dvc.lock, and a real MLflow store on SQLite to log them to.

Every function works in the current folder. The fixtures are for a conftest.py to import.
"""

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from mnist_mlp import config, paths
from mnist_mlp.config.choices import IDX_FILES
from mnist_mlp.config.params import CANDIDATE, stage_name
from mnist_mlp.pipeline.digests import md5
from mnist_mlp.tracking import runs as tracking
from mnist_mlp.tracking import store
from mnist_mlp.training.outputs import CURVES, METRICS
from tests.helpers.params import PARAMS, PARAMS_FILE, ROOT
from tests.helpers.project import made_once, work_in

if TYPE_CHECKING:
    from mlflow.entities import Run

DATASET = {
    "name": "mnist", "requested": "auto", "train": 60000, "test": 10000, "sha256": {name: name for name in IDX_FILES}
}  # fmt: skip
SOFTWARE = PARAMS.software
SOME = [PARAMS.variant("architectures", "model8"), PARAMS.variant("techniques", "l1-tanh"), PARAMS.candidate]
DATABASE = Path("mlruns/mlflow.db")


def make_checkout(folder: Path) -> None:
    """Write what tracking reads of a checkout: params.yaml, the code that a training depends on, dataset.json."""
    shutil.copytree(
        ROOT / paths.TRAINING_CODE, folder / paths.TRAINING_CODE, ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy2(PARAMS_FILE, folder / paths.PARAMS)
    shutil.copy2(ROOT / paths.IGNORED, folder / paths.IGNORED)
    for name in (paths.RAW, paths.PREPARED):
        (folder / name).mkdir(parents=True)
    (folder / paths.DATASET).write_text(json.dumps(DATASET))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a store without runs, made once: MLflow takes seconds for it."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            work_in(patch, folder)
            store.open_store()

    return made_once(tmp_path_factory, "empty-store", make) / "mlruns"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout without a store, and be in it."""
    make_checkout(tmp_path / "checkout")
    work_in(monkeypatch, tmp_path / "checkout")
    return tmp_path / "checkout"


@pytest.fixture
def tracked_checkout(checkout: Path, empty_store: Path) -> Path:
    """Return a checkout with a store that holds no runs, and be in it."""
    shutil.copytree(empty_store, checkout / "mlruns")
    return checkout


def write_outputs(variant: config.Variant) -> Path:
    """Write what tracking reads of a training's outputs, in random numbers. Returns their folder."""
    random, replicates = np.random.default_rng(len(variant.name)), []
    history = [[seed, epoch, *random.random(4)] for seed in variant.seeds for epoch in range(1, variant.epochs + 1)]
    table = pd.DataFrame(history, columns=["seed", "epoch", *CURVES]).round(6)
    for seed, rows in table.groupby("seed", sort=False):
        numbers = dict(zip(METRICS, random.random(6).round(6).tolist(), strict=True))
        last = rows.iloc[-1][["val_loss", "val_accuracy"]].to_dict()
        replicates.append({"seed": int(seed), **numbers, **last, "penalty": 0.25})
    variant.folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(variant.folder / "history.csv", index=False, float_format="%.6f")
    metrics = {"parameters": 1234, "replicates": replicates}
    (variant.folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return variant.folder


def write_reports(variants: list[config.Variant]) -> None:
    """Write the reports that tell of these variants' outputs."""
    results, histories = [], []
    for variant in variants:
        keys = {"study": variant.study, "variant": variant.name}
        metrics = json.loads((variant.folder / "metrics.json").read_text())
        histories.append(pd.read_csv(variant.folder / "history.csv").assign(**keys))
        results += [keys | row | {"parameters": metrics["parameters"]} for row in metrics["replicates"]]
    paths.REPORTS.mkdir(exist_ok=True)
    pd.concat(histories).to_csv(paths.REPORTS / "history.csv", index=False, float_format="%.6f")
    table = pd.DataFrame(results).drop(columns="penalty")
    table.to_csv(paths.REPORTS / "results.csv", index=False, float_format="%.6f")
    (paths.REPORTS / "metrics.json").write_text('{"dataset": "mnist"}')


def write_lock(variants: list[config.Variant], champion: bool = False, reported: Sequence[str] = ()) -> None:
    """Write dvc.lock as DVC does once these are trained and what is in reports/ is made. champion: it too.

    reported: more reports of `evaluate`."""
    raw = YAML(typ="safe").load(paths.PARAMS.read_text())
    data, code = _entry(paths.PREPARED), _entry(paths.TRAINING_CODE)
    stages = {"preprocess": {"cmd": "...", "outs": [data]}}
    for variant in variants:
        if variant.study == CANDIDATE:
            keys = {key: raw[key] for key in variant.parameters()}
        else:
            study = raw[variant.study]
            keys = {f"{variant.study}.protocol": study["protocol"]}
            if "variants" in study:
                keys[f"{variant.study}.variants.{variant.name}"] = study["variants"][variant.name]
            else:
                (factor, level), *_ = variant.levels.items()
                keys[f"{variant.study}.network"] = study["network"]
                keys[f"{variant.study}.factors.{factor}.{level}"] = study["factors"][factor][level]
        stages[stage_name(variant)] = {
            "deps": [data, code], "params": {"params.yaml": keys | {"software": raw["software"]}},
            "outs": [_entry(variant.folder)],
        }  # fmt: skip
    tables = [paths.REPORTS / name for name in ("history.csv", "results.csv", *reported)]
    if all(path.exists() for path in tables):
        stages["evaluate"] = {"deps": [_entry(paths.PARAMS)], "outs": [_entry(path) for path in tables]}
    if (paths.REPORTS / "comparison.md").exists():
        stages["compare"] = {"outs": [_entry(paths.REPORTS / "comparison.md"), _entry(paths.FIGURES)]}
    if champion:
        stages["champion"] = {"outs": [_entry(paths.CHAMPION)]}
    YAML(typ="safe").dump({"schema": "2.0", "stages": stages}, paths.LOCKFILE)


def _entry(path: Path) -> dict[str, str | None]:
    return {"path": path.as_posix(), "hash": "md5", "md5": md5(path)}


def train(variant: config.Variant) -> None:
    """Log a training that takes no time."""
    with tracking.training(variant, DATASET, SOFTWARE) as log:
        log(write_outputs(variant))


def runs(nested: bool = False) -> "list[Run]":
    """Return the store's runs, or those nested in them."""
    opened = store.open_store()
    found = opened.client.search_runs([opened.experiment])
    return [run for run in found if ("mlflow.parentRunId" in run.data.tags) == nested]


def current() -> list[str]:
    """Return the names of the runs that are current."""
    return sorted(str(run.info.run_name) for run in store.open_store().find(**store.CURRENT))


@contextlib.contextmanager
def without_metrics() -> Iterator[None]:
    """Hide a table of the store while the block works: runs can be made then, and not finished."""
    _rename("metrics", "hidden")
    try:
        yield
    finally:
        _rename("hidden", "metrics")


def _rename(table: str, name: str) -> None:
    with contextlib.closing(sqlite3.connect(DATABASE)) as database, database:
        database.execute(f"ALTER TABLE {table} RENAME TO {name}")
