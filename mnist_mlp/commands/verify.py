"""Run stages again in a scratch copy and compare their outputs with dvc.lock's, byte by byte.

`make verify` runs it on a sample of the trainings. They train anew, and what they train replaces what .cache/replicates
kept. Nothing else is changed here, and nothing reaches the MLflow store. The exit status is 1 if an output differs,
unless the training was done on another CPU, which may round otherwise.
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

from mnist_mlp import paths
from mnist_mlp.errors import UserError
from mnist_mlp.machine import cpu
from mnist_mlp.pipeline.digests import md5
from mnist_mlp.pipeline.environment import VERIFY
from mnist_mlp.pipeline.inputs import parameters, read_ignored
from mnist_mlp.pipeline.lockfile import Lockfile

CODE = ["mnist_mlp", "stages", "params.yaml", "dvc.yaml", ".dvcignore", "published"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which stages to run again."""
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="as dvc.lock names them: train-architectures@model2")
    parser.add_argument("--all", action="store_true", help="every stage of dvc.lock")


def main(stages: list[str], all: bool) -> None:
    """Verify stages, one line each. Raises UserError for differences, and for stages that can't be verified."""
    lock, here = Lockfile().stages, functools.cache(md5)  # hundreds of megabytes, which most stages start from
    names = list(lock) if all else stages
    if not names:
        raise UserError("no stage named; name some as dvc.lock does, such as train-architectures@model2, or say --all")
    for name in names:
        if name not in lock:
            raise UserError(f"{paths.LOCKFILE}: no stage {name!r}; run `dvc repro`, or see `dvc stage list`")
        _refuse_changes(name, lock[name], here)
    wrong = [name for name in names if not _verify(name, lock[name])]
    print(f"{len(names) - len(wrong)} of {len(names)} stages give what {paths.LOCKFILE} has")
    if wrong:
        raise UserError(f"differences that nothing known explains: {', '.join(wrong)}")


def _refuse_changes(name: str, entry: dict[str, Any], here: Callable[[Path], str | None]) -> None:
    """Raise UserError if what the stage starts from isn't what dvc.lock has. here: returns a path's digest."""
    then = entry.get("params", {}).get(str(paths.PARAMS), {})
    now = parameters(list(then))
    for key, value in then.items():
        if now.get(key) != value:
            raise UserError(f"{paths.PARAMS}: {key} changed since {name} ran; run `dvc repro` first")
    for dependency in entry.get("deps", []):
        if here(Path(dependency["path"])) != dependency["md5"]:
            raise UserError(f"{dependency['path']}: not what {name} started from; run `dvc checkout` or `dvc repro`")


def _verify(name: str, entry: dict[str, Any]) -> bool:
    """Run a stage in a scratch copy and print whether its outputs are the same. Returns False if nothing explains a
    difference."""
    print(f"{name}  running", end="\r" if sys.stdout.isatty() else "\n", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        scratch = Path(folder, "project")
        _copy(entry, scratch)
        done = subprocess.run(
            shlex.split(entry["cmd"]),
            cwd=scratch,
            env=_environment(scratch),
            capture_output=True,
            text=True,
            errors="replace",
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
    ignored = read_ignored()
    for name in CODE:
        target, source = scratch / name, Path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(
                source, target, ignore=lambda at, names: [name for name in names if ignored(Path(at, name))]
            )
        else:
            shutil.copy2(source, target)
    for path in {dependency["path"] for dependency in entry.get("deps", [])}:
        target = scratch / path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(Path(path).resolve())


def _environment(scratch: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    return own | {
        "DVC_ROOT": os.environ.get("DVC_ROOT", str(Path.cwd())),  # relative sources of data are relative to it
        VERIFY: "1",
        "MNIST_MLP_FRESH": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{scratch}/mlflow.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def _differences(ours: Path, theirs: Path) -> list[str]:
    """Return what two outputs differ in, file by file."""
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
    """Return the words for a training that was done on another CPU than this one, as MLflow knows; else none."""
    if not name.startswith("train-"):
        return ""
    from mnist_mlp.tracking.store import open_store  # seconds

    variant = name.removeprefix("train-").rpartition("@")[2]
    runs = open_store().find(variant=variant, source="training")
    there = next((run.data.tags.get("cpu") for run in runs if "cpu" in run.data.tags), None)
    if there is None or there == cpu():
        return ""
    return f": trained on {there}, verified on {cpu()}, which may round otherwise"
