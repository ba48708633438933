"""The commands of README.md, CONTRIBUTING.md and docs/, as they stand there.

A fenced block `sh` holds commands that a test runs, one after another. A block `sh not-run` holds those that need a
cluster, or take more than minutes. A line whose comment is `Ctrl-C ends it` serves until the block's end.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from tests.helpers.params import ROOT
from tests.helpers.servers import PATIENCE, end_group

DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
SERVES = re.compile(r"^(.+?) +# .*Ctrl-C ends it$", re.MULTILINE)
STARTED = re.compile(r"ctrl[-+]c", re.IGNORECASE)  # what servers say once they answer


def fences(path: Path) -> list[tuple[str, str]]:
    """Return a document's fenced blocks: what stands behind the fence, and the text."""
    return re.findall(r"^```(.*)\n((?:.*\n)*?)```$", path.read_text(encoding="utf-8"), re.MULTILINE)


def blocks(path: Path) -> list[str]:
    """Return a document's blocks that a test runs."""
    return [text for kind, text in fences(path) if kind == "sh"]


def run(block: str, folder: Path, environment: dict[str, str], log: Path) -> str:
    """Run a block in a folder. Returns what its commands printed, both streams.

    Raises AssertionError if a command fails, or with the log of a server that doesn't start."""
    printed, server = "", None
    try:
        for number, part in enumerate(SERVES.split(block)):
            if number % 2:  # what the pattern found
                server = _start(part, folder, environment, log)
                continue
            done = subprocess.run(
                ["bash", "-e", "-c", part], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            assert done.returncode == 0, f"{part}\n{done.stdout}"
            printed += done.stdout
    finally:
        if server:
            end_group(server, signal.SIGINT)
    return printed


def _start(command: str, folder: Path, environment: dict[str, str], log: Path) -> subprocess.Popen:
    """Start a server, and return it once it answers."""
    with log.open("w") as output:
        server = subprocess.Popen(
            ["bash", "-c", command], cwd=folder, env=environment, start_new_session=True,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    end = time.monotonic() + PATIENCE
    while not STARTED.search(log.read_text()):
        if server.poll() is not None or time.monotonic() > end:
            end_group(server)
            raise AssertionError(f"{command}\n{log.read_text()}")
        time.sleep(0.2)
    return server


def environment_of(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """Return a project's variables, with its own code in front, as `pip install --editable` has it there."""
    return variables | {"PYTHONPATH": str(folder), "TERM": os.environ.get("TERM", "dumb")}
