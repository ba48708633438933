"""What changes while a stage runs."""

import os
from pathlib import Path

import pytest

from mnist_mlp import paths
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.inputs import LARGE, Inputs

PIPELINE = """
stages:
  train:
    foreach: ${studies}
    do:
      cmd: "true"
      deps: [code, data.npy]
      params: ["studies.${key}", epochs]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    """Be in a project of one stage."""
    monkeypatch.chdir(tmp_path)
    paths.PIPELINE.write_text(PIPELINE)
    paths.PARAMS.write_text("epochs: 1\nstudies: {one: {units: 1}, two: {units: 2}}\n")
    Path("code").mkdir()
    Path("code/a.py").write_text("1\n")
    Path("data.npy").write_bytes(bytes(LARGE + 1))


def params(text: str) -> None:
    paths.PARAMS.write_text(text)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda: Path("code/a.py").write_text("2\n"), "code"),
        (lambda: Path("code/b.py").write_text(""), "code"),
        (lambda: Path("data.npy").unlink(), "data.npy"),
        (lambda: os.utime("data.npy", (0, 0)), "data.npy"),
        (lambda: params("epochs: 2\nstudies: {one: {units: 1}}\n"), "params.yaml: epochs"),
        (lambda: params("epochs: 1\nstudies: {one: {units: 9}}\n"), "params.yaml: studies.one"),
    ],
    ids=["edited code", "new code", "no data", "other data", "parameter", "parameter of the variant"],
)
def test_a_changed_input_is_named(change, what):
    inputs = Inputs("train@one")
    change()
    with pytest.raises(UserError) as caught:
        inputs.check()
    assert str(caught.value) == (
        f"{what}: changed while train@one ran; what it made is not recorded: run `dvc repro` again"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda: params("studies: {one: {units: 1}, two: {units: 3}}\nepochs: 1  # a remark\n"),
        lambda: Path("other.py").write_text(""),
        lambda: (Path("code/__pycache__").mkdir(), Path("code/__pycache__/a.pyc").write_text("")),
        lambda: Path("code/a.py").touch(),
    ],
    ids=["another variant's parameter", "other code", "byte code", "time of change"],
)
def test_a_change_that_cannot_matter_is_let_be(change):
    inputs = Inputs("train@one")
    change()
    inputs.check()


@pytest.mark.parametrize("content", ["", "[", "stages: {}", "stages: {other: {cmd: a}}"])
def test_a_pipeline_without_the_stage_is_an_error(content):
    paths.PIPELINE.write_text(content)
    with pytest.raises(UserError, match=r"^dvc\.yaml: no stage train can be read there \("):
        Inputs("train@one")
