"""The candidate against the committed one, and the way back to it.

`dvc exp run -S` writes its values into params.yaml before any stage runs, and leaves them there: experiments typed one
after another stack. Only lines in the terminal follow from git, never an output.
"""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

from mnist_mlp import config, paths
from mnist_mlp.config import Params
from mnist_mlp.config.studies import Network
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import git

WRITTEN = [str(path) for path in (paths.PARAMS, paths.LOCKFILE, paths.REPORTS)]  # by an experiment, and in git


def lines(params: Params) -> list[str]:
    """Return the lines that say what the candidate differs in from the committed one, and the way back.

    None without git, or without a difference. A copy that DVC removes, such as a queued experiment's, needs no way
    back."""
    before = _committed()
    if before is None or not (changes := _changes(before.candidate.parameters(), params.candidate.parameters())):
        return []
    told = [f"candidate: {', '.join(changes)}"]
    fields = set(type(params.candidate).model_fields)
    if before.model_dump(exclude=fields) != params.model_dump(exclude=fields):
        return [*told, f"{paths.PARAMS} differs from the committed one in more: `git diff HEAD {paths.PARAMS}`"]
    return told + [f"back to the committed candidate: {back}" for back in [way_back()] if back]


def way_back() -> str | None:
    """Return the command that undoes the changes of params.yaml since the last commit, and what followed from them.

    None if there are no changes, no git, or only a copy that DVC removes."""
    if _temporary() or (text := _git("show", f"HEAD:./{paths.PARAMS}")) is None:
        return None
    with contextlib.suppress(OSError):  # a file that can't be read isn't as committed either
        if paths.PARAMS.read_bytes() == text:
            return None
    names = (_git("ls-tree", "--name-only", "HEAD", *WRITTEN) or b"").decode().split()
    then = "dvc checkout" if str(paths.LOCKFILE) in names else "dvc repro"
    return f"git checkout HEAD -- {' '.join(name for name in WRITTEN if name in names)} && {then}"


def _temporary() -> bool:
    """Return whether this is a temporary copy of an experiment."""
    root = os.environ.get("DVC_ROOT")
    return bool(root and "DVC_EXP_NAME" in os.environ) and Path(str(root)).resolve() != Path.cwd().resolve()


def _committed() -> Params | None:
    text = _git("show", f"HEAD:./{paths.PARAMS}")
    if text is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, paths.PARAMS)
        path.write_bytes(text)
        try:
            return config.load(path)
        except UserError:  # of another version of the project
            return None


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what differs, the network first, as in params.yaml."""
    keys = dict.fromkeys([*Network.model_fields, *now])
    return [f"{key} {_text(now[key])} (committed: {_text(before[key])})" for key in keys if now[key] != before[key]]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    return str(value)


def _git(*words: str) -> bytes | None:
    """Return what a git command printed, or None without git or a repository."""
    try:
        return git.run(*words)
    except UserError:
        return None
