"""What changes while a stage runs."""

import os
import shutil
from pathlib import Path

import pytest

from mnist_mlp import paths
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.inputs import LARGE, Inputs
from tests.helpers.params import ROOT
from tests.helpers.pipeline import LITTER

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
    shutil.copy2(ROOT / paths.IGNORED, paths.IGNORED)
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
        lambda: [Path("code", name).write_text("") for name in LITTER],
        lambda: Path("code/.#a.py").symlink_to("me@host.123"),
    ],
    ids=["another variant's parameter", "other code", "byte code", "time of change", "litter", "a lock of Emacs"],
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


def test_the_keys_of_a_matrix_are_those_of_its_stage(folder):
    """A level is in the stage's name; the keys that hold it are guarded, and no other level's."""
    paths.PIPELINE.write_text("""
stages:
  train:
    matrix:
      noise: ${grid.noise}
      rate: ${grid.rate}
    cmd: "true"
    params: ["grid.noise.${item.noise}", epochs]
""")
    text = "epochs: 1\ngrid: {noise: {none: {}, a-b: {units: 1}}, rate: [0.1, 0.2]}\n"
    params(text)
    inputs = Inputs("train@a-b-0.2")
    assert inputs.keys == ["grid.noise.a-b", "epochs"]
    params(text.replace("none: {}", "none: {units: 3}"))
    inputs.check()
    params(text.replace("units: 1", "units: 2"))
    with pytest.raises(UserError, match=r"params\.yaml: grid\.noise\.a-b: changed while train@a-b-0\.2 ran"):
        inputs.check()
