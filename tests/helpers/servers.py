"""Servers that tests start for themselves: MLflow's, and PostgreSQL."""

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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

BINARIES = [path.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
BINARIES += [Path(found).parent for found in [shutil.which("initdb")] if found]
NEEDS_POSTGRESQL = pytest.mark.skipif(not BINARIES, reason="no PostgreSQL here: `apt-get install postgresql`")
PASSWORD = "open-sesame"
PATIENCE = 120  # seconds


def free_port() -> int:
    """Return a port of this machine at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_healthy(address: str, process: subprocess.Popen, log: Path) -> None:
    """Wait until a server answers. Raises AssertionError with its log if it ends or takes too long."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        time.sleep(0.2)
    raise AssertionError(log.read_text())


def end_group(process: subprocess.Popen, number: signal.Signals = signal.SIGKILL) -> None:
    """End a process that leads a session, and all of that session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    process.wait(timeout=30)


class MlflowServer:
    """`mlflow server` on a database while the block runs; on entering it again, it is started again.

    folder: where it keeps artifacts. address: names a user and a password, as a server behind a proxy needs them."""

    def __init__(self, database: str, folder: Path, host: str = "127.0.0.1"):
        self.port = free_port()
        self.shown = f"http://{host}:{self.port}"
        self.address = f"http://me:{PASSWORD}@{host}:{self.port}"
        self.log = folder.with_suffix(".log")
        self.command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--workers", "1",
                        "--artifacts-destination", folder, "--host", host, "--port", str(self.port)]  # fmt: skip

    def __enter__(self) -> Self:
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command, env=os.environ | quiet, start_new_session=True, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_until_healthy(self.shown, self.process, self.log)
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it at once, as a machine that loses its power."""
        end_group(self.process)

    def ask(self, what: str, body: dict | None = None) -> dict:
        """Return the answer of its REST interface."""
        request = urllib.request.Request(
            f"{self.shown}/api/2.0/mlflow/{what}", json.dumps(body).encode() if body else None,
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def candidates(self) -> list[dict]:
        """Return the candidate's runs."""
        return self.runs("tags.kind = 'variant' and tags.study = 'candidate'")

    def runs(self, query: str) -> list[dict]:
        """Return the runs that a filter finds, asked for as any client would."""
        experiment = self.ask("experiments/search", {"max_results": 10})["experiments"]
        numbers = [found["experiment_id"] for found in experiment if found["name"] == "mnist-mlp"]
        search = {"experiment_ids": numbers, "filter": query}
        return self.ask("runs/search", search).get("runs", []) if numbers else []


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL of the test's own; yield its address, password and all. It refuses to run as root."""
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
        try:
            yield f"postgresql://me:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "--mode=immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
