"""The commands of README.md, CONTRIBUTING.md and docs/, as they stand there.

A fenced block `sh` holds commands that a test runs, one after another, in one shell. A block `sh not-run` holds those
that need a cluster, or take more than minutes. A line whose comment is `Ctrl-C ends it` serves while the others run.
"""

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.params import ROOT
from tests.helpers.servers import PATIENCE, end_group

DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
SERVES = re.compile(r"^(.+?) +# .*Ctrl-C ends it$", re.MULTILINE)
STARTED = re.compile(r"ctrl[-+]c", re.IGNORECASE)  # what servers say once they answer


@dataclass(frozen=True)
class Block:
    """A block of commands, without the servers that it starts; `servers`: their commands."""

    commands: str
    servers: list[str]


def fences(path: Path) -> list[tuple[str, str]]:
    """Return a document's fenced blocks: what stands behind the fence, and the text."""
    return re.findall(r"^```(.*)\n((?:.*\n)*?)```$", path.read_text(encoding="utf-8"), re.MULTILINE)


def blocks(path: Path) -> list[Block]:
    """Return a document's blocks that a test runs."""
    return [Block(SERVES.sub("", text), SERVES.findall(text)) for kind, text in fences(path) if kind == "sh"]


def run(block: Block, folder: Path, environment: dict[str, str], log: Path) -> subprocess.CompletedProcess[str]:
    """Run a block's commands in a folder, and its servers until then. Returns what it printed, both streams.

    Raises AssertionError with the log of a server that doesn't start."""
    servers = []
    try:
        for command in block.servers:
            with log.open("w") as output:
                servers.append(
                    subprocess.Popen(["bash", "-c", command], cwd=folder, env=environment, start_new_session=True,
                                     stdout=output, stderr=subprocess.STDOUT)
                )  # fmt: skip
            _wait_until_started(servers[-1], log)
        return subprocess.run(
            ["bash", "-e", "-c", block.commands], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    finally:
        for server in servers:
            end_group(server, signal.SIGINT)


def _wait_until_started(server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not STARTED.search(log.read_text()):
        assert server.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.2)


def environment_of(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """Return a project's variables, with its own code in front, as `pip install --editable` has it there."""
    return variables | {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "", "TERM": os.environ.get("TERM", "dumb")}
