"""Run git on the repository of the current folder, whatever repository its environment names.

A git hook has GIT_DIR, GIT_INDEX_FILE and others in its environment, and whatever it starts inherits them.
"""

import os
from collections.abc import Mapping

from mnist_mlp.errors import UserError

SETTINGS = ("GIT_CONFIG", "GIT_EXEC_PATH", "GIT_TRACE")  # how git works, not on what
# A checkout of our own: never the one around it, should its .git be damaged, and without the user's hooks.
OWN = ("--git-dir=.git", "--work-tree=.", "-c", "core.hooksPath=/dev/null")

START = "git add --all && git commit -m start"
ADVICE = {  # by git's own words
    "not a git repo": f"to make one: git init && {START}",
    "Needed a single revision": f"there is no commit yet: {START}",
}


def environment(of: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the variables that say on what git works."""
    return {name: value for name, value in of.items() if not name.startswith("GIT_") or name.startswith(SETTINGS)}


def forget_callers() -> None:
    """Remove these variables from the environment of this process and of those that it starts."""
    for name in os.environ.keys() - environment(os.environ).keys():
        del os.environ[name]


def require() -> None:
    """Raise UserError if `dvc` refuses to work here for want of a git repository, as in a downloaded archive."""
    try:
        run("rev-parse", "--git-dir")
    except UserError as error:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            Repo().close()
        except DvcException:
            raise error from None


def run(*words: str, text: str = "", **variables: str) -> bytes:
    """Return what a git command printed. text: its input; variables: more of its environment.

    Raises UserError with what git said, for example that there is no repository, or if there is no git."""
    import subprocess  # every stage would wait for it

    own = environment(os.environ) | {"LC_ALL": "C"} | variables
    try:
        done = subprocess.run(["git", *words], input=text.encode(), env=own, capture_output=True)
    except OSError as error:
        raise UserError(f"git: {error.strerror}; install git") from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split()) or f"exit status {done.returncode}"
        advice = "".join(f"; {text}" for sign, text in ADVICE.items() if sign in said)
        raise UserError(f"git {words[0]}: {said}{advice}")
    return done.stdout
