"""Backfill runs: of trainings of some time ago, of DVC's experiments, of the reports."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnist_mlp import files, paths
from mnist_mlp.config import Variant
from mnist_mlp.config.params import CANDIDATE, stage_name
from mnist_mlp.pipeline.experiments import Experiment
from mnist_mlp.tracking import metadata
from mnist_mlp.tracking.runs import finish, start
from mnist_mlp.tracking.store import Store
from mnist_mlp.training.outputs import CURVES, METRICS, Outputs

COMPARISON_NOTE = "All variants compared, and the candidate among them: open comparison.html under Artifacts."


@dataclass(frozen=True)
class Trained:
    """A training of some time ago. dataset: what dataset.json holds, or its name alone if only reports are here."""

    variant: Variant
    outputs: Outputs
    dataset: dict[str, Any]
    software: dict[str, str]

    @property
    def identity(self) -> dict[str, str]:
        """The tag by which its run is found: its fingerprint or, without the data's digests, its results."""
        if "sha256" in self.dataset:
            return {"fingerprint": metadata.fingerprint(self.variant, self.dataset, self.software)}
        return {"results": self.results}

    @property
    def results(self) -> str:
        return metadata.results_digest(self.variant, self.outputs)

    @property
    def tags(self) -> dict[str, str]:
        """The tags that are known. Where and when it was trained isn't."""
        versions = {f"version.{package}": number for package, number in self.software.items()}
        source = "outputs" if "sha256" in self.dataset else "reports"
        return versions | {"dvc.stage": stage_name(self.variant), "restored": "true", "source": source}


def restore(store: Store, trained: Trained) -> Literal["created", "completed"]:
    """Make the run of a training that has none; complete one made off reports, once the outputs are here.

    The run is the variant's current one."""
    tags = trained.tags | trained.identity
    reported = [
        run for source in ("reports", "experiment") for run in store.find(results=trained.results, source=source)
    ]
    run = reported[0] if reported else start(store, trained.variant, trained.dataset, tags)
    finish(store, run, trained.variant, trained.dataset, trained.outputs, {})
    store.log(run, tags=tags)
    store.mark(run)
    return "completed" if reported else "created"


def restore_experiment(
    store: Store, trained: Trained, experiment: Experiment, others: Collection[str] | None = None
) -> Literal["created", "unchanged"]:
    """Make the run of an experiment that trained nothing; note the commit of one that has a run, and a new name.

    others: all experiments' names; a run of the same results under none of them was renamed. None: don't look for that.
    An experiment that changed other variants has theirs, and gets none for its candidate. Its commit is empty until it
    has ended."""
    tags = {"dvc.experiment": experiment.name, "dvc.baseline": experiment.baseline}
    commit = {"mlflow.source.git.commit": experiment.revision} if experiment.revision else {}
    tags |= {"dvc.revision": experiment.revision} if experiment.revision else {}
    for run in store.find(**{"dvc.baseline": experiment.baseline}):
        name, same = run.data.tags.get("dvc.experiment"), run.data.tags.get("results") == trained.results
        own = name == experiment.name and (same or run.data.tags.get("study") != CANDIDATE)
        if own or (same and others is not None and name not in others):
            named = {"mlflow.runName": experiment.name} if run.info.run_name == name else {}
            store.log(run, tags=tags | named)
            return "unchanged"
    tags |= trained.tags | trained.identity | commit | {"source": "experiment"}
    run = start(store, trained.variant, trained.dataset, tags, experiment.name)
    finish(store, run, trained.variant, trained.dataset, trained.outputs, {})
    return "created"


def comparison(store: Store, reports: Path = paths.REPORTS) -> Literal["created", "unchanged"]:
    """Make the run that holds the reports as they are, unless there is one: text, figures, headline numbers.

    It is the current one of its kind."""
    names = [name for name in ("comparison.md", "comparison.html", "metrics.json") if (reports / name).exists()]
    found = [reports / name for name in names] + sorted((reports / "figures").glob("*"))
    digests = {str(path.relative_to(reports)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
    tags = {"study": "comparison", "digest": metadata.digest(digests)}
    if same := store.find(**tags):
        store.mark(same[0])
        return "unchanged"
    headline = json.loads((reports / "metrics.json").read_text(encoding="utf-8")) if "metrics.json" in digests else {}
    now = int(time.time() * 1000)
    numbers = [
        (f"comparison/{key}", 0, value, now) for key, value in headline.items() if isinstance(value, int | float)
    ]
    name = f"comparison {tags['digest'][:5]} {headline.get('dataset', '')}"  # MLflow's tables show some 16 letters
    tags |= {"dataset": headline.get("dataset", "")}
    tags |= metadata.git_tags() | metadata.lock_tag() | {"kind": "comparison", "mlflow.note.content": COMPARISON_NOTE}
    run = store.start(name, tags)
    store.log(run, numbers)
    with tempfile.TemporaryDirectory() as folder:
        for path in found:
            (target := Path(folder, path.relative_to(reports))).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
        store.keep(run, Path(folder))
    store.end(run, "FINISHED")
    store.mark(run)
    return "created"


def outputs_of_reports(variant: Variant, reports: Path = paths.REPORTS) -> Outputs:
    """Return what the reports tell of a variant. Raises FileNotFoundError if they tell nothing, KeyError or ValueError
    if they can't be read."""
    tables = (files.read_csv(reports / name) for name in ("history.csv", "results.csv"))
    history, results = (t[(t["study"] == variant.study) & (t["variant"] == variant.name)] for t in tables)
    if history.empty or results.empty:
        raise FileNotFoundError(f"{reports}: nothing of {variant.label}")
    parameters = int(results["parameters"].iloc[0])
    return Outputs(history[["seed", "epoch", *CURVES]], results[["seed", *METRICS]], parameters)
