"""A training's curves in the real MLflow, while it trains, after an interruption, and at its end."""

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mnist_mlp.tracking import live, store
from mnist_mlp.tracking import runs as tracking
from mnist_mlp.training import outputs
from mnist_mlp.training.outputs import CURVES, Replicate
from tests.helpers.params import PARAMS, ROOT
from tests.helpers.tracked import DATASET, SOFTWARE, runs, without_metrics, write_outputs

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.entities import Metric, Run

VARIANT = PARAMS.candidate
RUNNING = f"""
from pathlib import Path
import time
from mnist_mlp import config
from mnist_mlp.tracking import live, runs
params, live.INTERVAL = config.load(), 0.05
with runs.training(params.candidate, {DATASET!r}, params.software, Path("memory")) as log:
    for epoch in (1, 2, 3):
        log.epoch(0, epoch, [0.5, 0.75, 0.25, 1.0])
    time.sleep(2)
    print("training", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.05)


@pytest.fixture
def curves(tracked_checkout: "Path") -> dict[int, np.ndarray]:
    """Write a training's outputs; return its curves by seed: [epochs, 4]."""
    history = outputs.read(write_outputs(VARIANT)).history
    return {seed: rows[CURVES].to_numpy() for seed, rows in history.groupby("seed")}


def points(run: "Run", metric: str = "val_loss") -> "list[Metric]":
    return sorted(
        store.open_store().client.get_metric_history(run.info.run_id, metric), key=lambda point: point.timestamp
    )


def by_name() -> "dict[str, Run]":
    """Return the nested runs by name, and the run itself as `means`."""
    (run,) = runs()
    return {"means": run} | {one.info.run_name: one for one in runs(nested=True)}


def until(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "nothing of the kind happened"
        time.sleep(0.05)


def test_an_epoch_reaches_its_replicates_run_as_it_ends_and_the_means_the_variants(curves):
    with tracking.training(VARIANT, DATASET, SOFTWARE) as log:
        began = int(time.time() * 1000) / 1000  # MLflow keeps milliseconds
        for epoch in (1, 2):
            log.epoch(0, epoch, curves[0][epoch - 1])
            until(lambda: len(points(by_name()["seed 0"])) == epoch)  # noqa: B023
        log.epoch(1, 1, curves[1][0])
        until(lambda: points(by_name()["means"]))
        found = by_name()
        assert {run.info.status for run in found.values()} == {"RUNNING"}
        first, second = points(found["seed 0"])
        assert (first.step, first.value, second.step) == (1, curves[0][0][2], 2)
        assert began <= first.timestamp / 1000 < second.timestamp / 1000 <= time.time()
        (mean,) = points(found["means"])
        assert (mean.step, mean.value) == (1, pytest.approx((curves[0][0][2] + curves[1][0][2]) / 2))
        log(VARIANT.folder)
    found = by_name()
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    for name, run in found.items():
        for metric in [*CURVES, "test_accuracy"]:
            steps = sorted(point.step for point in points(run, metric))
            assert steps == ([*range(1, VARIANT.epochs + 1)] if metric in CURVES else [0]), (name, metric)
    assert points(found["seed 0"])[:2] == [first, second]


def test_a_replicate_that_is_taken_has_its_curve_at_once(curves):
    with tracking.training(VARIANT, DATASET, SOFTWARE) as log:
        log.take(Replicate(1, None, curves[1], {}, np.zeros((1, 10))))
        until(lambda: points(by_name()["seed 1"]))
        assert [point.value for point in points(by_name()["seed 1"])] == curves[1][:, 2].tolist()


def test_an_interrupted_training_keeps_its_points(curves):
    with pytest.raises(KeyboardInterrupt), tracking.training(VARIANT, DATASET, SOFTWARE) as log:
        log.epoch(0, 1, curves[0][0])
        raise KeyboardInterrupt
    found = by_name()
    assert {run.info.status for run in found.values()} == {"KILLED"}
    assert [point.step for point in points(found["seed 0"])] == [1]


@pytest.mark.slow
def test_a_killed_training_keeps_its_points_and_goes_on_in_the_same_runs(curves, tracked_checkout):
    with subprocess.Popen(
        [sys.executable, "-c", RUNNING], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout.readline() == "training\n"
        process.kill()
    killed = by_name()
    assert {run.info.status for run in killed.values()} == {"KILLED"}
    before = points(killed["seed 0"])
    assert [point.step for point in before] == [1, 2, 3]
    assert killed["seed 0"].info.end_time == before[-1].timestamp

    with tracking.training(VARIANT, DATASET, SOFTWARE, tracked_checkout / "memory") as log:
        assert {run.info.status for run in by_name().values()} == {"RUNNING"}
        for epoch in (2, 3, 4):  # the checkpoint is of the first epoch
            log.epoch(0, epoch, curves[0][epoch - 1])
            log.epoch(1, epoch, curves[1][epoch - 1])
        log(VARIANT.folder)
    found = by_name()
    assert {name: run.info.run_id for name, run in found.items()} == {
        name: run.info.run_id for name, run in killed.items()
    }
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert store.REASON not in found["means"].data.tags
    for run in found.values():
        assert sorted(point.step for point in points(run)) == [*range(1, VARIANT.epochs + 1)]
    assert points(found["seed 0"])[:3] == before


@pytest.mark.parametrize("alone", [True, False])
def test_a_training_whose_container_was_killed_goes_on_in_the_same_runs(curves, tracked_checkout, monkeypatch, alone):
    """Nobody outside sees that its process is gone; but the stage's lock, which DVC's stages take, was free."""
    memory = tracked_checkout / "memory"
    with monkeypatch.context() as patch:
        patch.setattr(store, "_process", lambda: "container boot pid:[1] 1 1")
        with pytest.raises(KeyboardInterrupt), tracking.training(VARIANT, DATASET, SOFTWARE, memory):
            raise KeyboardInterrupt
    opened, killed = store.open_store(), by_name()
    for run in killed.values():
        opened.client.update_run(run.info.run_id, "RUNNING")
    if alone:
        monkeypatch.setenv("DVC_STAGE", "train-candidate")
    with tracking.training(VARIANT, DATASET, SOFTWARE, memory) as log:
        log(VARIANT.folder)
    left = [run.info.status for run in [*runs(), *runs(nested=True)] if run.info.status == "RUNNING"]
    assert len(left) == (0 if alone else len(killed))


def test_a_store_that_fails_meanwhile_costs_one_line_and_gets_the_rest_at_the_end(curves, capfd):
    with tracking.training(VARIANT, DATASET, SOFTWARE) as log:
        with without_metrics():
            log.epoch(0, 1, curves[0][0])
            log.live.thread.join(timeout=30)
        log.epoch(0, 2, curves[0][1])
        log(VARIANT.folder)
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("warning: MLflow at sqlite:///mlruns/mlflow.db: OperationalError: ")
    for run in by_name().values():
        assert (run.info.status, len(points(run))) == ("FINISHED", VARIANT.epochs)
