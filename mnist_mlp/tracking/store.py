"""The MLflow store: opened, and the few calls that the rest makes. mlflow is imported late: it takes seconds."""

import contextlib
import json
import logging
import os
import re
import shutil
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, unquote

import psutil
from filelock import FileLock

from mnist_mlp.tracking import artifact_paths, environment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.store.entities import PagedList

EXPERIMENT = "mnist-mlp"
PROCESS, REASON = "process", "reason"  # tags: who writes a run, why it didn't finish
LOST = "its process is gone"  # a reason
CURRENT = {"current": "true"}  # the tag of the runs that dvc.lock knows now
SQLITE = "sqlite:///"
OURS, MLFLOWS_OWN = "mlruns/mlflow.db", "mlflow.db"  # the store, and the place where MLflow looks by default
PATIENCE = 60  # seconds to wait for another process that opens the store
BATCH = 1000  # metrics that MLflow takes at once
Point = tuple[str, int, float, int]  # a metric's name, step, value, and the time in milliseconds since 1970
PLAIN = re.compile(r"[\w ./:@+-]*")  # what MLflow's filters take as it is: no quote can be escaped there


@dataclass(frozen=True)
class Store:
    """An opened store. Its methods raise what MLflow raises. local: it is the file `database`, its artifacts beside."""

    client: "MlflowClient"
    address: str
    experiment: str
    root: Path
    database: Path
    local: bool

    def find(self, **tags: str) -> "list[Run]":
        """Return the finished runs that carry these tags, the newest first; deleted runs don't count."""
        conditions = [f"tags.`{tag}` = '{value}'" for tag, value in tags.items() if PLAIN.fullmatch(value)]
        found = self._search(" and ".join(["attributes.status = 'FINISHED'", *conditions]))
        return [run for run in found if tags.items() <= run.data.tags.items()]

    def nested(self, run: "Run") -> "dict[str, Run]":
        """Return the runs nested in a run by name, whatever their status."""
        found = self._search(f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
        return {str(one.info.run_name): one for one in found}

    def interrupted(self, run_id: str, alone: bool) -> "Run | None":
        """Return a run if it is here and was interrupted, else None.

        alone: no other process can be writing it, so that one still RUNNING was killed where this process can't see it,
        in a container for example."""
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            return None
        elsewhere = not run.data.tags.get(PROCESS, "").startswith(f"{_machine()} ")
        ended = run.info.status == "KILLED" or (alone and elsewhere and run.info.status == "RUNNING")
        return run if ended and run.info.lifecycle_stage == "active" else None

    def _search(self, query: str) -> "list[Run]":
        found: list[Run] = []
        page: PagedList[Run] | None = None
        while page is None or page.token:
            page = self.client.search_runs([self.experiment], query, page_token=page.token if page else None)
            found += page
        return found

    def history(self, run: "Run", metric: str) -> dict[int, float]:
        """Return a metric's values by step."""
        return {point.step: point.value for point in self.client.get_metric_history(run.info.run_id, metric)}

    def has(self, run_id: str) -> bool:
        """Return whether the store holds a run."""
        from mlflow.exceptions import MlflowException

        try:
            return bool(self.client.get_run(run_id))
        except MlflowException:
            return False

    def start(self, name: str, tags: dict[str, str], parent: "Run | None" = None) -> "Run":
        """Return a new run, nested in its parent."""
        own = tags | {PROCESS: _process()}
        if parent:
            own["mlflow.parentRunId"] = parent.info.run_id
        began = parent.info.start_time if parent else None
        return self.client.create_run(self.experiment, began, own, run_name=name)

    def go_on(self, run: "Run", tags: dict[str, str]) -> None:
        """Have an interrupted run be this process's, which goes on with it."""
        self.log(run, tags=tags | {PROCESS: _process()})
        if REASON in run.data.tags:
            self.client.delete_tag(run.info.run_id, REASON)
        self.client.update_run(run.info.run_id, "RUNNING")

    def log(
        self,
        run: "Run",
        metrics: Iterable[Point] = (),
        parameters: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """Log metrics, parameters and tags."""
        from mlflow.entities import Metric, Param, RunTag

        points = [Metric(name, float(value), time, int(step)) for name, step, value, time in metrics]
        texts = {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in (parameters or {}).items()
        }
        named = [Param(*pair) for pair in texts.items()], [RunTag(*pair) for pair in (tags or {}).items()]
        self.client.log_batch(run.info.run_id, points[:BATCH], *named)
        for start in range(BATCH, len(points), BATCH):
            self.client.log_batch(run.info.run_id, points[start : start + BATCH])

    def mark(self, run: "Run") -> None:
        """Have a run be the current one of its variant or, if it holds reports, of these; no other is then."""
        if not CURRENT.items() <= run.data.tags.items():
            own = {name: value for name, value in run.data.tags.items() if name in ("kind", "study", "variant")}
            for other in self.find(**own, **CURRENT):
                self.unmark(other)
            self.log(run, tags=CURRENT)

    def unmark(self, run: "Run") -> None:
        """Have a run be no current one."""
        self.client.delete_tag(run.info.run_id, *CURRENT)

    def log_inputs(self, run: "Run", inputs: Iterable[tuple[str, str, str, int]]) -> None:
        """Log data sets: context, name, digest, rows."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        entities = [
            DatasetInput(
                Dataset(name, digest, "dvc", '{"path": "data/raw"}', profile=json.dumps({"num_rows": rows})),
                [InputTag("mlflow.data.context", context)],
            )
            for context, name, digest, rows in inputs
        ]
        self.client.log_inputs(run.info.run_id, entities)

    def keep(self, run: "Run", folder: Path) -> None:
        """Copy a folder's content to a run's artifacts. Those of a local store are named from `root`."""
        if self.local:
            shutil.copytree(folder, self.root / run.info.artifact_uri, dirs_exist_ok=True)
        else:
            self.client.log_artifacts(run.info.run_id, str(folder))

    def keep_model(self, name: str, folder: Path, run: str | None, tags: dict[str, str]) -> str:
        """Copy a folder that holds an MLflow model to a new logged model; returns its id."""
        model = self.client.create_logged_model(self.experiment, name, run, tags)
        if self.local:
            shutil.copytree(folder, self.root / model.artifact_location, dirs_exist_ok=True)
        else:
            self.client.log_model_artifacts(model.model_id, str(folder))
        return self.client.finalize_logged_model(model.model_id, "READY").model_id

    def lock(self) -> FileLock:
        """Return the lock of what looks for something and then makes it: one process at a time."""
        return FileLock(f"{self.database}.track.lock")

    def end(self, run: "Run", status: Literal["FINISHED", "FAILED", "KILLED"], reason: str = "") -> None:
        """End a run. reason: why it didn't finish."""
        if reason:
            self.client.set_tag(run.info.run_id, REASON, reason)
        self.client.set_terminated(run.info.run_id, status)

    def end_lost(self, **tags: str) -> None:
        """End the runs that carry these tags and were not ended, and those nested in them: their processes are gone."""
        conditions = [f"tags.`{tag}` = '{value}'" for tag, value in tags.items()]
        for run in self._search(" and ".join(["attributes.status = 'RUNNING'", *conditions])):
            for one in (*self.nested(run).values(), run):
                if one.info.status == "RUNNING":
                    self.end(one, "KILLED", LOST)


def uri() -> str:
    """Return $MLFLOW_TRACKING_URI, else that of a SQLite file, its path from the project's top folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{OURS}"


def open_store() -> Store:
    """Open the store, make it and its experiment if they are missing, and close the runs that killed processes left.

    One process at a time, since MLflow's own first steps in a new SQLite file break others'. The top folder is
    $DVC_ROOT, which names it even in DVC's temporary copies, else where we are. Raises what MLflow or the disk raises.
    """
    environment.configure()
    from mlflow import MlflowClient

    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    address, root = uri(), Path(os.environ.get("DVC_ROOT") or ".").resolve()
    local = address.startswith(SQLITE)
    database = root / (unquote(address.removeprefix(SQLITE).partition("?")[0]) if local else OURS)
    if local:
        address = SQLITE + str(database).replace("%", "%25").replace("?", "%3F")
    database.parent.mkdir(parents=True, exist_ok=True)
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        _link(root)
    with FileLock(f"{database}.lock", timeout=PATIENCE):
        _check(address)
        client = MlflowClient(address)
        experiment = _experiment(client, database if local else None, root)
        _close_leftovers(client, experiment)
    return Store(client, address, experiment, root, database, local)


def _link(root: Path) -> None:
    """Have plain `mlflow ui` use our store: MLflow's default is a file mlflow.db. It becomes a link unless it is there.

    SQLite follows a link to the file, and keeps its journal beside that."""
    with contextlib.suppress(OSError):
        (root / MLFLOWS_OWN).symlink_to(OURS)


def _check(address: str) -> None:
    """Raise if the address is a database's that can't be read, at once: MLflow would try for 100 s."""
    import sqlalchemy
    from mlflow.store.db.db_types import DATABASE_ENGINES

    if re.split(r"[+:]", address)[0] in DATABASE_ENGINES:
        engine = sqlalchemy.create_engine(address)
        try:
            sqlalchemy.inspect(engine).get_table_names()
        finally:
            engine.dispose()


def shown(text: str) -> str:
    """Return a text on the store, or its address, on one line without the address's user, password and query."""
    address = uri()
    user = "".join(re.findall(r"//(.*)@", address))
    query = address.rpartition("@")[2].partition("?")[2]
    secrets = {user, *user.split(":", 1), query, *(value for _, value in parse_qsl(query))}
    text = text.replace(address, re.sub(r"//.*@", "//", address).removesuffix(f"?{query}"))
    for secret in sorted(secrets | {unquote(secret) for secret in secrets}, key=len, reverse=True):
        text = text.replace(secret, "***") if len(secret) > 3 else text
    return " ".join(text.split())


def _experiment(client: "MlflowClient", database: Path | None, root: Path) -> str:
    """Return the experiment's id; it is made or restored if need be. database: of a local store."""
    location = None
    if database:
        artifacts = database.parent / "artifacts"
        location = str(artifacts.relative_to(root) if artifacts.is_relative_to(root) else artifacts)
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        found = client.get_experiment(client.create_experiment(EXPERIMENT, artifact_location=location))
    number = str(found.experiment_id)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(number)
    if database and location and found.artifact_location != location:
        artifact_paths.relocate(database, number, location)
    return number


def _process() -> str:
    """Return what tells this process from all others: host, boot, PID namespace, PID, start."""
    return f"{_machine()} {os.getpid()} {_started(os.getpid())}"


def _machine() -> str:
    """Return host, boot and PID namespace: a PID names a process only within them."""
    try:
        boot, namespace = Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")
    except OSError:  # not on Linux
        boot = namespace = "-"
    return f"{socket.gethostname()} {boot} {namespace}"


def _started(pid: int) -> str | None:
    """Return when a process started, on Linux in clock ticks since the boot; None if it has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    except OSError:
        if psutil.LINUX or not psutil.pid_exists(pid):
            return None
        return f"{psutil.Process(pid).create_time():.0f}"


def _close_leftovers(client: "MlflowClient", experiment: str) -> None:
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        if _gone(run.data.tags.get(PROCESS, "")):
            times = [point.timestamp for point in client.get_metric_history(run.info.run_id, "loss")]
            client.set_tag(run.info.run_id, REASON, LOST)
            client.set_terminated(run.info.run_id, "KILLED", max(times, default=None))


def _gone(tag: str) -> bool:
    """Return whether the process of a tag has ended. Another machine's, or namespace's, may live: it can't be seen."""
    machine, pid, started = tag.rsplit(" ", 2) if tag.count(" ") == 4 else ("", "0", "")
    host, boot, _ = _machine().split(" ")
    if machine == _machine():
        return _started(int(pid)) != started
    return machine.startswith(f"{host} ") and f" {boot} " not in machine  # the machine has been started since
