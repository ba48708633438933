"""DVC's experiments, as git holds them: one reference each, refs/exps/<its baseline's commit>/<its name>."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import archive, git


@dataclass(frozen=True)
class Experiment:
    """An experiment. baseline, revision: the commits that it set out from and that holds its results."""

    name: str
    baseline: str
    revision: str

    @contextlib.contextmanager
    def files(self) -> Iterator[None]:
        """Be in a folder that holds its commit's files while the block works."""
        with tempfile.TemporaryDirectory() as folder:
            # Without the user's own attributes: `export-ignore` in them would leave files out.
            archive.unpack(git.run("-c", f"core.attributesFile={os.devnull}", "archive", self.revision), folder)
            with contextlib.chdir(folder):
                yield


def finished() -> list[Experiment]:
    """Return every finished experiment of this repository; none if there is no repository."""
    try:
        lines = git.run("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").decode().splitlines()
    except UserError:
        return []
    found = (re.fullmatch(r"(\w+) refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+)", line) for line in lines)
    return [Experiment(match[4], match[2] + match[3], match[1]) for match in found if match]


def in_checkout() -> bool:
    """Return whether this is no temporary copy that DVC made of the checkout for an experiment."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve() == Path.cwd()
