"""Mend the two files that a killed DVC leaves torn: DVC writes neither whole or not at all.

If `.dvc/tmp/rwlock` is empty or cut short, or dvc.lock is no YAML, after a merge too, every later command of DVC
refuses. `make repro` runs this first. The stages that dvc.lock then doesn't know are taken from DVC's cache, so nothing
trains again.
"""

import json
import time
from collections.abc import Callable

from mnist_mlp import paths
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import git
from mnist_mlp.pipeline.lockfile import Lockfile

RWLOCK = paths.DVC_TMP / "rwlock"
WRITING = 1.0  # seconds after which a file that a live DVC is writing is whole


def main() -> None:
    """Mend them, with one line per file. Raises UserError if `dvc` can't work here for want of a git repository."""
    git.require()
    if _torn(_read_rwlock):
        RWLOCK.unlink(missing_ok=True)
        print(f"{RWLOCK}: cut short by a killed dvc: removed")
    if _torn(Lockfile):
        broken = paths.LOCKFILE.read_bytes()
        what = "has the conflict markers of a merge" if b"<<<<<<< " in broken else "cut short by a killed dvc"
        print(f"{paths.LOCKFILE}: {what}: {_replace(broken)}; other results come from DVC's cache")


def _replace(broken: bytes) -> str:
    """Take dvc.lock from git, or put it aside if git has none that is whole. Return the words for what was done."""
    for version, name in {":0": "as staged", ":2": "as on our side", "HEAD": "as committed"}.items():
        try:
            paths.LOCKFILE.write_bytes(git.run("show", f"{version}:./{paths.LOCKFILE}"))
            Lockfile()
            return f"taken from git {name}"
        except UserError as error:
            reason = error
    aside = paths.LOCKFILE.with_suffix(".torn")
    aside.write_bytes(broken)
    paths.LOCKFILE.unlink()
    return f"git has none that is whole ({reason}), so it is now {aside}"


def _read_rwlock() -> None:
    if RWLOCK.exists():
        json.loads(RWLOCK.read_bytes())


def _torn(read: Callable[[], object]) -> bool:
    for attempt in range(2):
        try:
            read()
            return False
        except (UserError, ValueError):
            time.sleep(WRITING * (attempt == 0))
    return True
