"""The pipeline on Dask: each stage that is out of date is a task, given out once the stages before it have ended.

The caller holds all that comes back, so no finished stage is run again, whatever becomes of the worker that ran it.
"""

import contextlib
import os
import queue
import subprocess
import sys
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_mlp import paths
from mnist_mlp.cluster import connection, plan, stage_runner, workspace
from mnist_mlp.cluster.plan import Plan, Step
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import archive, git
from mnist_mlp.pipeline.lock_entries import Entries

if TYPE_CHECKING:
    from distributed import Client, Future

HERE = "download"  # run by the caller: it has what no other machine may have, such as $MNIST_DIR
SCRATCH = paths.DVC_TMP / "cluster"
TRIES = 2  # more, of a stage that a worker could not run
LOST = "the scheduler was lost; what had ended is kept"
LATER = 5.0  # seconds between looks at a cluster that is silent


@dataclass
class Outcome:
    """What came of a run.

    name: the run's, which trainings find in the variable MNIST_MLP_CLUSTER. total: how many stages were out of date.
    remote: whether outputs come by DVC's remote. done: the results of finished stages, as worker.py says. failed: the
    last lines of those that failed. skipped: those not run because of that. interrupted: by Ctrl-C."""

    name: str = field(default_factory=lambda: f"mnist-mlp-{uuid.uuid4().hex[:8]}")
    total: int = 0
    remote: bool = False
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    interrupted: bool = False


def run(targets: list[str], jobs: int | None, scheduler: str | None) -> Outcome:
    """Bring the pipeline up to date, on `jobs` processes of this machine or on the cluster at an address.

    Outputs and dvc.lock's entries are here at the end, those too that were finished before a failure or Ctrl-C. Raises
    UserError, before anything starts, for what can't work."""
    due = plan.make(targets)
    if not due.steps:
        return Outcome()
    if scheduler and not due.remote:
        raise UserError("no default DVC remote, which a cluster's workers need: dvc remote add --default NAME URL")
    with connection.connected(scheduler) if scheduler else connection.local(jobs or 1) as client:
        connection.check(client)
        if HERE in (step.name for step in due.steps):
            print(f"{HERE}  here", flush=True)
            command = [sys.executable, "-m", "dvc", "repro", "--quiet", "--single-item", HERE]
            if subprocess.run(command, check=False).returncode:
                raise UserError(f"{HERE} failed; nothing else was started")
            due = plan.make(targets)
        if scheduler:
            _push(due)
        outcome = Outcome(total=len(due.steps), remote=bool(scheduler))
        run = _Run(client, due, _checkouts(due, outcome), outcome)
        try:
            run.work()
        except KeyboardInterrupt:
            run.outcome.interrupted = True
            print(f"interrupted: ending what runs, keeping {len(run.outcome.done)} finished stages", flush=True)
        finally:
            run.close()
    return run.outcome


def _push(due: Plan) -> None:
    """Give DVC's remote what the stages start from, and what they made before. Raises UserError."""
    names = {*due.needed, *(step.name for step in due.steps if step.kept)}
    with plan.repository() as repo:
        try:
            for stage in repo.index.stages:
                if stage.addressing in names:
                    stage_runner.push(stage.outs)
        except Exception as error:  # of whatever the remote's library raises
            words = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"DVC's remote {due.remote}: {words}; try `dvc push`") from None


def _checkouts(due: Plan, outcome: Outcome) -> Any:
    """Return the plugin that lays out checkouts on Dask's workers."""
    import cloudpickle

    from mnist_mlp.cluster import worker

    for module in (worker, git):
        cloudpickle.register_pickle_by_value(module)
    space = asdict(workspace.take(due.uncached))
    own = {"MNIST_MLP_CLUSTER": outcome.name}
    if not outcome.remote:
        own["DVC_ROOT"] = str(Path.cwd())
        return worker.Checkouts(**space, environment=own, scratch=str(SCRATCH.absolute()), cache=due.cache)
    lines = [f"[core]\n    remote = {due.remote}\n", f"['remote \"{due.remote}\"']\n"]
    lines += [f'    {key} = "{value}"\n' for key, value in due.remote_settings.items() if not _secret(key)]
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    store = server if server.startswith("http") else "sqlite:///mlruns/mlflow.db"  # one that nobody reads
    own["MLFLOW_TRACKING_URI"] = store
    return worker.Checkouts(**space, environment=own, config="".join(lines), remote=True)


def _secret(key: str) -> bool:
    """Return whether a setting of a remote is a password or the like, which workers must have of their own."""
    return any(word in key for word in ("password", "secret", "token", "key", "credential", "connection_string"))


class _Run:
    """The tasks of one run. cores: what the cluster has, and what its largest worker has."""

    def __init__(self, client: "Client", due: Plan, checkouts: Any, outcome: Outcome):
        self.client, self.checkouts, self.outcome, self.name = client, checkouts, outcome, outcome.name
        self.entries = Entries(due.order)
        self.waiting = {step.name: step for step in due.steps}
        self.running: dict[str, tuple[Step, Future]] = {}
        self.began = time.monotonic()
        self.events: queue.SimpleQueue = queue.SimpleQueue()

    def work(self) -> None:
        """Run until nothing is left. Raises KeyboardInterrupt."""
        from mnist_mlp.cluster.worker import task_function

        size = f"{self.outcome.total} stages, {self._cores()[0]} cores"
        print(f"{size}{_dashboard(self.client)}", flush=True)
        self.function = task_function()
        self.client.subscribe_topic(self.name, lambda event: self.events.put(event[1]))
        self.client.register_plugin(self.checkouts, self.name)
        while self.waiting or self.running:
            try:
                self._submit()
            except OSError:  # a submitted stage finds the scheduler gone, too
                self.outcome.failed |= {name: [LOST] for name in [*self.running, *self.waiting]}
                return
            with contextlib.suppress(queue.Empty):
                self._take(self.events.get(timeout=LATER))

    def close(self) -> None:
        """End what runs, and bring what was made."""
        outcome = self.outcome
        with contextlib.suppress(Exception):  # whatever is left of the cluster
            self.client.cancel([future for _, future in self.running.values()], force=True)
            self.client.unregister_worker_plugin(self.name)
        if len(outcome.done) == outcome.total:
            self.entries.close()
        with plan.repository() as repo:
            for stage in repo.index.stages:
                if stage.addressing in outcome.done:
                    stage_runner.bring(stage.outs, outcome.remote)

    def _cores(self) -> tuple[int, int, bool]:
        """Return all cores, the largest worker's, and whether workers declare them; else their threads count.

        Raises ConnectionError if the scheduler is gone."""
        known = self.client.scheduler_info(n_workers=-1)
        if "workers" not in known:  # as Dask says that the scheduler is gone
            raise ConnectionError
        workers = known["workers"].values()
        declared = all("cores" in worker["resources"] for worker in workers)
        cores = [int(worker["resources"]["cores"]) if declared else worker["nthreads"] for worker in workers]
        return sum(cores), max(cores, default=0), declared

    def _submit(self) -> None:
        """Hand out the stages that can start, as many as the cluster has cores for."""
        outcome, (total, largest, declared) = self.outcome, self._cores()
        if not total:
            print("no worker is left; waiting for one", flush=True)
            return
        busy = sum(min(step.cores, largest) for step, _ in self.running.values())
        for step in list(self.waiting.values()):
            cores = min(step.cores, largest)
            if step.upstream & {*outcome.failed, *outcome.skipped}:
                outcome.skipped.append(self.waiting.pop(step.name).name)
            elif step.upstream <= outcome.done.keys() and (busy + cores <= total or not busy):
                busy += cores
                future = self.client.submit(
                    self.function, self.name, self._task(step), key=f"{step.name}-{self.name}", pure=False,
                    resources={"cores": cores} if declared else None, retries=TRIES,
                )  # fmt: skip
                self.running[step.name] = self.waiting.pop(step.name), future
                future.add_done_callback(lambda future, name=step.name: self.events.put((name, _result(future))))

    def _task(self, step: Step) -> dict[str, Any]:
        return {
            "stage": step.name, "before": list(step.before), "kept": step.kept,
            "entries": self.entries.of([*step.before, step.name]),
            "files": [self.outcome.done[name]["files"] for name in step.before if name in self.outcome.done],
        }  # fmt: skip

    def _take(self, event: Any) -> None:
        outcome = self.outcome
        if isinstance(event, dict):
            print(f"{event['stage']}  started on {event['host']}", flush=True)
            return
        name, result = event
        del self.running[name]
        if "failed" in result:
            outcome.failed[name] = [*result["said"], result["failed"]]
            told = f"failed: {result['failed']}"
        else:
            outcome.done[name] = result
            if result["ran"]:
                archive.unpack(result["files"])
                self.entries.add(name, result["entry"])
            told = f"{result['seconds']:.1f} s on {result['host']}" if result["ran"] else "didn't change"
        ended = len(outcome.done) + len(outcome.failed)
        seconds = (time.monotonic() - self.began) / ended * (outcome.total - ended)  # at the pace so far
        left = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
        print(f"[{ended}/{outcome.total}] {name}  {told}, {len(self.running)} running, about {left} left", flush=True)


def _dashboard(client: "Client") -> str:
    """Return the words that name Dask's dashboard; none if there is none, or if Dask's settings make no link to it."""
    try:
        link = client.dashboard_link
    except Exception:  # whatever the user's template of it raises
        link = None
    return f"; Dask's dashboard: {link}" if link else ""


def _result(future: "Future") -> dict[str, Any]:
    try:
        return future.result()
    except BaseException as error:  # a CancelledError isn't an Exception
        words = " ".join(str(error).split()) or type(error).__name__
        if "scheduler-connection-lost" in words:  # as Dask says that it cancelled the task
            words = LOST
        return {"failed": words, "said": []}
