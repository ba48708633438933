"""The candidate against the committed one, in real git repositories."""

import re
import subprocess

import pytest

from mnist_mlp import config, paths
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import committed
from mnist_mlp.pipeline.stage import errors_as_lines

BACK = "git checkout HEAD -- params.yaml && dvc repro"  # the reports and dvc.lock are not committed here


@pytest.fixture(autouse=True)
def repository(checkout):
    git("init", "--quiet")
    git("add", "params.yaml")
    git("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message", "state")


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True)


def write(before: str, after: str) -> None:
    text = paths.PARAMS.read_text()
    assert before in text
    paths.PARAMS.write_text(text.replace(before, after, 1))


def lines() -> list[str]:
    return committed.lines(config.load())


def test_the_committed_candidate_needs_no_line():
    assert lines() == []
    write("# Every knob", "# Each knob")
    assert lines() == []


@pytest.mark.parametrize("staged", [False, True], ids=["", "staged"])
def test_a_changed_candidate_is_told_with_the_way_back(staged):
    write("activation: relu", "activation: tanh")
    write("epochs: 12\nseed", "epochs: 2\nseed")
    write("- dense: 128\nact", "- dense: {units: 128, l2: 0.001}\nact")
    if staged:
        git("add", "params.yaml")
    first, second = lines()
    assert first.startswith("candidate: ")
    for part in (
        "activation tanh (committed: relu)",
        "epochs 2 (committed: 12)",
        "(committed: [dense 512, dropout 0.25, dense 128])",
    ):
        assert part in first
    assert second == f"back to the committed candidate: {BACK}"
    subprocess.run(BACK.partition(" && ")[0], shell=True, check=True)
    assert lines() == []
    assert subprocess.run(["git", "status", "--porcelain", "params.yaml"], capture_output=True).stdout == b""


def test_other_changes_are_not_undone_with_it():
    write("activation: relu", "activation: tanh")
    write("epochs: 50", "epochs: 5")
    assert lines()[1:] == ["params.yaml differs from the committed one in more: `git diff HEAD params.yaml`"]


def test_what_was_committed_is_taken_back_as_far_as_it_was_committed():
    paths.REPORTS.mkdir()
    for path in (paths.LOCKFILE, paths.REPORTS / "metrics.json"):
        path.write_text("{}")
    git("add", "dvc.lock", "reports")
    git("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message", "results")
    write("activation: relu", "activation: tanh")
    assert committed.way_back() == "git checkout HEAD -- params.yaml dvc.lock reports && dvc checkout"


def test_a_temporary_copy_needs_no_way_back(monkeypatch, tmp_path):
    write("activation: relu", "activation: tanh")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert len(lines()) == 2  # a worker's copy of what is changed here
    monkeypatch.setenv("DVC_EXP_NAME", "queued")
    assert lines() == ["candidate: activation tanh (committed: relu)"]
    assert committed.way_back() is None


@pytest.mark.parametrize("text", [None, "activation: relu"], ids=["no git", "another version"])
def test_without_a_committed_candidate_there_is_no_line(text, monkeypatch):
    if text is None:
        monkeypatch.setenv("PATH", "")
    else:
        own = paths.PARAMS.read_text()
        paths.PARAMS.write_text(text)
        git(
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "commit",
            "--all",
            "--quiet",
            "--message",
            "state",
        )
        paths.PARAMS.write_text(own)
    write("activation: relu", "activation: tanh")
    assert lines() == []


def test_parameters_that_cannot_be_read_are_told_with_the_way_back(capsys):
    paths.PARAMS.unlink()
    paths.PARAMS.mkdir()
    with pytest.raises(SystemExit), errors_as_lines():
        config.load()
    refused, back = capsys.readouterr().err.splitlines()
    assert refused.startswith("error: params.yaml: can't be read: ")
    assert back.endswith(BACK)


def test_a_refused_value_is_told_with_the_way_back(capsys):
    write("activation: relu", "activation: foo")
    with pytest.raises(SystemExit), errors_as_lines():
        config.load()
    told = capsys.readouterr().err.splitlines()
    assert re.match("error: params.yaml: activation: found 'foo'; ", told[0])
    assert told[1] == f"params.yaml is not as committed; to undo all its changes since the last commit: {BACK}"


def test_a_missing_file_comes_back_by_it_too(capsys):
    paths.PARAMS.unlink()
    with pytest.raises(SystemExit), errors_as_lines():
        config.load()
    assert capsys.readouterr().err.splitlines()[1].endswith(BACK)


@pytest.mark.parametrize("experiment", [False, True], ids=["repro", "experiment"])
def test_another_error_is_told_with_it_only_in_an_experiment(experiment, monkeypatch, capsys):
    write("activation: relu", "activation: tanh")
    if experiment:
        monkeypatch.setenv("DVC_EXP_NAME", "one")
    with pytest.raises(SystemExit), errors_as_lines():
        raise UserError("candidate/candidate: the loss is no longer finite")
    assert (BACK in capsys.readouterr().err) == experiment
