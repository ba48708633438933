"""The candidate loop against an MLflow server on PostgreSQL, artifacts served: real ones, and what if it dies."""

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.helpers.servers import NEEDS_POSTGRESQL, PASSWORD, MlflowServer, postgresql

pytestmark = [pytest.mark.slow, pytest.mark.long, NEEDS_POSTGRESQL]


@pytest.fixture
def server(tmp_path) -> Iterator[MlflowServer]:
    """Yield a server to start, on a database that runs."""
    with postgresql() as database:
        yield MlflowServer(database, tmp_path / "kept")


def test_a_server_gets_the_candidates_runs_and_its_death_costs_none(project, server, tmp_path):
    with server:
        output = project.run(
            "dvc", "exp", "run", "-n", "first", "-S", "activation=tanh", MLFLOW_TRACKING_URI=server.address
        )
        assert "warning" not in output
        assert PASSWORD not in output
        (run,) = server.candidates()
        assert (run["info"]["run_name"], run["info"]["status"]) == ("first", "FINISHED")
        assert {"test_accuracy", "val_loss"} <= {metric["key"] for metric in run["data"]["metrics"]}
        kept = tmp_path / "kept" / run["info"]["artifact_uri"].partition("mlflow-artifacts:/")[2]
        assert {path.name for path in kept.glob("figures/*.png")} == {"accuracy.png", "errors.png", "loss.png"}

        second = subprocess.Popen(
            ["dvc", "exp", "run", "-n", "second", "-S", "activation=elu", "-S", "epochs=20"], cwd=project.folder,
            env=project.environment | {"MLFLOW_TRACKING_URI": server.address},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        end = time.monotonic() + 120
        while len(server.candidates()) < 2 and time.monotonic() < end:
            time.sleep(0.2)
        assert {found["info"]["status"] for found in server.candidates()} == {"FINISHED", "RUNNING"}
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0, output
    warnings = [line for line in output.splitlines() if line.startswith("warning: ")]
    assert ["the training goes on" in line for line in warnings] == [True, False], output  # train's and compare's
    for line in warnings:
        assert line.startswith(f"warning: MLflow at {server.shown}: ")
        assert line.endswith("`mnist-mlp track` logs it later")
    assert "Traceback" not in output
    assert PASSWORD not in output

    with server:
        for made in ("created", "unchanged"):
            said = project.run("python", "-m", "mnist_mlp", "track", MLFLOW_TRACKING_URI=server.address).splitlines()
            assert len(said) == 1
            assert (said[0].startswith("MLflow: 0 created, 0 completed")) == (made == "unchanged")
            found = {run["info"]["run_name"]: run["info"]["status"] for run in server.candidates()}
            assert found["first"] == "FINISHED"
        states = sorted(run["info"]["status"] for run in server.candidates() if run["info"]["run_name"] == "second")
        assert states == ["FINISHED", "KILLED"]
        assert server.ask("registered-models/alias?name=mnist-mlp&alias=champion")["model_version"]["version"] == "1"
