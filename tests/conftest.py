"""What pytest needs of all tests: their order, their processes' settings, the fixtures of a project."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

# Several processes share the cores: two threads of NumPy's BLAS that wait for a core take three times as long as one.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from mnist_mlp.pipeline import git
from mnist_mlp.tracking import environment as mlflow_environment
from mnist_mlp.training import environment
from tests.helpers.project import Project, made_once

# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


mlflow_environment.configure()  # before any test imports MLflow
git.forget_callers()  # pytest may run in a hook, whose repository no test may touch
os.environ["GIT_CONFIG_GLOBAL"] = os.devnull  # the user's hooks and signatures are not the tests'

LONGEST = ("at_any_moment", "three_hosts", "sweep_of_two", "death_costs_none")  # parts of the names of tests


def pytest_configure(config: pytest.Config) -> None:
    """Have a model that many tests train, in processes of their own, compiled once: that saves 3 of 10 seconds."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        folder = tempfile.mkdtemp(prefix="compiled-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ["TF_XLA_FLAGS"] = f"--tf_xla_persistent_cache_directory={folder}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what needs the full run first, and of that the longest, so that no process is left alone with it."""

    def order(item: pytest.Item) -> tuple[bool, bool]:
        fixtures = getattr(item, "fixturenames", [])
        return "fresh_project" not in fixtures, not any(name in item.name for name in LONGEST)

    items.sort(key=order)


@pytest.fixture(scope="session")
def quick_to_compile() -> None:
    """Have XLA make code by its shortest way for what is trained in the tests' own process, once and for a few steps.

    That takes half of the time of level 0 alone. Stages run in processes of their own, and set the variable anew."""
    from mnist_mlp.training import backend  # noqa: F401  sets the variable when it is imported

    shortest = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = f"{environment.SETTINGS['XLA_FLAGS']} {shortest}"


@pytest.fixture(scope="session")
def fresh_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
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
def project(fresh_project: Project, tmp_path: Path) -> Project:
    """A copy, moved to a folder of its own, to change at will."""
    shutil.copytree(fresh_project.folder, tmp_path / "moved", symlinks=True)
    return Project.at(tmp_path / "moved")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a project's commands be those of one shell, whose warm process they and other tests' commands share."""
    monkeypatch.setattr(Project, "shared", {"MNIST_MLP_OWNER": str(os.getpid())})
