"""Run a stage: its command line, its warm process, its place under DVC, and its end.

    def main(study: str, variant: str) -> None: ...

    if __name__ == "__main__":
        run(main)

A stage's script imports nothing but the standard library and this module before `main` runs, which imports the rest.
"""

import argparse
import contextlib
import errno
import gc
import importlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

from mnist_mlp.errors import UserError, printable
from mnist_mlp.pipeline import environment, warm_client

if TYPE_CHECKING:
    from mnist_mlp.pipeline.inputs import Inputs

STAGE = "DVC_STAGE"  # the variable in which DVC names the stage that it runs
LOCKS = ".dvc/tmp/stages"
PATIENCE = 60  # seconds to wait for the same stage of a killed `dvc` to notice and end

OWN = {"__main__", "mnist_mlp", "stages", "tests", "benchmarks"}  # what of this folder is imported
NO_MEMORY = ("failed to map segment", "annot allocate memory")  # the words of the loader of libraries

_inputs: list["Inputs"] = []  # of the stage that DVC runs


def run(main: Callable[..., None], missing: warm_client.Missing = "go without") -> None:
    """Run a stage's `main` with the words of the command line: under DVC in the warm process, if there is one.

    missing: what to do if there is none. A stage that imports TensorFlow anyway starts it; one before such a stage
    starts it for that, and runs beside the imports. Errors end the stage as `errors_as_lines` says."""
    environment.settle()
    arguments, spec = _parse(main), main.__globals__["__spec__"]
    with errors_as_lines():
        _refuse_other_code()
        if STAGE in os.environ and spec:
            warm_client.run_forked(spec.name, missing)
        _work(lambda: main(*arguments), _wait_for_dvc)
    _leave()


def run_in_fork(module: str, wait_for_owner: Callable[[], object]) -> None:
    """Run the stage of a module in a fork of the warm process. wait_for_owner: returns once its parent is gone."""
    environment.settle()
    with errors_as_lines():
        main = importlib.import_module(module).main
        _work(lambda: main(*_parse(main)), wait_for_owner)
    _leave()


@contextlib.contextmanager
def errors_as_lines() -> Iterator[None]:
    """Turn what a person can mend into one line per fault, and anything else into one line; the exit status is 1."""
    try:
        yield
    except UserError as error:
        for line in str(error).splitlines():
            _say(line)
        _tell_way_back(str(error))
        sys.exit(1)
    except OSError as error:
        _say(_trouble(error))
        sys.exit(1)
    except Exception as error:
        _say(_unforeseen(error))
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted: nothing of this stage was recorded; run the same command to go on", file=sys.stderr)
        sys.exit(130)


def _say(fault: str) -> None:
    """Print a fault on one line, whatever signs a name in it holds."""
    print(f"error: {printable(fault)}", file=sys.stderr)


def _refuse_other_code() -> None:
    """Raise UserError if the code that runs isn't the folder's own: PYTHONSAFEPATH hides that."""
    own, running = os.path.abspath("mnist_mlp"), os.path.dirname(os.path.dirname(__file__))
    if os.path.isdir(own) and not os.path.samefile(own, running):
        why = "unset PYTHONSAFEPATH" if sys.flags.safe_path else "unset PYTHONPATH"
        raise UserError(f"{running}: found this code running; allowed: the folder's own, {own}; {why}")


def _tell_way_back(message: str) -> None:
    """Print how to undo a value that `-S` left in params.yaml, if the error may come from it."""
    from mnist_mlp.pipeline import committed

    if (message.startswith("params.yaml") or "DVC_EXP_NAME" in os.environ) and (back := committed.way_back()):
        print(
            f"params.yaml is not as committed; to undo all its changes since the last commit: {back}", file=sys.stderr
        )


def _leave() -> None:
    """End the process if TensorFlow is loaded: it would take 2 seconds to take itself down."""
    if "tensorflow" in sys.modules:
        sys.stdout.flush()
        os._exit(0)


def check_inputs() -> None:
    """Raise UserError if what DVC will record as the running stage's inputs changed since the stage began."""
    for inputs in _inputs:
        inputs.check()


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, with exit status 1."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"error: {message}; {' '.join(self.format_usage().split())}\n")


def _parse(main: Callable[..., None]) -> list[str]:
    """Return the command line's words: one for each parameter of `main`. Exit if they don't fit, or after --help."""
    described, names = main.__globals__, main.__code__.co_varnames[: main.__code__.co_argcount]
    program = f"python -m {described['__spec__'].name}" if described["__spec__"] else None
    parser = Parser(program, description=described["__doc__"], formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in names:
        parser.add_argument(name, metavar=name.upper())
    return list(vars(parser.parse_args()).values())


def _work(task: Callable[[], None], wait_for_owner: Callable[[], object]) -> None:
    """Call `task`, under DVC alone, not beside what a killed `dvc` left, and no longer than its owner lives.

    Raises UserError if code or parameters changed meanwhile: DVC would record them as those that made the outputs.
    """
    gc.set_threshold(100_000)  # a quarter of the time that TensorFlow and MLflow take to import was the collector's
    with _under_dvc(os.environ[STAGE], wait_for_owner) if STAGE in os.environ else contextlib.nullcontext():
        task()
        check_inputs()


@contextlib.contextmanager
def _under_dvc(name: str, wait_for_owner: Callable[[], object]) -> Iterator[None]:
    import threading

    from filelock import FileLock, Timeout

    from mnist_mlp.pipeline.inputs import Inputs

    def end_with_owner() -> None:
        wait_for_owner()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_owner, daemon=True).start()
    os.makedirs(LOCKS, exist_ok=True)
    lock = FileLock(f"{LOCKS}/{name}.lock", timeout=PATIENCE)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(f"{name} is being run by another process; let it end, or end it, and run `dvc repro`") from None
    with lock:
        if name in ("evaluate", "compare"):  # they depend on models/ as a whole, and name its variants
            from mnist_mlp import config
            from mnist_mlp.pipeline import leftovers, stale

            params = config.load()
            stale.refuse(params)
            if name == "evaluate":
                leftovers.remove(params)
        _inputs.append(Inputs(name))
        yield


def _wait_for_dvc() -> None:
    """Return once the process that runs this one is gone, `dvc` that was killed for example, without its children."""
    import psutil

    owner = next(process for process in psutil.Process().parents() if process.name() not in warm_client.SHELLS)
    with contextlib.suppress(psutil.NoSuchProcess):
        while owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.5)


def _unforeseen(error: Exception) -> str:
    """Return the line for an error that nobody foresaw: it is the folder's, the machine's, or the program's own fault.

    The traceback of the last kind is kept in a file that the line names."""
    words = " ".join(str(error).split())[:300]
    if strays := _strays():
        return (
            f"{type(error).__name__}: {words}; {', '.join(strays)}: found in place of a library of that name; rename it"
        )
    if isinstance(error, MemoryError) or any(sign in words for sign in NO_MEMORY):
        return f"{words or 'MemoryError'}: not enough memory; end other programs, or raise the limit (ulimit -v)"
    import tempfile
    import traceback

    words = " ".join(traceback.format_exception_only(error)[-1].split())[:300]
    with tempfile.NamedTemporaryFile("w", prefix="mnist-mlp-", suffix=".log", encoding="utf-8", delete=False) as file:
        traceback.print_exception(error, file=file)
    return f"{words}; a fault of the program, not of yours: please report it with {file.name}"


def _strays() -> list[str]:
    """Return the files and packages of this folder that Python imports in place of others of their names."""
    here = os.getcwd()
    found = []
    for name in {name.partition(".")[0] for name in list(sys.modules)} - OWN:
        path = os.path.abspath(getattr(sys.modules.get(name), "__file__", None) or os.sep)
        if path in (os.path.join(here, f"{name}.py"), os.path.join(here, name, "__init__.py")):
            found.append(path)
    return sorted(found)


def _trouble(error: OSError) -> str:
    if isinstance(error, BrokenPipeError):
        return "the output can't be written: the program that reads it has ended"
    path, why = error.filename, error.strerror or str(error)
    if isinstance(error, shutil.Error):  # of a whole tree: a list of sources, targets and reasons
        _, path, why = error.args[0][0]
    full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in why
    if full or "requested and" in why:  # NumPy's words, without errno
        path = path or f"{os.getcwd()} or {os.environ.get('TMPDIR') or '/tmp'}"
        return f"{path}: No space left on device; free some, and run the same command again"
    return f"{path or os.getcwd()}: {why}"
