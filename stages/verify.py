"""Run stages again in a scratch copy and compare their outputs with dvc.lock's, byte by byte.

    python -m stages.verify STAGE [STAGE ...]     such as train-architecture@model2 evaluate
    python -m stages.verify --all

`make verify` runs it on a sample of the trainings. Nothing here is changed, and nothing reaches the MLflow store. Exit
status 1 where an output differs, unless the training was done on another CPU, which may round otherwise.
"""

import argparse
import functools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mnist_mlp import UserError, config
from mnist_mlp.description import cpu
from mnist_mlp.entries import LOCK
from mnist_mlp.locked import Lock, md5
from stages import run
from stages.inputs import parameters

CODE = ["mnist_mlp", "stages", "params.yaml", "dvc.yaml"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="stages as dvc.lock names them")
    parser.add_argument("--all", action="store_true", help="every stage of dvc.lock")
    arguments = parser.parse_args()
    lock, here = Lock().stages, functools.cache(md5)  # hundreds of megabytes of data, which most stages start from
    names = list(lock) if arguments.all else arguments.stages
    if not names:
        raise UserError("no stage named; name some as dvc.lock does, such as train-architecture@model2, or say --all")
    for name in names:
        if name not in lock:
            raise UserError(f"{LOCK}: no stage {name!r}; run `dvc repro`, or see `dvc stage list`")
        _refuse_changes(name, lock[name], here)
    wrong = [name for name in names if not _verify(name, lock[name])]
    print(f"{len(names) - len(wrong)} of {len(names)} stages give what {LOCK} has")
    if wrong:
        raise UserError(f"differences that nothing known explains: {', '.join(wrong)}")


def _refuse_changes(name: str, entry: dict[str, Any], here: Callable[[Path], str | None]) -> None:
    """Raise UserError where what the stage starts from isn't what dvc.lock has. here: a path's digest, by `md5`."""
    then = entry.get("params", {}).get(str(config.PARAMS), {})
    now = parameters(list(then))
    for key, value in then.items():
        if now.get(key) != value:
            raise UserError(f"{config.PARAMS}: {key} changed since {name} ran; run `dvc repro` first")
    for dependency in entry.get("deps", []):
        if here(Path(dependency["path"])) != dependency["md5"]:
            raise UserError(f"{dependency['path']}: not what {name} started from; run `dvc checkout` or `dvc repro`")


def _verify(name: str, entry: dict[str, Any]) -> bool:
    """Run a stage in a scratch copy and say whether its outputs are the same. False where nothing explains why not."""
    print(f"{name}  running", end="\r" if sys.stdout.isatty() else "\n", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        scratch = Path(folder, "project")
        _copy(entry, scratch)
        done = subprocess.run(
            shlex.split(entry["cmd"]), cwd=scratch, env=_environment(scratch), capture_output=True, text=True
        )
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            print(f"{name}  failed: {said}")
            return False
        different = [out["path"] for out in entry.get("outs", []) if md5(scratch / out["path"]) != out["md5"]]
        seconds = f"{time.monotonic() - began:.0f} s"
        if not different:
            print(f"{name}  identical  ({seconds})")
            return True
        details = [detail for path in different for detail in _differences(Path(path), scratch / path)]
    excuse = _other_cpu(name)
    print(f"{name}  differs: {'; '.join(details)}  ({seconds}){excuse}")
    return bool(excuse)


def _copy(entry: dict[str, Any], scratch: Path) -> None:
    for name in CODE:
        target, source = scratch / name, Path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    made = {out["path"] for out in entry.get("outs", [])}
    for path in {dependency["path"] for dependency in entry.get("deps", [])} | {"data/raw"} - made:
        target = scratch / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(Path(path).resolve())


def _environment(scratch: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    return own | {
        "DVC_ROOT": os.environ.get("DVC_ROOT", str(Path.cwd())),  # relative sources of data are relative to it
        "MLFLOW_TRACKING_URI": f"sqlite:///{scratch}/mlflow.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def _differences(ours: Path, theirs: Path) -> list[str]:
    """What two outputs differ in, file by file."""
    names = {path.relative_to(root) for root in (ours, theirs) for path in root.rglob("*") if path.is_file()}
    pairs = {ours / name: theirs / name for name in sorted(names)} or {ours: theirs}
    return [_difference(a, b) for a, b in pairs.items() if md5(a) != md5(b)] or [f"{ours} isn't here"]


def _difference(ours: Path, theirs: Path) -> str:
    if not (ours.exists() and theirs.exists()):
        return f"{ours} is only {'here' if ours.exists() else 'made now'}"
    if ours.suffix == ".npy":
        a, b = (np.load(path, allow_pickle=False) for path in (ours, theirs))
        if a.shape == b.shape:
            return f"{ours} by up to {np.abs(a.astype(np.float64) - b).max():.1e}"
    return str(ours)


def _other_cpu(name: str) -> str:
    """Where MLflow knows that a training was done on another CPU than this one: its name, else nothing."""
    if not name.startswith("train-"):
        return ""
    from mnist_mlp.store import open_store  # seconds

    variant = name.removeprefix("train-").rpartition("@")[2]
    runs = open_store().find(variant=variant, source="training")
    there = next((run.data.tags.get("cpu") for run in runs if "cpu" in run.data.tags), None)
    if there is None or there == cpu():
        return ""
    return f": trained on {there}, verified on {cpu()}, which may round otherwise"


if __name__ == "__main__":
    run(main)
