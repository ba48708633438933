"""Make MLflow agree with what is here. It deletes nothing.

- A variant whose training has no finished run gets one, made of its outputs in models/ or, where they are absent as in
  a fresh clone, of the git-tracked reports; once the outputs arrive, they complete that run.
- A DVC experiment that trained nothing, since its candidate was trained before, gets a run of its name, made of the
  reports in its commit.
- The champion in champion/ is registered, and the reports are one run, `comparison`.
- The runs that dvc.lock knows now, and no others, bear the tag `current`.

All of it only where dvc.lock vouches for it: parameters, code, data and outputs must be those that dvc.lock knows.
Where one differs, a line says which.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from tqdm import tqdm

from mnist_mlp import config, paths
from mnist_mlp.config import Params, Variant
from mnist_mlp.config.params import stage_name
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import committed, experiments
from mnist_mlp.pipeline.experiments import Experiment
from mnist_mlp.pipeline.lockfile import Lockfile
from mnist_mlp.tracking import backfill, registry
from mnist_mlp.tracking.backfill import Trained
from mnist_mlp.tracking.runs import trouble
from mnist_mlp.tracking.store import CURRENT, Store, open_store
from mnist_mlp.training import outputs

CHECKOUT = "dvc checkout` or `dvc repro"
REPORTED = [paths.REPORTS / "history.csv", paths.REPORTS / "results.csv"]

UNREADABLE = (UserError, OSError, ValueError, KeyError, TypeError)  # what outputs of another form raise
Done = Literal["created", "completed", "unchanged", "skipped"]


def main() -> None:
    """Make the store agree. Raises UserError if MLflow can't be reached; a registry of its own is worth a warning."""
    params, lock, tally = config.load(), Lockfile(), Counter(created=0, completed=0, unchanged=0)
    try:
        store = open_store()
        with store.lock():
            found = experiments.finished()
            names = {experiment.name for experiment in found}
            tally.update(_experiment(store, experiment, names) for experiment in _shown(found))
            tally.update(filter(None, (_variant(store, variant, params, lock) for variant in _shown(params.variants))))
            tally.update(filter(None, (_champion(store, params, lock), _comparison(store, lock))))
            _unmark(store, params, lock)
    except Exception as error:
        raise UserError(trouble(error)) from None
    print(", ".join(f"{count} {what}" for what, count in tally.items()))


def _shown(what: list[Any]) -> "tqdm[Any]":
    return tqdm(what, "MLflow", disable=None, leave=False)


def _variant(store: Store, variant: Variant, params: Params, lock: Lockfile) -> Done | None:
    """Return what was done, or None if there are no outputs."""
    try:
        trained, files = _find(variant, params)
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        return _skip(variant.label, f"its outputs can't be read ({error})", "dvc checkout")
    found = store.find(**trained.identity)
    if found and (CURRENT.items() <= found[0].data.tags.items()):
        return "unchanged"
    difference = _difference(trained, files, params, lock)
    if difference and not found:
        return _skip(variant.label, difference, _remedy(difference))
    if not found:
        return backfill.restore(store, trained)
    if not difference:
        store.mark(found[0])
    return "unchanged"


def _unmark(store: Store, params: Params, lock: Lockfile) -> None:
    """Have no run be current whose variant, or whose reports, dvc.lock or params.yaml don't know."""
    known = {(one.study, one.name) for one in params.variants if stage_name(one) in lock.stages}
    if lock.outputs("compare"):
        known.add(("comparison", ""))
    for run in store.find(**CURRENT):
        if (run.data.tags["study"], run.data.tags.get("variant", "")) not in known:
            store.unmark(run)


def _find(variant: Variant, params: Params) -> tuple[Trained, list[Path]]:
    """Return a variant's training, and the outputs that tell of it. Raises FileNotFoundError if none do."""
    software = dict(params.software)
    if paths.DATASET.exists() and all((variant.folder / name).exists() for name in ("history.csv", "metrics.json")):
        dataset = json.loads(paths.DATASET.read_text(encoding="utf-8"))
        return Trained(variant, outputs.read(variant.folder), dataset, software), [variant.folder]
    dataset = {"name": json.loads((paths.REPORTS / "metrics.json").read_text(encoding="utf-8"))["dataset"]}
    return Trained(variant, backfill.outputs_of_reports(variant), dataset, software), REPORTED


def _difference(trained: Trained, files: list[Path], params: Params, lock: Lockfile) -> str | None:
    difference = lock.difference(trained.variant, params, reported=files == REPORTED)
    return difference or lock.changed(files)


def _experiment(store: Store, experiment: Experiment, names: set[str]) -> Done:
    if store.find(**{"dvc.experiment": experiment.name, "dvc.revision": experiment.revision}):
        return "unchanged"
    with experiment.files():
        try:
            params = config.load()
            trained, files = _find(params.candidate, params)
            difference = _difference(trained, files, params, Lockfile())
        except UNREADABLE as error:
            difference = f"can't be read ({str(error).splitlines()[0]})"
        if difference:
            return _skip(f"experiment {experiment.name}", difference, "dvc exp list")
        return backfill.restore_experiment(store, trained, experiment, names)


def _champion(store: Store, params: Params, lock: Lockfile) -> Done | None:
    if not paths.CHAMPION.is_dir():
        return None
    if difference := lock.changed([paths.CHAMPION]):
        return _skip("champion", difference)
    own, reported = paths.CHAMPION / "champion.json", paths.REPORTS / "champion.json"
    if reported.exists() and own.read_bytes() != reported.read_bytes():
        return _skip("champion", f"{own} isn't {reported}", "dvc repro")
    try:
        return "created" if registry.register(store, params) else "unchanged"
    except Exception as error:
        if not (address := os.environ.get("MLFLOW_REGISTRY_URI")):
            raise
        parts, what = urlsplit(address), trouble(error).split(": ")[1]
        print(
            f"warning: MLFLOW_REGISTRY_URI: {parts.scheme}://{parts.netloc.rpartition('@')[2]}: {what}; the champion "
            "is not registered there; unset it, or run `mnist-mlp track` once the registry answers", file=sys.stderr,
        )  # fmt: skip
        return None


def _comparison(store: Store, lock: Lockfile) -> Done | None:
    files = [Path(path) for path in lock.outputs("compare") if Path(path).exists()]
    if not files:
        return None
    if difference := lock.changed(files):
        return _skip("comparison", difference)
    return backfill.comparison(store)


def _remedy(difference: str) -> str:
    """Return what to type: params.yaml is none of DVC's outputs, so `dvc checkout` can't bring it back."""
    if not difference.startswith(str(paths.PARAMS)):
        return CHECKOUT
    back = committed.way_back()
    return "dvc repro" + (f"` or, to undo all its changes since the last commit, `{back}" if back else "")


def _skip(what: str, why: str, remedy: str = CHECKOUT) -> Done:
    print(f"{what}: {why}; run `{remedy}`")
    return "skipped"
