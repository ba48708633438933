"""The candidate loop against an MLflow server on PostgreSQL, artifacts served: real ones, and what if it dies."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

BINARIES = [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
BINARIES += [Path(found).parent for found in [shutil.which("initdb")] if found]
PASSWORD = "open-sesame"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BINARIES, reason="no PostgreSQL here: `apt-get install postgresql`"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def database() -> Iterator[str]:
    """A PostgreSQL of the test's own; its address, password and all. It refuses to run as root."""
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder, port = Path(tempfile.mkdtemp(prefix="postgresql-")), free_port()
    (folder / "password").write_text(PASSWORD)
    if user:
        shutil.chown(folder, "postgres")
        shutil.chown(folder / "password", "postgres")

    def call(program: str, *words: object) -> None:
        command = [*user, BINARIES[-1] / program, "-D", folder / "data", *words]
        subprocess.run([str(word) for word in command], cwd=folder, check=True, stdout=subprocess.DEVNULL)

    try:
        call("initdb", "--username=me", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256")
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        call("pg_ctl", "--wait", f"--log={folder / 'log'}", f"--options={settings}", "start")
        yield f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/postgres"
        call("pg_ctl", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """`mlflow server` on a database; `address` names a user and a password, as one behind a proxy would need."""

    def __init__(self, database: str, folder: Path):
        self.port = free_port()
        self.address = f"http://me:{PASSWORD}@127.0.0.1:{self.port}"
        self.log = folder.with_suffix(".log")
        self.command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--workers", "1",
                        "--artifacts-destination", folder, "--port", str(self.port)]  # fmt: skip

    def __enter__(self) -> "Server":
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self.process = subprocess.Popen(
            self.command, env=os.environ | quiet, start_new_session=True,
            stdout=self.log.open("a"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
                return self
            time.sleep(0.3)
        self.__exit__()
        raise AssertionError(self.log.read_text())

    def __exit__(self, *error) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def candidates(self) -> list[dict]:
        """The candidate's runs, asked for as any client would."""
        experiment = self.ask("experiments/search", {"max_results": 10})["experiments"]
        numbers = [found["experiment_id"] for found in experiment if found["name"] == "mnist-mlp"]
        search = {"experiment_ids": numbers, "filter": "tags.kind = 'variant' and tags.study = 'candidate'"}
        return self.ask("runs/search", search).get("runs", []) if numbers else []

    def ask(self, what: str, body: dict | None = None) -> dict:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/2.0/mlflow/{what}", json.dumps(body).encode() if body else None,
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def test_a_server_gets_the_candidates_runs_and_its_death_costs_none(project, database, tmp_path):
    with Server(database, tmp_path / "kept") as server:
        output = project.run(
            "dvc", "exp", "run", "-n", "first", "-S", "activation=tanh", MLFLOW_TRACKING_URI=server.address
        )
        assert "warning" not in output
        assert PASSWORD not in output
        (run,) = server.candidates()
        assert (run["info"]["run_name"], run["info"]["status"]) == ("first", "FINISHED")
        assert {"test_accuracy", "val_loss"} <= {metric["key"] for metric in run["data"]["metrics"]}
        kept = tmp_path / "kept" / run["info"]["artifact_uri"].partition("mlflow-artifacts:/")[2]
        assert {path.name for path in kept.glob("figures/*.png")} == {"accuracy.png", "loss.png"}

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
    assert len(warnings) == 1, output
    assert warnings[0].startswith(f"warning: MLflow at http://127.0.0.1:{server.port}: ")
    assert "`python -m stages.track` logs it later" in warnings[0]
    assert "Traceback" not in output
    assert PASSWORD not in output

    with server:
        for made in ("created", "unchanged"):
            said = project.run("python", "-m", "stages.track", MLFLOW_TRACKING_URI=server.address).splitlines()
            assert len(said) == 1
            assert (said[0].startswith("0 created, 0 completed")) == (made == "unchanged")
            found = {run["info"]["run_name"]: run["info"]["status"] for run in server.candidates()}
            assert found["first"] == "FINISHED"
        states = sorted(run["info"]["status"] for run in server.candidates() if run["info"]["run_name"] == "second")
        assert states == ["FINISHED", "KILLED"]
        assert server.ask("registered-models/alias?name=mnist-mlp&alias=champion")["model_version"]["version"] == "1"
