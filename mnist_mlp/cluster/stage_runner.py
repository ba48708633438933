"""Run DVC stages in a worker's checkout, one after another.

`python -m mnist_mlp.cluster.stage_runner FILE_DESCRIPTOR PARENT` takes tasks from a connection and sends back their
results, as worker.py says. It is a process of its own, since DVC works in the current folder, and one for many stages,
since importing DVC takes a second. It ends soon after PARENT does. The caller uses its functions for outputs, too.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from mnist_mlp.machine import cpu
from mnist_mlp.pipeline import git, lock_entries
from mnist_mlp.pipeline.archive import pack, unpack

PUSHES = 5  # attempts


class RemoteError(Exception):
    """Say what DVC's remote doesn't give or take."""


def shared(stage: Any, made: set[str]) -> list[str]:
    """Return the folders that a DVC stage depends on and in which other stages' outputs lie. made: their paths."""
    return [dep.def_path for dep in stage.deps if any(path.startswith(dep.fs_path + os.sep) for path in made)]


def bring(outs: list[Any], remote: bool) -> None:
    """Check DVC outputs out. Fetch from the remote what the cache lacks. Raises RemoteError, or as DVC does."""
    for out in outs:
        if out.use_cache:
            if remote and out.changed_cache():
                _transfer(out, out.repo.cloud.pull, out.get_used_objs())
            out.checkout(force=True)


def push(outs: list[Any]) -> None:
    """Push outputs to the remote. Raises RemoteError, or as DVC does."""
    for out in outs:
        if out.use_cache:
            _transfer(out, out.repo.cloud.push, out.get_used_objs(push=True))


def _transfer(out: Any, transfer: Any, used: dict[Any, Any]) -> None:
    if failed := sum(len(transfer(objects).failed) for objects in used.values()):
        raise RemoteError(f"{out.def_path}: {failed} files of it can't be {transfer.__name__}ed by DVC's remote")


def main() -> None:
    connection, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
    _end_with(parent)
    import dvc.repo.reproduce  # noqa: F401  the second that it takes

    logging.getLogger("dvc").setLevel(logging.WARNING)  # of a stage's words, only its own
    with contextlib.suppress(EOFError):
        while True:
            task = connection.recv()
            try:
                result = _run(task)
            except Exception as error:  # of any kind: the caller is told
                result = {"trouble": " ".join(f"{type(error).__name__}: {error}".split())}
            connection.send(result | {"cpu": cpu()})


def _run(task: dict[str, Any]) -> dict[str, Any]:
    from dvc.dvcfile import PROJECT_FILE, load_file
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    name = task["stage"]
    lock_entries.write(task["entries"])
    for content in task["files"]:
        unpack(content)
    with Repo() as repo, lock_repo(repo):
        stages = load_file(repo, PROJECT_FILE).stages  # each is resolved when it is asked for: the others cost nothing
        before, stage = [stages[other] for other in task["before"]], stages[name]
        for folder in shared(stage, {out.fs_path for other in before for out in other.outs}):
            git.run(*git.OWN, "clean", "-fdxq", "--", folder)  # of other workspaces
        for other in before:
            bring(other.outs, task["remote"])
        if task["kept"]:
            with contextlib.suppress(DvcException, RemoteError):
                bring(stage.outs, task["remote"])
        try:
            ran = repo.reproduce([name], single_item=True)
        except DvcException as error:
            return {"failed": str(error.__cause__ or error)}
        if ran and task["remote"]:
            _push(ran[0])
        files = pack(out.def_path for out in stage.outs if not out.use_cache)
    return {"ran": bool(ran), "entry": lock_entries.read()[name], "files": files}


def _push(stage: Any) -> None:
    """Push a stage's outputs, with several attempts: without them it was run in vain."""
    for attempt in range(PUSHES):
        try:
            return push(stage.outs)
        except Exception:  # of whatever the remote's library raises
            if attempt == PUSHES - 1:
                raise
            time.sleep(2**attempt)


def _end_with(parent: int) -> None:
    """Have this process terminated soon after its parent is gone, for example killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.killpg(0, signal.SIGTERM)  # what it started too

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
