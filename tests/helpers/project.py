"""A project of a test's own to run real DVC in: the checkout's code, a few variants, one epoch each, the sample."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil
import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from mnist_mlp.tracking.store import Store, open_store
from tests.helpers.params import PARAMS_FILE, ROOT
from tests.helpers.pipeline import write_studies
from tests.helpers.variants import shrink

if TYPE_CHECKING:
    from mlflow.entities import Run

KEPT = {
    "architectures": ["model2"],
    "techniques": [["none", "l1", "batchnorm"], ["relu"]],
    "penalties": [["l2-1e-3"], ["relu"]],
}
FOREIGN = ("DVC_", "MLFLOW_", "MNIST_")  # the user's own variables, which no test may see


def work_in(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Change into a folder, without the user's variables, until the patch ends."""
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            patch.delenv(name)
    patch.chdir(folder)


def own_variables() -> dict[str, str]:
    """Return the variables without the user's own for DVC, MLflow and MNIST; this environment's commands come first."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"}


def copy_checkout(folder: Path) -> None:
    """Copy every file that git holds, or would add, as it is now."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


class Project:
    """A copy of the project, under git and DVC, shrunk to a few variants of an epoch each on mnist-sample."""

    output = ""  # what its first `dvc repro` printed, if a fixture keeps it here
    shared: ClassVar[dict[str, str]] = {}  # variables of commands whose test asks for none of its own

    def __init__(self, folder: Path):
        self.folder = folder
        copy_checkout(folder)
        shutil.rmtree(folder / "reports", ignore_errors=True)
        (folder / "dvc.lock").unlink(missing_ok=True)
        shutil.copy2(PARAMS_FILE, folder / "params.yaml")
        write_studies(folder / "dvc.yaml", folder / "params.yaml")  # the user's studies are his own
        self.change(self._shrink)
        self.run("python", "-m", "mnist_mlp.pipeline.plots_page")
        self.git("init", "--quiet")
        self.commit()

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """Return the project that is in a folder already."""
        project = object.__new__(cls)
        project.folder = folder
        return project

    @staticmethod
    def _shrink(params: dict) -> None:
        params["dataset"], params["epochs"], params["batch_size"] = "mnist-sample", 1, 100
        for study in KEPT:
            params[study]["protocol"]["epochs"] = 1
        shrink(params, KEPT)

    def change(self, edit: Callable[[dict], object]) -> None:
        """Rewrite params.yaml as edit(params) changes it."""
        yaml, path = YAML(), self.folder / "params.yaml"
        params = yaml.load(path.read_text())
        edit(params)
        yaml.dump(params, path)

    def run(self, *command: str, status: int | None = 0, **environment: str) -> str:
        """Return what a command printed, both streams. Its exit status must be `status`, unless that is None."""
        done = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=self.environment | (environment or self.shared),
        )  # fmt: skip
        assert status is None or done.returncode == status, done.stdout
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its commands. A training writes checkpoints often, so that a test can soon interrupt it.

        Byte code is written, whatever the user's own setting is: every stage would compile the project's code again."""
        settings = {"PYTHONPATH": "", "COLUMNS": "200", "MNIST_MLP_CHECKPOINT_SECONDS": "0.5"}
        return own_variables() | settings | {"PYTHONDONTWRITEBYTECODE": ""}

    def store(self) -> Store:
        """Return its MLflow store, opened in the tests' own process: another one would import MLflow first."""
        with pytest.MonkeyPatch.context() as patch:
            work_in(patch, self.folder)
            return open_store()

    def runs(self, query: str = "") -> "list[Run]":
        """Return the runs of its store, nested ones too. query: MLflow's, such as `tags.study = 'candidate'`."""
        store = self.store()
        return list(store.client.search_runs([store.experiment], query))

    def git(self, *words: str) -> str:
        """Return what a git command printed."""
        return self.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", *words)

    def commit(self) -> None:
        """Commit all that git doesn't ignore."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "state", "--allow-empty")

    def ran(self, output: str) -> list[str]:
        """Return the stages that a `dvc repro` or `dvc exp run` ran, in order. output: what it printed."""
        lines = [line for line in output.splitlines() if line.startswith("Running stage '")]
        return [line.split("'")[1] for line in lines]

    def digests(self, *folders: str) -> dict[str, bytes]:
        """Return the bytes of every file below these folders."""
        paths = [path for folder in folders for path in (self.folder / folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in sorted(paths)}

    def visible(self, *folders: str) -> dict[str, bytes]:
        """Return the same, without the hidden files that an interrupted stage left."""
        return {name: content for name, content in self.digests(*folders).items() if "/." not in name}

    def checkpoints(self) -> dict[Path, int]:
        """Return each checkpoint with the time at which it was written."""
        return {path: path.stat().st_mtime_ns for path in self.folder.glob("models/.checkpoints/*/*/*/seed-*.npz")}


def processes(folder: Path, matches: Callable[[list[str]], bool] = lambda words: True) -> list[psutil.Process]:
    """Return the processes that work below a folder, by a command whose words match."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if matches(process.cmdline()) and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def servers(folder: Path) -> list[psutil.Process]:
    """Return the warm processes that were started below a folder."""
    found = processes(folder, lambda words: any(word.endswith("pipeline/warm_server.py") for word in words))
    forked = {child.pid for process in found for child in children(process)}
    return [process for process in found if process.pid not in forked]


def forks(folder: Path) -> list[psutil.Process]:
    """Return the processes forked below a folder to run a stage."""
    return [child for server in servers(folder) for child in children(server)]


def children(process: psutil.Process) -> list[psutil.Process]:
    """Return a process's children; none if it is gone."""
    with suppress(psutil.Error):
        return process.children()
    return []


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` fills once for all of pytest's processes: the first one that asks fills it."""
    shared = tmp_path_factory.getbasetemp()
    folder = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / name
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "made").touch()
    return folder
