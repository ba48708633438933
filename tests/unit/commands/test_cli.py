"""The command lines of `mnist-mlp` and of the stages: help acts on nothing, and a wrong word is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mnist_mlp import paths
from mnist_mlp.commands import cli
from tests.helpers.params import ROOT

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch) -> Path:
    """Be in an empty folder, without MLflow's and DVC's variables."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for name in ("DVC_ROOT", "DVC_STAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "empty"


def call(monkeypatch, *words: str) -> int:
    """Return the exit status of `mnist-mlp` with these words."""
    monkeypatch.setattr(sys, "argv", ["mnist-mlp", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def run(*words: str) -> subprocess.CompletedProcess:
    """Run Python in the empty folder, with the project's code."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)


def test_help_lists_every_command(monkeypatch, capsys, empty_folder):
    assert call(monkeypatch, "--help") == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: mnist-mlp ")
    assert all(f"  {name} " in out for name in cli.COMMANDS)
    assert err == ""
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_on_a_command_acts_on_nothing(monkeypatch, capsys, empty_folder, name):
    assert call(monkeypatch, name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: mnist-mlp {name} ")
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        ((), "usage: mnist-mlp "),
        (("trak",), "usage: mnist-mlp "),
        (("track", "more"), "usage: mnist-mlp track "),
        (("track", "--more"), "usage: mnist-mlp track "),
        (("cluster",), "usage: mnist-mlp cluster "),
        (("cluster", "--jobs", "2", "--scheduler", "tcp://a:1"), "usage: mnist-mlp cluster "),
        (("cluster", "--jobs", "two"), "usage: mnist-mlp cluster "),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line_with_the_usage(monkeypatch, capsys, empty_folder, words, usage):
    assert call(monkeypatch, *words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and usage in err and err.count("\n") == 1
    assert list(empty_folder.iterdir()) == []


def test_an_unknown_command_is_told_with_those_there_are(monkeypatch, capsys):
    call(monkeypatch, "trak")
    err = capsys.readouterr().err
    assert all(name in err for name in ("trak", *cli.COMMANDS))


@pytest.mark.parametrize("words", [("track",), ("ui",), ("verify",), ("readme",), ("cluster", "--jobs", "0")])
def test_an_error_is_one_line_and_exit_status_1(monkeypatch, capsys, words):
    assert call(monkeypatch, *words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_the_package_is_the_command(empty_folder):
    done = run("-m", "mnist_mlp", "track")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: params.yaml: not found; run from the project's top folder\n"
    assert list(empty_folder.iterdir()) == []


def test_every_stage_of_dvc_yaml_is_a_script():
    pipeline = YAML(typ="safe").load((ROOT / paths.PIPELINE).read_text())["stages"].values()
    commands = {stage.get("do", stage)["cmd"].split()[2] for stage in pipeline}
    assert commands == {f"stages.{stage}" for stage in STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_help_on_a_stage_acts_on_nothing(empty_folder, stage):
    done = run("-m", f"stages.{stage}", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python -m stages.{stage} ")
    assert list(empty_folder.iterdir()) == []


def test_a_stage_with_a_word_missing_says_what_to_type(empty_folder):
    done = run("-m", "stages.train", "architectures")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the following arguments are required: VARIANT; usage: python -m stages.train [-h] STUDY VARIANT\n"
    )
    assert list(empty_folder.iterdir()) == []
