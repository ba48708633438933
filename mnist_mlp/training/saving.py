"""What a training writes: a variant's folder, its models as files without dates, and checkpoints on the way there."""

import json
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mnist_mlp.config import Variant

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Replicate:
    """One seed's training. curve: [epochs, 4], loss, accuracy, val_loss, val_accuracy; probabilities: [n_test, 10]."""

    seed: int
    model: "keras.Model"
    curve: np.ndarray
    metrics: dict[str, float]
    probabilities: np.ndarray


def write(variant: Variant, replicates: list[Replicate], folder: Path) -> None:
    """Write models, history.csv, metrics.json and probabilities.npy to a variant's `folder`: all of them or none."""
    from mnist_mlp.training import networks

    partial = folder.parent.parent / ".partial" / f"{variant.study}-{variant.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    rows = ["seed,epoch,loss,accuracy,val_loss,val_accuracy"]
    for replicate in replicates:
        save_model(replicate.model, partial / f"seed-{replicate.seed}.keras")
        for epoch, row in enumerate(replicate.curve, start=1):
            rows.append(",".join([str(replicate.seed), str(epoch), *(f"{value:.6f}" for value in row)]))
    (partial / "history.csv").write_bytes("\n".join([*rows, ""]).encode())
    metrics = {
        "parameters": networks.count_parameters(replicates[0].model),
        "replicates": [
            {"seed": replicate.seed} | {name: round(value, 6) for name, value in replicate.metrics.items()}
            for replicate in replicates
        ],
    }
    (partial / "metrics.json").write_bytes((json.dumps(metrics, indent=2) + "\n").encode())
    np.save(partial / "probabilities.npy", np.stack([replicate.probabilities for replicate in replicates]))
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial.rename(folder)


def save_model(model: "keras.Model", path: Path) -> None:
    """A .keras file without its date and memory addresses, so that the same model gives the same bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        dated = Path(scratch, path.name)
        model.save(dated)
        with zipfile.ZipFile(dated) as source, zipfile.ZipFile(path, "w") as target:
            for name in sorted(source.namelist()):
                content = source.read(name)
                if name.endswith(".json"):
                    content = json.dumps(_undated(json.loads(content), {})).encode()
                target.writestr(zipfile.ZipInfo(name), content)


def _undated(node, seen: dict[int, int]):
    if isinstance(node, list):
        return [_undated(part, seen) for part in node]
    if not isinstance(node, dict):
        return node
    return {
        key: seen.setdefault(value, len(seen)) if key == "shared_object_id" else _undated(value, seen)
        for key, value in node.items()
        if key != "date_saved"
    }


def write_checkpoint(path: Path, arrays: list[np.ndarray]) -> None:
    """Keep arrays, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, *arrays)
    os.replace(partial, path)


def read_checkpoint(path: Path) -> list[np.ndarray]:
    """The arrays kept; none where there is no file, or none that is whole: a zip archive checks its bytes."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[f"arr_{number}"] for number in range(len(arrays.files))]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return []
