"""Make MLflow agree with the outputs that are here: `python -m stages.track`. No stage; it deletes nothing.

A variant whose training has no finished run gets one, made of its outputs in models/ or, where they are absent as in a
fresh clone, of the git-tracked reports; once the outputs arrive, they complete that run. A run is only made where
dvc.lock vouches for its labels: parameters, code, data and outputs must be those that dvc.lock knows of the variant's
last training. Where one differs, a line says which.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from filelock import FileLock
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_mlp import UserError, config, tracking
from mnist_mlp.config import Params, Variant
from mnist_mlp.description import Outputs
from mnist_mlp.store import Store, open_store
from mnist_mlp.tracking import Trained
from stages import run

DATASET, LOCK, REPORTS = Path("data/raw/dataset.json"), Path("dvc.lock"), Path("reports")
REPORTED = [REPORTS / "history.csv", REPORTS / "results.csv"]
STAGES = {
    "architectures": "train-architecture@{}",
    "techniques": "train-technique@{}",
    "penalties": "train-penalty@{}",
    "candidate": "train-candidate",
}

_ODD = (ValueError, KeyError, TypeError)  # what a file of another form raises, when read


def main() -> None:
    params, lock, tally = config.load(), _read_lock(), Counter(created=0, completed=0, unchanged=0)
    try:
        store = open_store()
        with FileLock(f"{store.database}.track.lock"):
            for variant in params.variants:
                tally.update(_agree(store, variant, params, lock))
    except Exception as error:
        raise UserError(tracking.trouble(error)) from None
    print(", ".join(f"{count} {what}" for what, count in tally.items()))


def _agree(store: Store, variant: Variant, params: Params, lock: dict[str, Any]) -> list[str]:
    """What was done: nothing where there are no outputs, else created, completed, unchanged or skipped."""
    stage = STAGES[variant.study].format(variant.name)
    try:
        trained, files = _find(variant, params)
    except FileNotFoundError:
        return []
    except _ODD as error:
        print(f"{variant.study}/{variant.name}: its outputs can't be read ({error}); run `dvc checkout`")
        return ["skipped"]
    if store.find(**trained.identity):
        return ["unchanged"]
    if difference := _difference(variant, params, lock, stage, files):
        print(f"{variant.study}/{variant.name}: {difference}; run `dvc checkout` or `dvc repro`")
        return ["skipped"]
    return [tracking.restore(store, trained, stage)]


def _find(variant: Variant, params: Params) -> tuple[Trained, list[Path]]:
    """A variant's training, and the pipeline's outputs that tell of it. Raises FileNotFoundError where none does."""
    software = dict(params.software)
    if DATASET.exists() and all((variant.folder / name).exists() for name in ("history.csv", "metrics.json")):
        dataset = json.loads(DATASET.read_text(encoding="utf-8"))
        return Trained(variant, Outputs.read(variant.folder), dataset, software), [variant.folder]
    dataset = {"name": json.loads((REPORTS / "metrics.json").read_text(encoding="utf-8"))["dataset"]}
    return Trained(variant, Outputs.reported(variant, REPORTS), dataset, software), REPORTED


def _difference(variant: Variant, params: Params, lock: dict[str, Any], stage: str, files: list[Path]) -> str | None:
    """What of a variant's training isn't as dvc.lock has it."""
    if stage not in lock:
        return f"{LOCK} has no {stage}"
    if _locked(variant, lock[stage]) != (variant, params.software):
        return "params.yaml changed since it was trained"
    if files == REPORTED and not _evaluated(lock):
        return "params.yaml changed since it was evaluated"
    written = {out["path"]: out.get("md5") for entry in lock.values() for out in entry.get("outs", [])}
    for dependency in lock[stage]["deps"]:
        path = Path(dependency["path"])
        if dependency["md5"] != (_md5(path) if path.suffix == ".py" else written.get(dependency["path"])):
            return f"{path} changed since it was trained"
    return next((f"{path} isn't what {LOCK} has" for path in files if _md5(path) != written.get(path.as_posix())), None)


def _locked(variant: Variant, entry: dict[str, Any]) -> tuple[Variant, dict[str, str]] | None:
    """The parameters that a variant was last trained with, and the software."""
    try:
        values = dict(entry["params"]["params.yaml"])
        software = values.pop("software")
        if variant.study != "candidate":
            values = values[f"{variant.study}.variants.{variant.name}"] | values[f"{variant.study}.protocol"]
        return Variant(study=variant.study, name=variant.name, **values), software
    except _ODD:
        return None


def _evaluated(lock: dict[str, Any]) -> bool:
    """Whether the reports tell of params.yaml as it is now."""
    try:
        read = {dependency["path"]: dependency["md5"] for dependency in lock["evaluate"]["deps"]}
        return read[str(config.PARAMS)] == _md5(config.PARAMS)
    except _ODD:
        return False


def _read_lock() -> dict[str, Any]:
    try:
        return YAML(typ="safe", pure=True).load(LOCK.read_text(encoding="utf-8"))["stages"]
    except FileNotFoundError:
        return {}
    except (YAMLError, *_ODD) as error:
        raise UserError(f"{LOCK}: can't be read: {' '.join(str(error).split())}; run `git checkout {LOCK}`") from None


def _md5(path: Path) -> str | None:
    """As DVC digests a file, or a folder by the list of its files; None without either."""
    if path.is_dir():
        files = sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if file.is_file())
        listing = [{"md5": _md5(file), "relpath": name} for name, file in files]
        return hashlib.md5(json.dumps(listing).encode()).hexdigest() + ".dir"
    return hashlib.md5(path.read_bytes()).hexdigest() if path.exists() else None


if __name__ == "__main__":
    run(main)
