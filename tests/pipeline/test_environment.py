"""The user's environment plays no part: the commands that people type, with variables that others have set."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.environment import DEAD
from tests.helpers.project import Project

pytestmark = pytest.mark.slow


def ui(project: Project, **environment: str) -> str:
    """Return what `mnist-mlp ui` prints until it serves, or ends."""

    def lines() -> Iterator[str]:
        for line in process.stdout or ():
            yield line
            if line.startswith("Ctrl-C"):
                process.send_signal(signal.SIGINT)

    process = subprocess.Popen(
        ["python", "-m", "mnist_mlp", "ui"], cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=project.environment | environment, text=True,
    )  # fmt: skip
    output = "".join(lines())
    assert process.wait() == 0, output
    return output


@pytest.mark.parametrize("encoding", ["iso-8859-2", "ascii:strict"])
def test_every_line_comes_out_in_any_encoding(project, encoding):
    """By itself, and in a fork of the warm process, which the training starts."""
    output = project.run("dvc", "repro", "--single-item", "--force", "compare", PYTHONIOENCODING=encoding)
    assert "% of 1,000 test images right, 95 % interval [" in output
    project.change(lambda params: params.update(batch_size=50))
    output = project.run("dvc", "repro", PYTHONIOENCODING=encoding)
    assert "% of 1,000 test images right, 95 % interval [" in output
    code = "from mnist_mlp.pipeline import environment; environment.settle(); print('\\u00b1')"
    assert project.run("python", "-c", code, PYTHONIOENCODING=encoding) == "?\n"
    assert "everything: reports/comparison.html" in output


def test_loopback_is_asked_without_a_proxy(project):
    output = ui(project, http_proxy=DEAD, HTTP_PROXY=DEAD, all_proxy=DEAD, no_proxy="example.org")
    assert output.endswith("Ctrl-C ends it\n\n")


def test_a_registry_that_does_not_answer_is_named_and_the_runs_open(project):
    (project.folder / "mlruns/mlflow.db").unlink()
    output = ui(project, MLFLOW_REGISTRY_URI="http://me:open-sesame@127.0.0.1:9/?token=open-sesame")
    first, *_ = (line for line in output.splitlines() if line.startswith("warning"))
    assert first.startswith(f"warning: MLFLOW_REGISTRY_URI: {DEAD}: ConnectionRefusedError; the champion is not ")
    assert "open-sesame" not in output
    assert "the best first: http" in output


@pytest.fixture
def foreign(project) -> Project:
    """A project that belongs to another user."""
    if subprocess.run(["chown", "-R", "nobody", project.folder]).returncode:
        pytest.skip("needs root")
    return project


def test_another_users_checkout_is_told_with_what_to_type(foreign):
    with Path(foreign.folder, "mnist_mlp/data/scaling.py").open("a") as code:
        code.write("# another line\n")
    *_, last = foreign.run("python", "-m", "mnist_mlp", "cluster", "--jobs", "1", "preprocess", status=1).splitlines()
    assert last.startswith("error: git rev-parse: fatal: detected dubious ownership in repository at ")
    assert last.endswith(f"git config --global --add safe.directory {foreign.folder}")
