"""git, on the repository of the current folder."""

import os

import pytest

from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import git


def test_what_a_hook_sets_is_not_inherited_and_settings_are(monkeypatch):
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_COUNT"):
        monkeypatch.setenv(name, "0")
    assert {name for name in git.environment(os.environ) if name.startswith("GIT_")} <= {
        "GIT_CONFIG_COUNT", "GIT_CONFIG_GLOBAL", "GIT_EXEC_PATH",
    }  # fmt: skip
    git.forget_callers()
    assert "GIT_DIR" not in os.environ and "GIT_CONFIG_COUNT" in os.environ


def test_git_works_where_we_are_whatever_its_variables_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git.run("init", "--quiet")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert git.run("rev-parse", "--git-dir") == b".git\n"


def test_a_folder_without_a_repository_is_told_with_the_next_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        git.run("rev-parse", "HEAD")
    assert str(caught.value).startswith("git rev-parse: fatal: not a git repository")
    assert str(caught.value).endswith("; to make one: git init && git add --all && git commit -m start")


def test_a_repository_without_a_commit_is_told_with_the_next_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git.run("init", "--quiet")
    with pytest.raises(UserError, match=r"; there is no commit yet: git add --all && git commit -m start$"):
        git.run("rev-parse", "--verify", "HEAD^{commit}")


def test_without_git_a_line_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"^git: No such file or directory; install git$"):
        git.run("rev-parse", "HEAD")
