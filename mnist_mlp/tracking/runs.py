"""A training's runs: one per variant, and a nested one per replicate.

Around a training:

    with runs.training(variant, dataset, software) as log:
        ...train, call log.epoch(seed, epoch, row) after each epoch, write the outputs to `folder`...
        log(folder, origins)

Later, from outputs already there: tracking/backfill.py, which logs by the same functions.
"""

import contextlib
import json
import os
import platform
import signal
import socket
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mnist_mlp import files, paths
from mnist_mlp.config import Variant
from mnist_mlp.evaluation import predictions
from mnist_mlp.machine import cpu
from mnist_mlp.pipeline import experiments
from mnist_mlp.report import figures
from mnist_mlp.tracking import metadata
from mnist_mlp.tracking.live import Live
from mnist_mlp.tracking.store import Point, Store, open_store, shown, uri
from mnist_mlp.training import outputs
from mnist_mlp.training.outputs import CURVES, METRICS, Origin, Outputs, Replicate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from mlflow.entities import Run

HARDEST = 24  # test images that are drawn
PACKAGES = ("tensorflow", "keras", "numpy", "mlflow", "dvc")
GIVEN = {  # tags, by the variables that DVC, or the cluster's caller, sets for a training
    "dvc.stage": "DVC_STAGE", "dvc.experiment": "DVC_EXP_NAME", "dvc.baseline": "DVC_EXP_BASELINE_REV",
    "cluster": "MNIST_MLP_CLUSTER",
}  # fmt: skip


class Log:
    """Log a variant's epochs as they end, then its outputs, and end its run.

    run_id: the run's, or nothing if MLflow can't be reached."""

    def __init__(self, begun: "tuple[Store, Run, dict[int, Run]] | None", variant: Variant, dataset: dict[str, Any]):
        self.begun, self.variant, self.dataset = begun, variant, dataset
        self.began, self.logged, self.told = time.monotonic(), False, begun is None
        self.run_id = begun[1].info.run_id if begun else ""
        self.live = self._attempt(lambda: Live(*begun, self._tell)) if begun else None

    def epoch(self, seed: int, epoch: int, row: "np.ndarray") -> None:
        """Log an epoch of a replicate, within seconds and without waiting. row: of outputs.CURVES."""
        if self.live:
            self.live(seed, epoch, row)

    def take(self, replicate: Replicate) -> None:
        """Log the curve of a replicate that was taken from an earlier training."""
        for epoch, row in enumerate(replicate.curve, start=1):
            self.epoch(replicate.seed, epoch, row)

    def __call__(self, folder: Path, origins: Mapping[int, Origin | None] = MappingProxyType({})) -> None:
        """Log the outputs in a folder. origins: by seed, the training that a replicate was taken from, None if it was
        trained."""
        self.close()
        if self.begun:
            store, run, _ = self.begun
            seconds = {"training_seconds": time.monotonic() - self.began}

            def step() -> bool:
                results = outputs.read(folder)
                finish(store, run, self.variant, self.dataset, results, seconds, origins)
                if experiments.in_checkout():
                    store.mark(run)
                return True

            self.logged = bool(self._attempt(step))

    def close(self) -> None:
        """Log the epochs that wait for it."""
        if self.live:
            self.live.close()

    def _attempt(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except Exception as error:  # of any kind: no training may be lost by it
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Print what went wrong, once in a training."""
        if not self.told:
            _warn(error)
        self.told = True


@contextlib.contextmanager
def training(
    variant: Variant, dataset: dict[str, Any], software: dict[str, str], memory: Path | None = None
) -> Iterator[Log]:
    """Open a variant's run while the block trains; yield what logs to it and ends it.

    dataset: what dataset.json holds; software: the versions that params.yaml names; memory: a file that keeps the
    run's id, for this very training to go on in the same run once it was interrupted. The run is FAILED if the block
    raises, and KILLED if it is interrupted (Ctrl-C, SIGTERM), with the reason in a tag. Trouble with MLflow is a line
    on the standard error: training goes on.
    """
    try:
        begun = _begin(variant, dataset, software, memory)
    except Exception as error:  # of any kind: no training may be lost by it
        _warn(error)
        begun = None
    log = Log(begun, variant, dataset)

    def end(status: Literal["FAILED", "KILLED"], reason: str) -> None:
        log.close()
        if begun:
            store, run, replicates = begun
            with contextlib.suppress(Exception):  # something worse is being told, or was
                for one in (*replicates.values(), run):
                    store.end(one, status, reason)

    try:
        with _sigterm_raises():
            yield log
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | _Terminated):
            end("KILLED", "Ctrl-C" if isinstance(error, KeyboardInterrupt) else "SIGTERM")
        else:
            end("FAILED", f"{type(error).__name__}: {error}")
            if memory:  # nothing goes on in a failed run
                memory.unlink(missing_ok=True)
        raise
    if not log.logged:
        end("FAILED", "its outputs were not logged")


def _begin(
    variant: Variant, dataset: dict[str, Any], software: dict[str, str], memory: Path | None
) -> "tuple[Store, Run, dict[int, Run]]":
    """Return the store, a variant's run and its replicates' by seed: new ones, or those of the interrupted training."""
    tags = {tag: os.environ[name] for tag, name in GIVEN.items() if os.environ.get(name)}
    tags |= {f"version.{package}": version(package) for package in PACKAGES}
    tags |= {"version.python": platform.python_version(), "cpu": cpu(), "source": "training"}
    tags["host"] = socket.gethostname()
    tags["fingerprint"] = metadata.fingerprint(variant, dataset, software)
    store, experiment = open_store(), os.environ.get("DVC_EXP_NAME")
    alone = "DVC_STAGE" in os.environ  # a stage's lock lets one process train a variant in a folder
    if run := store.interrupted(memory.read_text(), alone) if memory and memory.exists() else None:
        name = metadata.run_name(variant, experiment, **metadata.changes_tag(variant))
        store.go_on(run, tags | {"mlflow.runName": name})
        for one in store.nested(run).values():
            store.go_on(one, {})
    else:
        run = start(store, variant, dataset, tags, experiment)
        if memory:
            files.write(memory, run.info.run_id)
    return store, run, replicates(store, run, variant, variant.seeds)


def start(
    store: Store, variant: Variant, dataset: dict[str, Any], tags: dict[str, str], experiment: str | None = None
) -> "Run":
    """Return a new run of a variant, with parameters and note. dataset: what dataset.json holds, or its name alone."""
    told = {"kind": "variant", "dataset": dataset["name"], "layers": variant.describe()}
    told |= {"mlflow.source.name": "stages/train.py"}
    changes = metadata.changes_tag(variant)
    told |= metadata.git_tags() | metadata.lock_tag() | changes | tags | _names(variant)
    told["mlflow.note.content"] = metadata.note(variant, dataset)
    run = store.start(metadata.run_name(variant, experiment, **changes), told)
    store.log(run, parameters=_names(variant) | metadata.resolved(variant))
    return run


def replicates(store: Store, run: "Run", variant: Variant, seeds: Iterable[int]) -> "dict[int, Run]":
    """Return the runs of a variant's replicates, by seed. Those that are missing are made."""
    nested, made = store.nested(run), {}
    for seed in seeds:
        if f"seed {seed}" not in nested:
            nested[f"seed {seed}"] = store.start(f"seed {seed}", _names(variant) | {"kind": "replicate"}, run)
            store.log(nested[f"seed {seed}"], parameters={"seed": seed})
        made[seed] = nested[f"seed {seed}"]
    return made


def finish(
    store: Store,
    run: "Run",
    variant: Variant,
    dataset: dict[str, Any],
    results: Outputs,
    more: dict[str, float],
    origins: Mapping[int, Origin | None] = MappingProxyType({}),
) -> None:
    """Log a variant's numbers and figures to its run, and its replicates' to theirs, and end all.

    What the runs hold already isn't logged again. more: further metrics.

    origins: by seed, as far as it is known, the training that a replicate was taken from, None if it was trained."""
    finals = results.finals
    means = results.means | {"parameters": results.parameters} | more
    if len(finals) > 1:
        means |= {f"{name}_std": finals[name].std(ddof=1) for name in METRICS if name.endswith("accuracy")}
    curves = results.history.groupby("epoch")[CURVES].mean()
    tags = {"results": metadata.results_digest(variant, results)}
    tags["mlflow.note.content"] = metadata.note(variant, dataset, results)
    store.log(run, _missing(store, run, curves, {name: round(value, 6) for name, value in means.items()}), tags=tags)
    if "sha256" in dataset:
        store.log_inputs(run, metadata.inputs(variant, dataset))

    nested = replicates(store, run, variant, finals["seed"].tolist())
    for final in finals.to_dict("records"):
        seed = final.pop("seed")
        own = results.history[results.history["seed"] == seed].set_index("epoch")[CURVES]
        tags = _origin_tags(store, origins[seed]) if seed in origins else {}
        store.log(nested[seed], _missing(store, nested[seed], own, final), tags=tags)
        store.end(nested[seed], "FINISHED")

    with tempfile.TemporaryDirectory() as folder:
        _write_artifacts(variant, results, f"{variant.study}: {run.info.run_name}", Path(folder))
        store.keep(run, Path(folder))
    store.end(run, "FINISHED")


def _origin_tags(store: Store, origin: Origin | None) -> dict[str, str]:
    """Return tags: whether a replicate was trained or taken; from which run, if the store has it."""
    if origin is None:
        return {"replicate": "trained"}
    known = {"replicate.run": origin.run} if store.has(origin.run) else {}
    return {"replicate": f"taken from {origin.label}"} | known


def _write_artifacts(variant: Variant, results: Outputs, title: str, folder: Path) -> None:
    numbers = {"parameters": results.parameters, "replicates": results.finals.to_dict("records")}
    (folder / "history.csv").write_bytes(metadata.history_csv(results).encode())
    (folder / "metrics.json").write_bytes((json.dumps(numbers, indent=2) + "\n").encode())
    drawn = {
        "accuracy": figures.learning_curves(results.history, "accuracy", title),
        "loss": figures.learning_curves(results.history, "loss", title),
    }
    if (variant.folder / "probabilities.npy").exists() and (paths.PREPARED / "pixels/test.npy").exists():
        drawn["errors"] = _errors(variant, title)
    for name, figure in drawn.items():
        figures.save(figure, folder / "figures" / f"{name}.png")


def _errors(variant: Variant, title: str) -> "Figure":
    """Draw the confusion matrix over all replicates, and the test images whose own class gets the least probability."""
    labels = predictions.read_labels(paths.PREPARED / "labels/test.npy")
    images = files.read_array(paths.PREPARED / "pixels/test.npy", mapped=True)
    probabilities = outputs.read_probabilities(variant, len(labels), int(labels.max()) + 1)
    replicates, _, classes = probabilities.shape
    counts = np.bincount((labels.astype(int) * classes + probabilities.argmax(axis=2)).ravel(), minlength=classes**2)
    shown = replicates * np.bincount(labels, minlength=classes)[:, None]
    mean = probabilities.mean(axis=0)
    hardest = np.argsort(mean[np.arange(len(labels)), labels], kind="stable")[:HARDEST]
    names = [f"{labels[i]} as {mean[i].argmax()}" for i in hardest]
    return figures.errors(
        counts.reshape(classes, classes) / np.maximum(shown, 1), np.stack([images[i] for i in hardest]), names, title
    )


def _names(variant: Variant) -> dict[str, str]:
    return {"study": variant.study, "variant": variant.name}


def _missing(store: Store, run: "Run", curves: "pd.DataFrame", finals: dict[str, float]) -> list[Point]:
    """Return the points that a run lacks.

    The validation's final figures are its curves' last points; the others have no step, so that the UI draws bars."""
    logged, now = store.history(run, CURVES[0]), int(time.time() * 1000)
    points = [
        (name, epoch, round(value, 9), now)
        for name in CURVES for epoch, value in curves[name].items() if epoch not in logged
    ]  # fmt: skip
    others = {name: value for name, value in finals.items() if name not in CURVES}
    return points + [(name, 0, value, now) for name, value in others.items() if run.data.metrics.get(name) != value]


def _warn(error: Exception) -> None:
    print(f"warning: {trouble(error)}; the training goes on; `mnist-mlp track` logs it later", file=sys.stderr)


def trouble(error: Exception) -> str:
    """Return what went wrong with MLflow, and where, on a line without passwords."""
    cause: BaseException = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    return textwrap.shorten(shown(f"MLflow at {uri()}: {type(cause).__name__}: {cause}"), 300, placeholder=" ...")


class _Terminated(SystemExit):
    pass


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    def handler(*_: Any) -> None:
        raise _Terminated(128 + signal.SIGTERM)

    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
