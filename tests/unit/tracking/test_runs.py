"""A training's runs in the real MLflow, on SQLite, over made-up outputs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from mnist_mlp import paths
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.digests import md5
from mnist_mlp.tracking import metadata, store
from mnist_mlp.tracking import runs as tracking
from mnist_mlp.training.outputs import METRICS, Origin
from tests.helpers.params import PARAMS, ROOT
from tests.helpers.project import work_in
from tests.helpers.servers import PASSWORD, MlflowServer, free_port
from tests.helpers.tracked import (
    DATABASE,
    DATASET,
    SOFTWARE,
    make_checkout,
    runs,
    train,
    without_metrics,
    write_outputs,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

FROM_DVC = {"DVC_STAGE": "train-architectures@model4", "DVC_EXP_NAME": "dusky-mole", "DVC_EXP_BASELINE_REV": "abc"}
VARIANT = PARAMS.variant("architectures", "model4").model_copy(  # of more points than MLflow takes at once
    update={"epochs": 260, "seeds": (7, 3)}
)
WAITING = f"""
import time
from mnist_mlp import config
from mnist_mlp.tracking import runs
params = config.load()
with runs.training(params.candidate, {DATASET!r}, params.software):
    print("training", flush=True)
    time.sleep(60)
"""


@dataclass(frozen=True)
class Logged:
    """A training that was logged. curves: by seed and epoch; finals: by seed."""

    folder: Path
    store: store.Store
    run: "Run"
    replicates: "list[Run]"
    curves: pd.DataFrame
    finals: pd.DataFrame
    fingerprint: str

    def curve(self, run: "Run", metric: str) -> dict[int, float]:
        """Return a metric's points, by epoch."""
        points = self.store.client.get_metric_history(run.info.run_id, metric)
        return {point.step: point.value for point in points}


@pytest.fixture(scope="module")
def logged(tmp_path_factory) -> Iterator[Logged]:
    folder = tmp_path_factory.mktemp("logged") / "checkout"
    make_checkout(folder)
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        for name, value in FROM_DVC.items():
            patch.setenv(name, value)
        paths.LOCKFILE.write_text("stages: {}\n")
        train(VARIANT)
        (run,), finals = runs(), json.loads((VARIANT.folder / "metrics.json").read_text())["replicates"]
        curves = pd.read_csv(VARIANT.folder / "history.csv", index_col=["seed", "epoch"])
        fingerprint = metadata.fingerprint(VARIANT, DATASET, SOFTWARE)
        opened, replicates = store.open_store(), runs(nested=True)
        yield Logged(folder, opened, run, replicates, curves, pd.DataFrame(finals).set_index("seed"), fingerprint)


def test_a_finished_run_bears_its_variants_name(logged):
    assert (logged.run.info.run_name, logged.run.info.status) == ("model4", "FINISHED")


def test_parameters_are_logged_as_params_yaml_spells_them(logged):
    expected = {"study": "architectures", "variant": "model4"} | VARIANT.parameters() | {"learning_rate": 0.01}
    assert logged.run.data.params == {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in expected.items()
    }


def test_final_metrics_are_means_over_seeds(logged):
    metrics, finals = logged.run.data.metrics, logged.finals
    for name in METRICS:
        assert metrics[name] == pytest.approx(finals[name].mean(), abs=1e-6)
    assert metrics["test_accuracy_std"] == pytest.approx(finals["test_accuracy"].std(ddof=1), abs=1e-6)
    assert {"train_accuracy_std", "val_accuracy_std"} < metrics.keys()
    assert "test_loss_std" not in metrics
    assert (metrics["parameters"], metrics["penalty"]) == (1234, 0.25)
    assert 0 < metrics["training_seconds"] < 60


def test_curves_are_means_over_seeds(logged):
    means = logged.curves.groupby("epoch")["val_loss"].mean()
    assert logged.curve(logged.run, "val_loss") == pytest.approx(means.to_dict())


def test_tags_tell_what_the_training_followed_from(logged):
    tags = logged.run.data.tags
    assert [tags[f"dvc.{what}"] for what in ("stage", "experiment", "baseline")] == [*FROM_DVC.values()]
    assert (tags["study"], tags["variant"], tags["dataset"]) == ("architectures", "model4", "mnist")
    assert tags["fingerprint"] == logged.fingerprint
    assert tags["dvc.lock"] == md5(logged.folder / paths.LOCKFILE)
    assert "cpu" in tags
    installed = {f"version.{name}": version(name) for name in ("keras", "tensorflow", "numpy", "mlflow", "dvc")}
    assert installed.items() < tags.items()
    assert tags["version.python"] == sys.version.split()[0]


def test_the_note_tells_layers_and_result(logged):
    note = logged.run.data.tags["mlflow.note.content"]
    assert "512, dropout 0.25, 128, batch norm, 64" in note
    assert f"{logged.finals['test_accuracy'].mean():.2%}" in note


def test_data_sets_are_logged_with_their_rows(logged):
    rows = {
        given.tags[0].value: json.loads(given.dataset.profile)["num_rows"] for given in logged.run.inputs.dataset_inputs
    }
    assert rows == {"train": 60000, "validation": 10000, "test": 10000}


def test_each_replicate_has_a_nested_run_of_its_numbers(logged):
    assert {int(run.data.params["seed"]) for run in logged.replicates} == set(VARIANT.seeds)
    for run in logged.replicates:
        seed = int(run.data.params["seed"])
        assert (run.info.run_name, run.info.status) == (f"seed {seed}", "FINISHED")
        assert run.data.tags["mlflow.parentRunId"] == logged.run.info.run_id
        assert logged.curve(run, "accuracy") == pytest.approx(logged.curves.loc[seed, "accuracy"].to_dict())
        assert run.data.metrics["test_loss"] == logged.finals.loc[seed, "test_loss"]


def test_nested_runs_tell_whether_a_replicate_was_trained_or_taken_and_from_which_run(tracked_checkout):
    train(PARAMS.candidate)
    (first,) = runs()
    origins = {0: None, 1: Origin("candidate/candidate", first.info.run_id)}
    with tracking.training(PARAMS.candidate, DATASET, SOFTWARE) as log:
        log(write_outputs(PARAMS.candidate), origins)
    told = [
        {name: value for name, value in run.data.tags.items() if name.startswith("replicate")}
        for run in runs(nested=True) if run.data.tags["mlflow.parentRunId"] == log.run_id
    ]  # fmt: skip
    taken = {"replicate": "taken from candidate/candidate", "replicate.run": first.info.run_id}
    assert sorted(told, key=len) == [{"replicate": "trained"}, taken]


@pytest.mark.parametrize("run", ["", "0123456789abcdef0123456789abcdef"], ids=["unknown", "of another store"])
def test_the_run_of_a_taken_replicate_is_left_out_if_the_store_has_none(tracked_checkout, run):
    with tracking.training(PARAMS.candidate, DATASET, SOFTWARE) as log:
        log(write_outputs(PARAMS.candidate), {0: Origin("techniques/none-relu", run)})
    (told,) = [run.data.tags for run in runs(nested=True) if "replicate" in run.data.tags]
    assert told["replicate"] == "taken from techniques/none-relu"
    assert "replicate.run" not in told


def test_artifacts_are_the_outputs_and_their_figures(logged):
    kept, outputs = logged.folder / logged.run.info.artifact_uri, logged.folder / VARIANT.folder
    for name in ("history.csv", "metrics.json"):
        assert (kept / name).read_bytes() == (outputs / name).read_bytes()
    assert {path.name for path in (kept / "figures").iterdir()} == {"accuracy.png", "loss.png"}


def test_a_training_that_is_logged_prints_nothing(tracked_checkout, capfd):
    train(PARAMS.candidate)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (UserError("the loss is no longer finite"), "FAILED", "UserError: the loss is no longer finite"),
        (KeyboardInterrupt(), "KILLED", "Ctrl-C"),
    ],
    ids=["error", "Ctrl-C"],
)
def test_a_training_that_raises_leaves_a_run_with_the_reason(tracked_checkout, error, status, reason):
    with pytest.raises(type(error)), tracking.training(PARAMS.candidate, DATASET, SOFTWARE):
        raise error
    (run,) = runs()
    assert (run.info.status, run.data.tags[store.REASON]) == (status, reason)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_training_that_logs_no_outputs_has_failed(tracked_checkout):
    with tracking.training(PARAMS.candidate, DATASET, SOFTWARE):
        pass
    (run,) = runs()
    assert (run.info.status, run.data.tags[store.REASON]) == ("FAILED", "its outputs were not logged")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "status", "reason"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGKILL, -9, "its process is gone")]
)
def test_a_killed_process_leaves_no_running_run(tracked_checkout, sent, status, reason):
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout.readline() == "training\n"
        assert [run.info.status for run in runs()] == ["RUNNING"]
        process.send_signal(sent)
        assert process.wait(timeout=20) == status
    (run,) = runs()
    assert (run.info.status, run.data.tags[store.REASON]) == ("KILLED", reason)
    train(PARAMS.candidate)
    assert sorted(run.info.status for run in runs()) == ["FINISHED", "KILLED"]


@pytest.mark.parametrize(
    "address", ["http://me:sesame%21@127.0.0.1:{port}", "postgresql://me:sesame!@localhost:{port}/db?password=sesame"]
)
def test_an_unreachable_server_costs_one_line_without_the_password(tracked_checkout, monkeypatch, capfd, address):
    address = address.format(port=free_port())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    train(PARAMS.candidate)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"warning: MLflow at {address.partition(':')[0]}://")
    assert err.endswith("the training goes on; `mnist-mlp track` logs it later\n")
    assert err.count("\n") == 1
    assert "sesame" not in err
    assert (PARAMS.candidate.folder / "history.csv").exists()


@pytest.mark.parametrize("obstacle", ["file for the folder", "folder for the file", "junk"])
def test_a_store_that_cannot_be_opened_loses_no_training(checkout, capfd, obstacle):
    if obstacle == "file for the folder":
        DATABASE.parent.write_text("")
    elif obstacle == "folder for the file":
        DATABASE.mkdir(parents=True)
    else:
        DATABASE.parent.mkdir()
        DATABASE.write_text("no database")
    train(PARAMS.candidate)
    err = capfd.readouterr().err
    assert err.startswith("warning: MLflow at sqlite:///mlruns/mlflow.db: ")
    assert err.count("\n") == 1


def test_a_store_that_fails_midway_loses_no_training(tracked_checkout, capfd):
    with tracking.training(PARAMS.candidate, DATASET, SOFTWARE) as log, without_metrics():
        log(write_outputs(PARAMS.candidate))
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("warning: MLflow at sqlite:///mlruns/mlflow.db: OperationalError: ")
    assert err.count("\n") == 1
    assert [run.info.status for run in runs()] == ["FAILED"]


@pytest.fixture
def server(checkout, tmp_path, monkeypatch) -> Iterator[MlflowServer]:
    with MlflowServer(f"sqlite:///{tmp_path}/server.db", tmp_path / "kept") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        yield server


@pytest.mark.slow
def test_a_server_gets_runs_and_figures_and_its_death_costs_one_line(server, tmp_path, capfd):
    train(PARAMS.candidate)
    assert [run.info.status for run in runs()] == ["FINISHED"]
    assert len(list((tmp_path / "kept").rglob("*.png"))) == 2
    assert capfd.readouterr() == ("", "")
    with tracking.training(PARAMS.candidate, DATASET, SOFTWARE) as log:
        server.kill()
        log(PARAMS.candidate.folder)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"warning: MLflow at {server.shown}: ConnectionRefusedError")
    assert err.count("\n") == 1
    assert PASSWORD not in err
