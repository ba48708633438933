"""Artifact paths that survive a move, and what warns of an MLflow that keeps them in another way."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from mnist_mlp.tracking import artifact_paths, store
from tests.helpers.params import PARAMS
from tests.helpers.tracked import DATABASE, runs, train

LOOK = (
    f"MLflow {version('mlflow')} keeps artifact paths otherwise than mnist_mlp/tracking/artifact_paths.py expects: "
    "compare STATEMENTS there with mlflow/store/tracking/dbmodels/models.py and "
    "mlflow/store/model_registry/dbmodels/models.py, or pin an earlier MLflow in pyproject.toml"
)
PATHS = {  # the columns that hold paths of artifacts; MLflow's workspaces, which the project doesn't use, have two more
    "experiments.artifact_location", "runs.artifact_uri", "logged_models.artifact_location",
    "model_versions.storage_location", "workspaces.default_artifact_root", "workspaces.trace_archival_location",
}  # fmt: skip


def test_the_installed_mlflow_has_every_column_that_is_written(empty_store):
    with contextlib.closing(sqlite3.connect(empty_store / "mlflow.db")) as database:
        for statement in artifact_paths.STATEMENTS:
            try:
                database.execute(f"EXPLAIN {statement}", {"location": "artifacts", "experiment": "1"})
            except sqlite3.OperationalError as error:
                raise AssertionError(f"{error}: {LOOK}") from None


def test_the_installed_mlflow_has_no_other_column_of_artifact_paths(empty_store):
    with contextlib.closing(sqlite3.connect(empty_store / "mlflow.db")) as database:
        columns = database.execute(
            "SELECT tables.name || '.' || columns.name FROM sqlite_master AS tables, pragma_table_info(tables.name) "
            "AS columns WHERE tables.type = 'table' AND (columns.name LIKE '%artifact%' OR columns.name LIKE '%loc%n')"
        )
        assert {name for (name,) in columns} == PATHS, LOOK


def test_the_installed_mlflow_lists_artifacts_of_a_store_made_relative_and_moved(
    tracked_checkout, tmp_path, monkeypatch
):
    """A run's and a model's, by MLflow's own client alone."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tracked_checkout}/{DATABASE}")
    experiment = client.create_experiment("any", artifact_location=f"{tracked_checkout}/artifacts")
    run, model = client.create_run(experiment), client.create_logged_model(experiment)
    for place in map(Path, (run.info.artifact_uri, model.artifact_location)):  # the client would remember the places
        place.mkdir(parents=True)
        (place / "figure.png").write_bytes(b"a figure")
    artifact_paths.relocate(DATABASE, experiment, "artifacts")
    monkeypatch.chdir(tracked_checkout.rename(tmp_path / "moved"))
    client = MlflowClient(f"sqlite:///{tmp_path}/moved/{DATABASE}")
    found = client.list_artifacts(run.info.run_id), client.list_logged_model_artifacts(model.model_id)
    assert [[file.path for file in files] for files in found] == [["figure.png"]] * 2, LOOK
    new = client.create_run(experiment).info.artifact_uri, client.create_logged_model(experiment).artifact_location
    assert [path for path in new if not path.startswith("artifacts/")] == [], LOOK


def test_a_moved_checkout_shows_its_figures(tracked_checkout, tmp_path, monkeypatch):
    train(PARAMS.candidate)
    monkeypatch.chdir(tracked_checkout.rename(tmp_path / "moved é 100%20 %2F %41 #?"))
    (run,) = runs()
    listed = store.open_store().client.list_artifacts(run.info.run_id, "figures")
    assert [file.path for file in listed] == ["figures/accuracy.png", "figures/loss.png"], LOOK


def test_mlflows_own_commands_find_the_store_in_any_folder(tracked_checkout, tmp_path, monkeypatch):
    """Plain `mlflow ui` and the like, without a variable: MLflow's default is a file mlflow.db in the folder."""
    train(PARAMS.candidate)
    monkeypatch.chdir(tracked_checkout.rename(tmp_path / "moved é 100%20 %2F %41 #?"))
    (run,) = runs()
    found = subprocess.run(
        [sys.executable, "-m", "mlflow", "artifacts", "list", "-r", run.info.run_id], capture_output=True, text=True
    )
    assert "figures" in found.stdout, found.stderr
    Path(store.MLFLOWS_OWN).unlink()
    Path(store.MLFLOWS_OWN).write_text("the user's own")
    assert [one.info.run_id for one in runs()] == [run.info.run_id]
    assert Path(store.MLFLOWS_OWN).read_text() == "the user's own"


def test_a_copy_elsewhere_logs_to_the_checkout_that_dvc_names(tracked_checkout, tmp_path, monkeypatch):
    copy = tmp_path / "temporary copy"
    shutil.copytree(tracked_checkout, copy, ignore=shutil.ignore_patterns("mlruns"))
    monkeypatch.setenv("DVC_ROOT", str(tracked_checkout))
    monkeypatch.chdir(copy)
    train(PARAMS.candidate)
    assert not (copy / "mlruns").exists()
    assert len(list(tracked_checkout.glob("mlruns/artifacts/*/artifacts/figures/*.png"))) == 2
