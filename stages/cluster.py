"""Run the pipeline on several cores or machines: `python -m stages.cluster --jobs N | --scheduler ADDRESS [STAGE ...]`.

No stage; `make repro JOBS=N` and `make repro SCHEDULER=ADDRESS` call it. docs/scaling.md tells how it works.
"""

import argparse
import contextlib
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mnist_mlp import UserError, cluster, tracking
from mnist_mlp.cluster import Outcome
from mnist_mlp.store import open_store, uri
from stages import run, track

LOCK = Path(".dvc/tmp/cluster.lock")
WORDS = 15  # lines of what a failed stage said
LAST = ("compare", "champion")  # stages whose own words are worth reading


def main() -> None:
    arguments = _arguments()
    if find_spec("distributed") is None:
        raise UserError("Dask isn't installed; run `make setup`, or `pip install '.[cluster]'`")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError("another `make repro` with JOBS or SCHEDULER runs here; let it end, or end it") from None
    with lock:
        outcome = cluster.run(arguments.stages, arguments.jobs, arguments.scheduler)
        if any(result["ran"] for result in outcome.done.values()):
            _track(outcome)
    _tell(outcome)


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--jobs", type=int, metavar="N", help="worker processes on this machine")
    where.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask cluster's, such as tcp://host:8786")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="up to these only, as `dvc repro` takes them")
    arguments = parser.parse_args()
    if arguments.jobs is not None and arguments.jobs < 1:
        raise UserError(f"JOBS: found {arguments.jobs}; allowed: 1 or more")
    return arguments


def _track(outcome: Outcome) -> None:
    """Have MLflow show what workers could not log; a line where that fails."""
    try:
        with contextlib.redirect_stdout(None):
            track.main()
        if outcome.remote and not uri().startswith("http"):
            store = open_store()
            for stage, result in outcome.done.items():
                runs = store.find(**{"dvc.stage": stage, "source": "outputs"})
                if result["ran"] and runs and "host" not in runs[0].data.tags:
                    told = {"host": result["host"], "seconds": f"{result['seconds']:.1f}", "cpu": result["cpu"]}
                    store.log(runs[0], tags=told)
    except Exception as error:
        words = str(error) if isinstance(error, UserError) else tracking.trouble(error)
        print(f"warning: {words}; `python -m stages.track` logs it later", file=sys.stderr)


def _tell(outcome: Outcome) -> None:
    """The end: what failed, and why. Exits with 1 or, after Ctrl-C, 130."""
    for name in LAST:
        if outcome.done.get(name, {}).get("ran"):
            print("\n".join(outcome.done[name]["said"]))
    if outcome.interrupted:
        print("the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    if not outcome.failed:
        print(f"{len(outcome.done)} stages brought up to date" if outcome.total else "everything is up to date")
        return
    for name, lines in outcome.failed.items():
        print(f"\n{name}:", *lines[-WORDS:], sep="\n    ", file=sys.stderr)
    skipped = f"; not run because of that: {', '.join(outcome.skipped)}" if outcome.skipped else ""
    kept = f"{len(outcome.done)} of {outcome.total} stages are finished and kept"
    raise UserError(f"failed: {', '.join(outcome.failed)}{skipped}; {kept}")


if __name__ == "__main__":
    run(main)
