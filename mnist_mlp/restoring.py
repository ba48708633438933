"""Runs made later than what they tell of: of outputs already there, of DVC's experiments, of the reports."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnist_mlp import config
from mnist_mlp.config import Variant
from mnist_mlp.description import Outputs, digest, fingerprint, git, lock_digest
from mnist_mlp.experiments import Experiment
from mnist_mlp.store import Store
from mnist_mlp.tracking import finish, start


@dataclass(frozen=True)
class Trained:
    """A training of some time ago. dataset: what dataset.json holds; with outputs off the reports, its name alone."""

    variant: Variant
    outputs: Outputs
    dataset: dict[str, Any]
    software: dict[str, str]

    @property
    def identity(self) -> dict[str, str]:
        """The tag by which its run is found: its fingerprint or, without the data's digests, its results."""
        if "sha256" in self.dataset:
            return {"fingerprint": fingerprint(self.variant, self.dataset, self.software)}
        return {"results": self.results}

    @property
    def results(self) -> str:
        return self.outputs.digest(self.variant)

    @property
    def stage(self) -> str:
        """The DVC stage's name."""
        study = self.variant.study
        return f"train-{config.STUDIES[study]}@{self.variant.name}" if study in config.STUDIES else f"train-{study}"

    @property
    def tags(self) -> dict[str, str]:
        """Where, when and with what else it was trained isn't known, so isn't told."""
        versions = {f"version.{package}": number for package, number in self.software.items()}
        source = "outputs" if "sha256" in self.dataset else "reports"
        return versions | {"dvc.stage": self.stage, "restored": "true", "source": source}


def restore(store: Store, trained: Trained) -> Literal["created", "completed"]:
    """Make the run of a training that has none; complete one made off reports, once the outputs are here."""
    tags = trained.tags | trained.identity
    reported = [
        run for source in ("reports", "experiment") for run in store.find(results=trained.results, source=source)
    ]
    run = reported[0] if reported else start(store, trained.variant, trained.dataset, tags)
    finish(store, run, trained.variant, trained.dataset, trained.outputs, {})
    store.log(run, tags=tags)
    return "completed" if reported else "created"


def restore_experiment(store: Store, trained: Trained, experiment: Experiment) -> Literal["created", "unchanged"]:
    """Make the run of an experiment that trained nothing; note the commit of one that has a run.

    An experiment that changed other variants has theirs, and gets none for its candidate."""
    known = {"dvc.experiment": experiment.name, "dvc.baseline": experiment.baseline}
    tags = known | {"dvc.revision": experiment.revision}
    for run in store.find(**known):
        if run.data.tags.get("study") != "candidate" or run.data.tags.get("results") == trained.results:
            store.log(run, tags=tags)
            return "unchanged"
    tags |= trained.tags | {"source": "experiment", "mlflow.source.git.commit": experiment.revision}
    run = start(store, trained.variant, trained.dataset, tags, experiment.name)
    finish(store, run, trained.variant, trained.dataset, trained.outputs, {})
    return "created"


def comparison(store: Store, reports: Path) -> Literal["created", "unchanged"]:
    """Make the run that holds the reports as they are, unless there is one: text, figures, headline numbers."""
    names = [name for name in ("comparison.md", "comparison.html", "metrics.json") if (reports / name).exists()]
    paths = [reports / name for name in names] + sorted((reports / "figures").glob("*"))
    files = {path.relative_to(reports): path.read_bytes() for path in paths}
    tags = {"study": "comparison", "digest": digest({str(p): hashlib.sha256(b).hexdigest() for p, b in files.items()})}
    if store.find(**tags):
        return "unchanged"
    headline = json.loads(files.get(Path("metrics.json"), b"{}"))
    numbers = [(f"comparison/{key}", 0, value) for key, value in headline.items() if not isinstance(value, str)]
    words = "All variants compared, and the candidate among them: open comparison.html under Artifacts."
    run = store.start("comparison", tags | git() | lock_digest() | {"kind": "comparison", "mlflow.note.content": words})
    store.log(run, numbers)
    with tempfile.TemporaryDirectory() as folder:
        for path, content in files.items():
            (target := Path(folder, path)).parent.mkdir(exist_ok=True)
            target.write_bytes(content)
        store.keep(run, Path(folder))
    store.end(run, "FINISHED")
    return "created"
