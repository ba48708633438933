"""Runs stages in forks of a process that has imported what they import, so that each doesn't import it again.

That is 4 of the 11 seconds of processor time that a stage of `techniques` takes with one seed.
"""

import contextlib
import os
import re
import runpy
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import forkserver, get_context, parent_process, set_start_method
from typing import Any

COMMAND = re.compile(r"python -m (stages\.\w+)((?: [\w.-]+)*)")  # others DVC runs as ever
PRELOADED = "mnist_mlp.preloaded"
OURS = ("mnist_mlp", "stages")


def install(start: bool) -> None:
    """Have DVC run its stages so in this process. On Linux, where forks are safe.

    start: the process with the imports at once, not for the first stage that runs, which then waits for them."""
    if sys.platform != "linux":
        return
    from dvc.stage import run
    from dvc.stage.exceptions import StageCmdFailedError

    context, by_shell = get_context("forkserver"), run._run

    def forked(executable: str, command: str, **settings: Any) -> None:
        if not (found := COMMAND.fullmatch(command)):
            return by_shell(executable, command, **settings)
        process = context.Process(target=_work, args=(found[1], found[2].split(), settings["cwd"], settings["env"]))
        process.start()
        with _ctrl_c_left_to_the_stage():
            process.join()
        if process.exitcode:
            raise StageCmdFailedError(command, process.exitcode)

    run._run = forked
    context.set_forkserver_preload([PRELOADED])
    if start:
        forkserver.ensure_running()


@contextlib.contextmanager
def _ctrl_c_left_to_the_stage() -> Iterator[None]:
    """As DVC does while it waits for a stage."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _work(module: str, words: list[str], folder: str, environment: dict[str, str]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]  # the stage's code is what lies in its folder now, not when this was imported
    set_start_method("fork", force=True)  # as in a started process: locks without names, that needn't be given back
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    """The process that runs DVC, killed say: here it isn't the one that this one descends from."""
    parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
