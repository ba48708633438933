"""Run the pipeline on several cores or machines, to the same dvc.lock and the same bytes.

`make repro JOBS=N` and `make repro SCHEDULER=ADDRESS` call it. docs/scaling.md tells how it works.
"""

import argparse
import contextlib
import signal
import sys
from importlib.util import find_spec

from filelock import FileLock, Timeout

from mnist_mlp import paths
from mnist_mlp.cluster import scheduler as dask
from mnist_mlp.cluster.scheduler import Outcome
from mnist_mlp.commands import track
from mnist_mlp.errors import UserError
from mnist_mlp.tracking import runs
from mnist_mlp.tracking.store import open_store

LOCK = paths.DVC_TMP / "cluster.lock"
LAST_LINES = 15  # of what a failed stage printed
PRINTED = ("compare", "champion")  # stages whose own lines are worth reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the pipeline runs, and up to which stages."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--jobs", type=int, metavar="N", help="worker processes on this machine")
    where.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask cluster's, such as tcp://host:8786")
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="up to these only, as `dvc repro` takes them")


def main(jobs: int | None, scheduler: str | None, stages: list[str]) -> None:
    """Bring the pipeline up to date. Raises UserError for what can't work and for stages that failed."""
    if jobs is not None and jobs < 1:
        raise UserError(f"JOBS: found {jobs}; allowed: 1 or more")
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
        outcome = dask.run(stages, jobs, scheduler)
        if outcome.total:
            _track(outcome)
    _conclude(outcome)


def _track(outcome: Outcome) -> None:
    """Log to MLflow what workers could not log, and end the runs that they could not; print one line if that fails."""
    try:
        open_store().end_lost(cluster=outcome.name)
        with contextlib.redirect_stdout(None):
            track.main()
        if outcome.remote:
            store = open_store()
            for stage, result in outcome.done.items():
                found = store.find(**{"dvc.stage": stage, "source": "outputs"})
                if result["ran"] and found and "host" not in found[0].data.tags:
                    tags = {"host": result["host"], "seconds": f"{result['seconds']:.1f}", "cpu": result["cpu"]}
                    store.log(found[0], tags=tags)
    except Exception as error:
        words = str(error) if isinstance(error, UserError) else runs.trouble(error)
        print(f"warning: {words}; `mnist-mlp track` logs it later", file=sys.stderr)


def _conclude(outcome: Outcome) -> None:
    """Print how it ended. Raises UserError for what failed; exits with 130 after Ctrl-C."""
    for name in PRINTED:
        if outcome.done.get(name, {}).get("ran"):
            print("\n".join(outcome.done[name]["said"]))
    if outcome.interrupted:
        print("the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    if not outcome.failed:
        print(f"{len(outcome.done)} stages brought up to date" if outcome.total else "everything is up to date")
        return
    for name, lines in outcome.failed.items():
        print(f"\n{name}:", *lines[-LAST_LINES:], sep="\n    ", file=sys.stderr)
    skipped = f"; not run because of that: {', '.join(outcome.skipped)}" if outcome.skipped else ""
    kept = f"{len(outcome.done)} of {outcome.total} stages are finished and kept"
    raise UserError(f"failed: {', '.join(outcome.failed)}{skipped}; {kept}")
