"""One short script per stage of the pipeline, run as `python -m stages.<stage>` from the project's top folder."""

import contextlib
import errno
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from mnist_mlp import UserError
from stages.inputs import Inputs

STAGE = "DVC_STAGE"  # the variable in which DVC names the stage that it runs
LOCKS = Path(".dvc/tmp/stages")
PATIENCE = 60  # seconds to wait for the same stage of a killed `dvc` to notice and end
SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish"}

gc.set_threshold(100_000)  # a quarter of the time that TensorFlow and MLflow take to import was the collector's

_inputs: list[Inputs] = []  # of the stage that DVC runs


def run(stage: Callable[[], None]) -> None:
    """Run a stage's `main`. What a person can mend ends it with one line a fault and exit status 1, no traceback.

    Under DVC it runs alone, not beside what a killed `dvc` left; it ends soon after its `dvc` does; and it fails where
    its code or parameters changed meanwhile, since DVC would record them as those that made its outputs. A stage that
    loaded TensorFlow ends the process here, which would take 2 seconds to take itself down.
    """
    try:
        with _under_dvc(os.environ[STAGE]) if STAGE in os.environ else contextlib.nullcontext():
            stage()
            check_inputs()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"error: {_trouble(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted: nothing of this stage was recorded; run the same command to go on", file=sys.stderr)
        sys.exit(130)
    if "tensorflow" in sys.modules:
        sys.stdout.flush()
        os._exit(0)


def _trouble(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "requested and" in str(error)  # NumPy's words, without errno
    if full:
        return f"{error.filename or Path.cwd()}: No space left on device; free some, and run the same command again"
    return f"{error.filename or Path.cwd()}: {error.strerror or error}"


def check_inputs() -> None:
    """Raise UserError where what DVC will record as the running stage's inputs changed since it began."""
    for inputs in _inputs:
        inputs.check()


@contextlib.contextmanager
def _under_dvc(name: str) -> Iterator[None]:
    LOCKS.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCKS / f"{name}.lock", timeout=PATIENCE)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{name} is being run by another process; let it end, or end it, and run `dvc repro`") from None
    with lock:
        _end_with_dvc()
        _inputs.append(Inputs(name))
        yield


def _end_with_dvc() -> None:
    """Have this process terminated once the `dvc` that runs it is gone, killed say, without its children."""
    owner = next((process for process in psutil.Process().parents() if process.name() not in SHELLS), None)

    def watch() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    if owner:
        threading.Thread(target=watch, daemon=True).start()
