"""DVC's experiments, as git holds them."""

import subprocess
from pathlib import Path

import pytest

from mnist_mlp.pipeline import experiments
from mnist_mlp.pipeline.experiments import Experiment


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")


def git(*words: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True).stdout.strip()


def commit(text: str) -> str:
    Path("params.yaml").write_text(text)
    git("add", "--all")
    git("commit", "--quiet", "--message", "state")
    return git("rev-parse", "HEAD")


def test_a_folder_without_a_repository_has_no_experiments():
    assert experiments.finished() == []


def test_finished_experiments_are_found_and_dvcs_other_references_are_not():
    git("init", "--quiet")
    baseline, revision = commit("1"), commit("2")
    for name in (f"{baseline[:2]}/{baseline[2:]}/a-mole", "stash", "exec/EXEC_HEAD"):
        git("update-ref", f"refs/exps/{name}", revision)
    assert experiments.finished() == [Experiment("a-mole", baseline, revision)]


def test_an_experiments_files_are_those_of_its_commit():
    git("init", "--quiet")
    baseline, revision = commit("1"), commit("2")
    commit("3")
    here = Path.cwd()
    with Experiment("a-mole", baseline, revision).files():
        assert Path("params.yaml").read_text() == "2"
        assert Path.cwd() != here
    assert Path("params.yaml").read_text() == "3"


def test_an_experiments_files_are_all_there_whatever_attributes_the_user_gives_them(tmp_path, monkeypatch):
    (tmp_path / "git").mkdir()
    (tmp_path / "git/attributes").write_text("* export-ignore\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    git("init", "--quiet")
    experiment = Experiment("a-mole", "", commit("1"))
    with experiment.files():
        assert Path("params.yaml").read_text() == "1"
