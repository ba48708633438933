"""The workspace as git objects, which travel to workers."""

import functools
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.git import run


@dataclass(frozen=True)
class Workspace:
    """The files as they are, uncommitted changes and new files too.

    commit, base: the ids of their commit and of the commit below it. pack: git objects that hold both, without history.
    project: the id of the repository's first commit."""

    commit: str
    base: str
    pack: bytes
    project: str


def take(uncached: Iterable[str]) -> Workspace:
    """Return the current folder's files, without changing git's index or branches.

    uncached: outputs to ship though git ignores them. Raises UserError if this is no git checkout's top folder, or if
    it has no commit."""
    with tempfile.TemporaryDirectory() as folder:
        own = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", "workspace"), ("EMAIL", ""), ("DATE", "1000000000 +0000"))}  # fmt: skip
        git = functools.partial(run, GIT_INDEX_FILE=str(Path(folder, "index")), **own)

        if prefix := git("rev-parse", "--show-prefix").decode().strip():
            raise UserError(f"{prefix}: not the top folder of the git checkout; workers get it whole")
        base = git("rev-parse", "--verify", "HEAD^{commit}").decode().strip()
        git("read-tree", base)
        git("add", "--all")
        if ignored := [path for path in uncached if os.path.exists(path)]:
            git("add", "--all", "--force", "--", *ignored)
        tree = git("write-tree").decode().strip()
        commit = git("commit-tree", tree, "-p", base, "-m", "workspace").decode().strip()
        pack = git("pack-objects", "--revs", "--shallow", "--stdout", "-q", text=f"--shallow {base}\n{commit}\n")
        first = git("rev-list", "--max-parents=0", base).decode().split()[-1]
    return Workspace(commit, base, pack, first[:12])
