"""The pipeline on Dask as people start it, and what it left."""

import os
import queue
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from tests.helpers.project import Project, forks, processes

OUTPUTS = ("data", "models", "reports")


def cluster(project: Project, *words: str, status: int = 0, **environment: str) -> str:
    return project.run("python", "-m", "mnist_mlp", "cluster", *words, status=status, **environment)


def state(project: Project) -> tuple[bytes, dict[str, bytes]]:
    """dvc.lock and every output."""
    return (project.folder / "dvc.lock").read_bytes(), project.visible(*OUTPUTS)


def runs(project: Project) -> set:
    """Return name, digest and metrics' names of what MLflow holds for each variant and for the reports.

    A stage that is interrupted after its run has ended is run again, and leaves two runs that are the same."""
    project.run("python", "-m", "mnist_mlp", "track")
    own = [run for run in project.store().find() if "mlflow.parentRunId" not in run.data.tags]
    return {
        (run.info.run_name, run.data.tags.get("results", ""), frozenset(run.data.metrics.keys() - {"training_seconds"}))
        for run in own
    }


def nothing_to_do(project: Project) -> bool:
    return not project.ran(project.run("dvc", "repro"))


def started(output: str) -> list[str]:
    return re.findall(r"^(\S+)  started on", output, re.M)


def ended(output: str) -> list[str]:
    return re.findall(r"^\[\d+/\d+\] (\S+)  [\d.]+ s on", output, re.M)


class Talker:
    """A command that runs while its lines are read. folder: where; before: words before it."""

    def __init__(self, project: Project, *words: str, before: tuple[str, ...] = (), **environment: str):
        self.process = subprocess.Popen(
            [*before, "python", "-m", "mnist_mlp", "cluster", *words], cwd=project.folder, text=True,
            start_new_session=True,
            env=project.environment | {"PYTHONUNBUFFERED": "1"} | environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines: list[str] = []
        self.fresh: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            self.fresh.put(line)
        self.fresh.put("")

    def until(self, pattern: str, seconds: float = 120) -> re.Match:
        """The first line from now that a pattern is found in."""
        end = time.monotonic() + seconds
        while True:
            line = self.fresh.get(timeout=max(0.1, end - time.monotonic()))
            assert line, "".join(self.lines)
            if found := re.search(pattern, line):
                return found

    def end(self, status: int = 0, seconds: float = 300) -> str:
        self.process.wait(seconds)
        time.sleep(0.2)
        assert self.process.returncode == status, "".join(self.lines)
        return "".join(self.lines)


def kill_worker(folder: Path) -> None:
    """Kill a Dask worker's process that trains in a checkout below a folder."""
    end = time.monotonic() + 60
    while not (forks(folder) and (clients := processes(folder, lambda words: "stages.train" in words))):
        assert time.monotonic() < end, "nothing is trained"
        time.sleep(0.1)
    time.sleep(1)
    runner = next(process for process in clients[0].parents() if "mnist_mlp.cluster.stage_runner" in process.cmdline())
    os.kill(runner.ppid(), signal.SIGKILL)
