"""No stage: mends the two files that a killed DVC leaves torn, for it writes neither whole or not at all.

`.dvc/tmp/rwlock`, empty or cut short, has every later command refuse; so has a dvc.lock that is no YAML. `make repro`
runs this first. The stages that dvc.lock then doesn't know are taken from DVC's cache, nothing trains again.
"""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from mnist_mlp import UserError
from mnist_mlp.entries import LOCK
from mnist_mlp.locked import Lock
from stages import run

RWLOCK = Path(".dvc/tmp/rwlock")
WRITING = 1.0  # seconds after which a file that a live DVC is writing is whole


def main() -> None:
    if _torn(_read_rwlock):
        RWLOCK.unlink(missing_ok=True)
        print(f"{RWLOCK}: cut short by a killed dvc: removed")
    if _torn(Lock):
        aside, instead = LOCK.with_suffix(".torn"), "taken from git as committed"
        if subprocess.run(["git", "checkout", "--quiet", "--", LOCK], check=False).returncode:
            LOCK.rename(aside)
            instead = f"git has none, so it is now {aside}"
        print(f"{LOCK}: cut short by a killed dvc: {instead}; other results come from DVC's cache")


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


if __name__ == "__main__":
    run(main)
