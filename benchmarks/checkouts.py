"""Scratch copies of checkouts, in which benchmarks run and time commands."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
FOREIGN = ("DVC_", "MLFLOW_", "MNIST_", "PYTHON", "VIRTUAL_ENV")  # variables of this process that commands don't see


@contextmanager
def edited(path: Path) -> Iterator[Any]:
    """Yield what a YAML file holds; once the block ends, the file holds what the block made of it."""
    yaml = YAML()
    content = yaml.load(path)
    yield content
    yaml.dump(content, path)


@dataclass(frozen=True)
class Checkout:
    """A scratch clone of the commit of another folder, `source`. Its commands are those of source's environment."""

    folder: Path
    source: Path

    @classmethod
    def clone(cls, source: Path, folder: Path, outputs: bool = True) -> "Checkout":
        """Clone a checkout. outputs: with the outputs that dvc.lock names, from the source's DVC cache."""
        subprocess.run(["git", "clone", "--quiet", source, folder], check=True)
        clone = cls(folder, source)
        if outputs:
            cache = subprocess.run(
                ["dvc", "cache", "dir"], cwd=source, env=clone.environment(), check=True, capture_output=True, text=True
            ).stdout.strip()
            if not Path(cache, "files").is_dir():
                sys.exit(f"{source}: found no outputs in DVC's cache; run `make repro` there")
            shutil.copytree(Path(cache, "files"), folder / ".dvc/cache/files", copy_function=_link)
            clone.run("dvc", "checkout", "--quiet", "--allow-missing")
        return clone

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables of this checkout's commands."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        binaries = self.source / ".venv/bin"
        path = [str(binaries if binaries.exists() else Path(sys.executable).parent), own["PATH"]]
        return own | {"PATH": os.pathsep.join(path), "MNIST_DIR": str(ROOT / "data/raw")} | more

    def run(self, *command: str, **environment: str) -> tuple[float, float]:
        """Run a command. Return when it began and ended, by the monotonic clock. Exit if it fails."""
        began = time.monotonic()
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(**environment), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        ended = time.monotonic()
        if done.returncode:
            sys.exit(f"{self.source}: `{' '.join(command)}` failed:\n" + "\n".join(done.stdout.splitlines()[-20:]))
        return began, ended

    def current(self) -> bool:
        """Return whether a `dvc repro` would run nothing."""
        command = ["dvc", "status", "--quiet"]
        return not subprocess.run(command, cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL).returncode

    def undo(self) -> None:
        """Undo an experiment, which DVC remembers."""
        self.run("git", "checkout", "--quiet", "HEAD", "--", "params.yaml", "dvc.lock", "reports")
        self.run("dvc", "checkout", "--quiet")

    def reset(self) -> None:
        """Undo an experiment, and have DVC forget it: the same one trains again."""
        self.undo()
        self.run("dvc", "exp", "remove", "--all-commits")
        shutil.rmtree(self.folder / ".dvc/cache/runs", ignore_errors=True)


def _link(source: str, target: str) -> None:
    """Link a file of the cache, which nothing edits in its place, or copy the file if it lies on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
