"""A project of one's own to run real DVC in: the checkout's files, a few variants, an epoch, the sample."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from mnist_mlp.store import Store, open_store

if TYPE_CHECKING:
    from mlflow.entities import Run

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
FORKED = ("python", "-m", "stages.repro")  # as `make repro` runs stages
KEPT = {
    "architectures": ["model2"],
    "techniques": ["none-relu", "l1-relu", "batchnorm-tanh"],
    "penalties": ["l2-1e-3-relu"],
}


def pytest_configure(config: pytest.Config) -> None:
    """Several processes share the cores, so NumPy's BLAS has one thread in each; two that wait for a core take thrice
    the time. A model that many tests train, in processes of their own, is compiled once: 3 of 10 seconds each."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = tempfile.mkdtemp(prefix="compiled-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ |= {"TF_XLA_FLAGS": f"--tf_xla_persistent_cache_directory={folder}", "OPENBLAS_NUM_THREADS": "1"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several processes, the first starts with what the full run is for, the longest ahead, that no process is left
    alone with it; the last, with the rest, need not wait."""
    items.sort(key=lambda item: ("fresh_project" not in item.fixturenames, "at_any_moment" not in item.name))


class Project:
    """A copy of the project, under git and DVC, shrunk to a few variants of an epoch each on mnist-sample."""

    def __init__(self, folder: Path):
        self.folder = folder
        names = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split("\0")
        for name in filter(None, names):
            if (ROOT / name).is_file() and (not name.startswith("reports/") or name.endswith("published.csv")):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        (folder / "dvc.lock").unlink(missing_ok=True)
        self.change(self._shrink)
        trainer = folder / "mnist_mlp/training/trainer.py"  # what is to be interrupted need not train for long
        before = trainer.read_text()
        trainer.write_text(before.replace("CHECKPOINT = 5.0", "CHECKPOINT = 0.5"))
        assert trainer.read_text() != before
        self.run("python", "-m", "mnist_mlp.plots_page")
        self.git("init", "--quiet")
        self.commit()

    @staticmethod
    def _shrink(params: dict) -> None:
        params["dataset"], params["epochs"], params["batch_size"] = "mnist-sample", 1, 100
        for study, names in KEPT.items():
            params[study]["protocol"]["epochs"] = 1
            params[study]["variants"] = {name: params[study]["variants"][name] for name in names}

    def change(self, edit) -> None:
        """Rewrite params.yaml as edit(params) changes it."""
        yaml, path = YAML(), self.folder / "params.yaml"
        params = yaml.load(path.read_text())
        edit(params)
        yaml.dump(params, path)

    def run(self, *command: str, status: int | None = 0, **environment: str) -> str:
        """What a command printed, both streams. Its exit status must be `status`, unless that is None."""
        found = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=self.environment | environment,
        )  # fmt: skip
        assert status is None or found.returncode == status, found.stdout
        return found.stdout

    @property
    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "MNIST_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
        return own | {"PATH": path, "PYTHONPATH": "", "COLUMNS": "200"}

    def store(self) -> Store:
        """Its MLflow store, opened by the tests' own process: one that were started would import MLflow first."""
        with chdir(self.folder):
            return open_store()

    def runs(self, query: str = "") -> "list[Run]":
        """Those of its store, nested ones too; query: MLflow's, such as `tags.study = 'candidate'`."""
        store = self.store()
        return list(store.client.search_runs([store.experiment], query))

    def git(self, *words: str) -> str:
        return self.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", *words)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "state", "--allow-empty")

    def ran(self, output: str) -> list[str]:
        """The stages that a `dvc repro` or `dvc exp run` ran, in order."""
        lines = [line for line in output.splitlines() if line.startswith("Running stage '")]
        return [line.split("'")[1] for line in lines]

    def digests(self, *folders: str) -> dict[str, bytes]:
        """The bytes of every file below these folders."""
        paths = [path for folder in folders for path in (self.folder / folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in sorted(paths)}

    def visible(self, *folders: str) -> dict[str, bytes]:
        """Those, but for what an interrupted stage left hidden."""
        return {name: content for name, content in self.digests(*folders).items() if "/." not in name}

    def checkpoints(self) -> dict[Path, int]:
        """The checkpoints there, and when each was written."""
        return {path: path.stat().st_mtime_ns for path in self.folder.glob("models/.checkpoints/*/*/seed-*.npz")}

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """One that is there already."""
        project = object.__new__(cls)
        project.folder = folder
        return project


@pytest.fixture(scope="session")
def quick_to_compile() -> None:
    """What is trained in the tests' own process from here on, once each and for a few steps, XLA makes code for by its
    shortest way: half of what level 0 takes alone. Stages, in processes of their own, set the variable anew."""
    from mnist_mlp.training import backend

    shortest = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = f"{backend.SETTINGS['XLA_FLAGS']} {shortest}"


COMPILING = {"TF_XLA_FLAGS": ""}  # the environment of a process that compiles what it trains for itself


def processes(folder: Path, matches: Callable[[list[str]], bool] = lambda words: True) -> list[psutil.Process]:
    """Those that work below a folder, by a command whose words match."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if matches(process.cmdline()) and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def forks(folder: Path) -> list[psutil.Process]:
    """Those forked below a folder to run a stage."""
    found = []
    for server in processes(folder, lambda words: "forkserver" in " ".join(words)):
        with suppress(psutil.Error):
            found += server.children()
    return found


def made_once(tmp_path_factory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills, once for all of the tests' processes: the first that asks for it."""
    shared = tmp_path_factory.getbasetemp()
    folder = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / name
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def fresh_project(tmp_path_factory) -> Project:
    """One full `dvc repro`; what it printed is in `.output`. Copy it before changing it."""

    def make(folder: Path) -> None:
        project = Project(folder / "project")
        (folder / "output").write_text(project.run("dvc", "repro"))
        project.commit()

    folder = made_once(tmp_path_factory, "checkout", make)
    project = Project.at(folder / "project")
    project.output = (folder / "output").read_text()
    return project


@pytest.fixture
def project(fresh_project, tmp_path) -> Project:
    """A copy, moved to a folder of its own, to change at will."""
    shutil.copytree(fresh_project.folder, tmp_path / "moved")
    return Project.at(tmp_path / "moved")
