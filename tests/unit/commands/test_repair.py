"""`mnist-mlp repair`: the two files that a killed DVC leaves torn."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mnist_mlp import paths
from mnist_mlp.commands import repair
from mnist_mlp.errors import UserError

WHOLE = "schema: '2.0'\nstages: {}\n"
TORN = "schema: '2.0'\nstages:\n  download:\n    cm"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    """Be in a git repository that holds nothing, without a wait for a live DVC."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(repair, "WRITING", 0)
    subprocess.run(["git", "init", "--quiet"], check=True)
    repair.RWLOCK.parent.mkdir(parents=True)


def test_whole_files_and_missing_ones_are_left_alone(capsys):
    repair.main()
    paths.LOCKFILE.write_text(WHOLE)
    repair.RWLOCK.write_text("{}")
    repair.main()
    assert (paths.LOCKFILE.read_text(), repair.RWLOCK.read_text()) == (WHOLE, "{}")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("content", ["", '{"/some/path": {"wri'])
def test_a_torn_rwlock_is_removed(capsys, content):
    repair.RWLOCK.write_text(content)
    repair.main()
    assert not repair.RWLOCK.exists()
    assert capsys.readouterr().out == ".dvc/tmp/rwlock: cut short by a killed dvc: removed\n"


@pytest.mark.parametrize(
    "content",
    [
        "", TORN, WHOLE.removesuffix("\n"), f"{TORN}d: true\n    deps:\n", f"{TORN}d: true\n    params:\n",
        f"{TORN}d: true\n    params:\n      params.yaml:\n",
    ],
    ids=["empty", "in a word", "in a line", "after deps", "after params", "after params.yaml"],
)  # fmt: skip
def test_a_torn_dvc_lock_is_taken_from_git(capsys, content):
    paths.LOCKFILE.write_text(WHOLE)
    subprocess.run(["git", "add", "dvc.lock"], check=True)
    paths.LOCKFILE.write_text(content)
    repair.main()
    assert paths.LOCKFILE.read_text() == WHOLE
    assert capsys.readouterr().out.startswith("dvc.lock: cut short by a killed dvc: taken from git as staged; ")


@pytest.mark.parametrize("committed", [False, True], ids=["a merge under way", "committed with the markers"])
def test_a_conflicted_dvc_lock_is_taken_from_the_last_whole_one(capsys, committed):
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")

    def commit(content: str) -> None:
        paths.LOCKFILE.write_text(content)
        subprocess.run(["git", "add", "--all"], check=True)
        subprocess.run(["git", *who, "commit", "--quiet", "--message", "state"], check=True)

    commit(WHOLE)
    subprocess.run(["git", "branch", "theirs"], check=True)
    commit(ours := WHOLE.replace("{}", "{ours: {}}"))
    subprocess.run(["git", "checkout", "--quiet", "theirs"], check=True)
    commit(WHOLE.replace("{}", "{theirs: {}}"))
    subprocess.run(["git", "checkout", "--quiet", "-"], check=True)
    assert subprocess.run(["git", *who, "merge", "--quiet", "theirs"], capture_output=True).returncode == 1
    if committed:
        subprocess.run(["git", "add", "--all"], check=True)
    repair.main()
    assert paths.LOCKFILE.read_text() == ours
    name = "committed" if committed else "on our side"
    assert capsys.readouterr().out == (
        f"dvc.lock: has the conflict markers of a merge: taken from git as {name}; "
        "other results come from DVC's cache\n"
    )


def test_a_torn_dvc_lock_that_git_does_not_hold_is_put_aside(capsys):
    paths.LOCKFILE.write_text(TORN)
    repair.main()
    assert not paths.LOCKFILE.exists()
    assert paths.LOCKFILE.with_suffix(".torn").read_text() == TORN
    output = capsys.readouterr().out
    assert "git has none that is whole (git show: " in output and "), so it is now dvc.torn; " in output


def test_a_folder_without_git_is_told_with_the_next_step_unless_dvc_does_without(capsys):
    shutil.rmtree(".git")
    with pytest.raises(
        UserError, match=r"^git rev-parse: fatal: not a git .*: git init && git add --all && git commit"
    ):
        repair.main()
    Path(".dvc/config").write_text("[core]\n    no_scm = true\n")
    repair.main()
    assert capsys.readouterr() == ("", "")
