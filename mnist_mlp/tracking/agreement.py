"""Make runs agree with what dvc.lock knows: for `mnist-mlp track`, and at the end of the `compare` stage.

The runs that dvc.lock knows now, and no others, bear the tag `current`. They tell their place among all models.
"""

import functools
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mnist_mlp import config, files, paths
from mnist_mlp.config import Params, Variant
from mnist_mlp.config.params import stage_name
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import committed, experiments, lock_entries
from mnist_mlp.pipeline.experiments import Experiment
from mnist_mlp.pipeline.lockfile import Lockfile
from mnist_mlp.tracking import backfill, metadata
from mnist_mlp.tracking.backfill import Trained
from mnist_mlp.tracking.runs import trouble
from mnist_mlp.tracking.store import CURRENT, Store, open_store
from mnist_mlp.training import outputs

if TYPE_CHECKING:
    from mlflow.entities import Run

CHECKOUT = "dvc checkout` or `dvc repro"
REPORTED = [paths.REPORTS / "history.csv", paths.REPORTS / "results.csv"]
PLACES = paths.REPORTS / "variants.csv"
UNREADABLE = (UserError, OSError, ValueError, KeyError, TypeError)  # what outputs of another form raise
Done = Literal["created", "completed", "unchanged", "skipped"]


class Agreement:
    """The runs of a store against params.yaml and dvc.lock. tell: called with what is skipped, why, what to type."""

    def __init__(self, store: Store, params: Params, tell: Callable[[str, str, str], object]):
        self.store, self.params, self.tell = store, params, tell
        self.current: dict[tuple[str, str], Run] = {_key(run): run for run in store.find(**CURRENT)}

    @functools.cached_property
    def lock(self) -> Lockfile:
        """Return dvc.lock: parsed late, since it takes a second. Raises UserError if it can't be read."""
        return Lockfile()

    def variant(self, variant: Variant) -> Done | None:
        """Have a variant's run be current; restore a missing one. Return None if there are no outputs."""
        try:
            if self._is_current(variant):
                return "unchanged"
            trained, found = _find(variant, self.params)
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            return self.skip(variant.label, f"its outputs can't be read ({error})", "dvc checkout")
        runs = self.store.find(**trained.identity)
        if any(CURRENT.items() <= run.data.tags.items() for run in runs):
            return "unchanged"
        difference = _difference(trained, found, self.params, self.lock)
        if difference and not runs:
            return self.skip(variant.label, difference, _remedy(difference))
        if not runs:
            return backfill.restore(self.store, trained)
        if not difference:
            self.store.mark(runs[0])
        return "unchanged"

    def experiment(self, experiment: Experiment, names: Collection[str]) -> Done:
        """Have a finished experiment have a run. names: of all experiments."""
        if self.store.find(**{"dvc.experiment": experiment.name, "dvc.revision": experiment.revision}):
            return "unchanged"
        with experiment.files():
            try:
                params = config.load()
                trained, found = _find(params.candidate, params)
                difference = _difference(trained, found, params, Lockfile())
            except UNREADABLE as error:
                difference = f"can't be read ({str(error).splitlines()[0]})"
            if difference:
                return self.skip(f"experiment {experiment.name}", difference, "dvc exp list")
            return backfill.restore_experiment(self.store, trained, experiment, names)

    def comparison(self) -> Done | None:
        """Have the reports have a run, if dvc.lock knows them. Return None if there are none."""
        found = [Path(path) for path in self.lock.outputs("compare") if Path(path).exists()]
        if not found:
            return None
        if difference := self.lock.changed(found):
            return self.skip("comparison", difference)
        return backfill.comparison(self.store)

    def unmark(self, known: Collection[tuple[str, str]]) -> None:
        """Have no other run be current than those of these studies and variants."""
        for run in self.store.find(**CURRENT):
            if _key(run) not in known:
                self.store.unmark(run)

    def skip(self, what: str, why: str, remedy: str = CHECKOUT) -> Done:
        """Tell that something is skipped."""
        self.tell(what, why, remedy)
        return "skipped"

    def mark_former(self) -> None:
        """Mark the runs of the trainings that came back from the cache; restore the candidate's if it has none."""
        former = self.store.find(kind="variant")
        names = {_key(run) for run in former}
        for variant in self.params.variants:
            candidate = variant == self.params.candidate
            if self._is_current(variant) or not (candidate or (variant.study, variant.name) in names):
                continue
            trained, _ = _find(variant, self.params)
            own = trained.identity | {"results": trained.results}
            if runs := [run for run in former if own.items() <= run.data.tags.items()]:
                self.store.mark(runs[0])
            elif candidate:
                backfill.restore(self.store, trained)

    def _is_current(self, variant: Variant) -> bool:
        """Return whether the current run is that of the very training: only the data's digests tell."""
        run = self.current.get((variant.study, variant.name))
        if not run or "fingerprint" not in run.data.tags or not paths.DATASET.exists():
            return False
        dataset = files.read_json(paths.DATASET)
        return run.data.tags["fingerprint"] == metadata.fingerprint(variant, dataset, dict(self.params.software))


def known(params: Params, lock: Lockfile) -> set[tuple[str, str]]:
    """Return study and variant of what both params.yaml and dvc.lock know, and those of the comparison."""
    variants = {(one.study, one.name) for one in params.variants if stage_name(one) in lock.stages}
    return variants | ({("comparison", "")} if lock.outputs("compare") else set())


def after_comparison(params: Params) -> None:
    """Have the runs agree with what the `compare` stage has just compared; it must be DVC that runs it.

    An experiment whose training came from the cache gets its run here. A variant that came back from the cache has its
    former run marked. What has no run at all is left to `mnist-mlp track`: it takes a second each. Trouble with MLflow
    is a line on the standard error."""
    try:
        store = open_store()
        with store.lock():
            run = _experiment_run(store, params)
            if experiments.in_checkout():
                agreement = Agreement(store, params, lambda *_: None)
                agreement.mark_former()
                if run:
                    store.mark(run)
                agreement.unmark({(one.study, one.name) for one in params.variants})
                told = store.find(**CURRENT)
            else:
                told = [run] if run else []
            describe(store, params, told)
    except Exception as error:
        print(f"warning: {trouble(error)}; `mnist-mlp track` logs it later", file=sys.stderr)


def describe(store: Store, params: Params, runs: "Iterable[Run]", kept: dict[str, str] | None = None) -> None:
    """Have runs tell by which md5 DVC keeps their models, and what the reports say: place, interval of the accuracy.

    kept: the md5 by path; by default dvc.lock's entries are read one by one, which takes less than all of it."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    models, variants = 0, {(one.study, one.name): one for one in params.variants}
    if PLACES.exists():
        table = files.read_table(PLACES, ["study", "variant", "rank", "rank_low", "rank_high", "test_accuracy"])
        models = files.read_json(paths.REPORTS / "metrics.json").get("distinct_models", len(table))
        rows = {(row["study"], row["variant"]): row for row in table.to_dict("records")}
    for run in runs:
        tags, known = _place(rows[_key(run)], models) if _key(run) in rows else {}, run.data.tags
        if variant := variants.get(_key(run)):
            tags |= {"layers": variant.describe()}  # runs of former versions have none
            if "dvc.md5" not in known:  # a run's models never change
                digests = lock_entries.digests(stage_name(variant)) if kept is None else kept
                md5 = digests.get(variant.folder.as_posix())
                tags |= metadata.kept(known.get(metadata.NOTE, ""), md5) if md5 else {}
        if not tags.items() <= known.items():
            store.log(run, tags=tags)


def _place(row: dict[Any, Any], models: int) -> dict[str, str]:
    place = f"{row['rank']:.0f} of {models}"
    if row["rank_low"] == row["rank_low"]:  # a number
        place += f"; {row['rank_low']:.0f} to {row['rank_high']:.0f} in 95 % of simulated draws"
    accuracy = f"{row['test_accuracy']:.2%}"
    if row.get("low", float("nan")) == row.get("low"):
        accuracy += f" [{100 * row['low']:.2f}, {100 * row['high']:.2f}]"
    return {"place": place, "interval": accuracy}


def _experiment_run(store: Store, params: Params) -> "Run | None":
    """Return the candidate's run of the experiment that DVC runs; made if its training came from the cache."""
    name, baseline = (os.environ.get(f"DVC_EXP_{what}", "") for what in ("NAME", "BASELINE_REV"))
    if not (name and baseline):
        return None
    trained, _ = _find(params.candidate, params)
    backfill.restore_experiment(store, trained, Experiment(name, baseline, ""))
    own = {"dvc.experiment": name, "dvc.baseline": baseline, "study": params.candidate.study}
    return next(iter(store.find(**own, results=trained.results)), None)


def _key(run: "Run") -> tuple[str, str]:
    return run.data.tags["study"], run.data.tags.get("variant", "")


def _find(variant: Variant, params: Params) -> tuple[Trained, list[Path]]:
    """Return a variant's training, and the outputs that tell of it. Raises FileNotFoundError if none do."""
    software = dict(params.software)
    if paths.DATASET.exists() and all((variant.folder / name).exists() for name in ("history.csv", "metrics.json")):
        dataset = json.loads(paths.DATASET.read_text(encoding="utf-8"))
        return Trained(variant, outputs.read(variant.folder), dataset, software), [variant.folder]
    dataset = {"name": json.loads((paths.REPORTS / "metrics.json").read_text(encoding="utf-8"))["dataset"]}
    return Trained(variant, backfill.outputs_of_reports(variant), dataset, software), REPORTED


def _difference(trained: Trained, found: list[Path], params: Params, lock: Lockfile) -> str | None:
    difference = lock.difference(trained.variant, params, reported=found == REPORTED)
    return difference or lock.changed(found)


def _remedy(difference: str) -> str:
    """Return what to type: params.yaml is none of DVC's outputs, so `dvc checkout` can't bring it back."""
    if not difference.startswith(str(paths.PARAMS)):
        return CHECKOUT
    back = committed.way_back()
    return "dvc repro" + (f"` or, to undo all its changes since the last commit, `{back}" if back else "")
