"""The files that a training leaves in models/<study>/<variant>/, written and read.

seed-<seed>.keras    each replicate's model, of Keras's own layers
history.csv          one row per seed and epoch: seed, epoch and CURVES
metrics.json         parameters; replicates: seed, METRICS and penalty of each
probabilities.npy    float32 [replicates, n_test, classes]
"""

import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mnist_mlp import files
from mnist_mlp.config import Variant
from mnist_mlp.errors import UserError
from mnist_mlp.files import misfit, read_array, read_json, read_table

if TYPE_CHECKING:
    import keras

CHECKED = 1000  # test images whose predictions a saved model must repeat
TOLERANCE = 1e-3  # of a probability: Keras computes in another order than the epoch's program
CURVES = ["loss", "accuracy", "val_loss", "val_accuracy"]  # by epoch; losses in nats, accuracies in [0, 1]
METRICS = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"]  # at the end


@dataclass(frozen=True)
class Origin:
    """The training that a replicate was taken from. label: its variant's; run: the id of its MLflow run, if known."""

    label: str
    run: str


@dataclass(frozen=True)
class Replicate:
    """One seed's finished training. curve: [epochs, 4], CURVES; metrics: METRICS and penalty; probabilities:
    float32 [n_test, classes]; origin: the earlier training that it was taken from, if any."""

    seed: int
    model: "keras.Model"
    curve: np.ndarray
    metrics: dict[str, float]
    probabilities: np.ndarray
    origin: Origin | None = None


@dataclass(frozen=True)
class Outputs:
    """The numbers that a variant's training left.

    history: seed, epoch (from 1) and CURVES, one row per epoch of a replicate. finals: seed, METRICS and, unless they
    come from the reports, penalty, one row per replicate. parameters: how many the network has."""

    history: pd.DataFrame
    finals: pd.DataFrame
    parameters: int

    @property
    def means(self) -> dict[str, float]:
        """The means over seeds of METRICS and, if known, of the penalty."""
        return self.finals.drop(columns="seed").mean().to_dict()


def write(replicates: list[Replicate], folder: Path, images: np.ndarray) -> None:
    """Write a variant's files: all of them or none. images: the test images, float32 [n_test, height, width].

    Raises UserError if a model, loaded again by plain Keras, doesn't repeat its replicate's predictions."""
    scratch = folder.parent.parent / ".partial" / folder.parent.name / folder.name  # in no stage's dependency
    with files.replaced_folder(folder, scratch) as new:
        _fill(replicates, new, images[:CHECKED])


def _fill(replicates: list[Replicate], folder: Path, images: np.ndarray) -> None:
    from mnist_mlp.training.networks import count_parameters

    rows = [",".join(["seed", "epoch", *CURVES])]
    for replicate in replicates:
        path = folder / f"seed-{replicate.seed}.keras"
        save_model(replicate.model, path)
        _check_saved(path, images, replicate.probabilities[: len(images)])
        for epoch, row in enumerate(replicate.curve, start=1):
            rows.append(",".join([str(replicate.seed), str(epoch), *(f"{value:.6f}" for value in row)]))
    (folder / "history.csv").write_bytes("\n".join([*rows, ""]).encode())
    metrics = {
        "parameters": count_parameters(replicates[0].model),
        "replicates": [
            {"seed": replicate.seed} | {name: round(value, 6) for name, value in replicate.metrics.items()}
            for replicate in replicates
        ],
    }
    (folder / "metrics.json").write_bytes((json.dumps(metrics, indent=2) + "\n").encode())
    np.save(folder / "probabilities.npy", np.stack([replicate.probabilities for replicate in replicates]))


def read(folder: Path) -> Outputs:
    """Return the numbers that a training left in a folder. Raises UserError if a file is missing or malformed."""
    path = folder / "metrics.json"
    metrics = read_json(path, "parameters", "replicates")
    try:
        parameters = int(metrics["parameters"])
        finals = pd.DataFrame(list(metrics["replicates"]))[["seed", *METRICS, "penalty"]]
        finite = np.isfinite(finals[METRICS].to_numpy(np.float64)).all()
    except (KeyError, TypeError, ValueError) as error:
        raise misfit(path, f"{type(error).__name__} {error}", "what `train` writes") from None
    if not finite:
        raise misfit(path, "a metric that isn't finite", "finite numbers")
    history = read_table(folder / "history.csv", ["seed", "epoch", *CURVES])[["seed", "epoch", *CURVES]]
    return Outputs(history, finals, parameters)


def check(outputs: Outputs, variant: Variant) -> None:
    """Raise UserError if outputs have other seeds or epochs than the variant."""
    seeds, found = list(variant.seeds), outputs.finals["seed"].tolist()
    if found != seeds:
        raise misfit(variant.folder / "metrics.json", f"seeds {found}", f"{seeds}, as in params.yaml")
    rows = [(seed, epoch) for seed in seeds for epoch in range(1, variant.epochs + 1)]
    if list(zip(outputs.history["seed"], outputs.history["epoch"], strict=True)) != rows:
        allowed = f"{variant.epochs} epochs of each of the seeds {seeds}"
        raise misfit(variant.folder / "history.csv", f"{len(outputs.history)} rows", allowed)


def read_probabilities(variant: Variant, images: int, least: int) -> np.ndarray:
    """Return float32 [replicates, images, classes]. least: of how many classes.

    Raises UserError if the file is missing or of another shape."""
    path, shape = variant.folder / "probabilities.npy", (len(variant.seeds), images)
    probabilities = read_array(path)
    fits = probabilities.dtype == np.float32 and probabilities.ndim == 3 and probabilities.shape[:2] == shape
    if not fits or probabilities.shape[2] < least:
        allowed = f"float32 [{shape[0]}, {shape[1]}, at least {least}]"
        raise misfit(path, f"{probabilities.dtype} {list(probabilities.shape)}", allowed)
    return probabilities


def save_model(model: "keras.Model", path: Path) -> None:
    """Write a .keras file without its date and memory addresses: the same model gives the same bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        dated = Path(scratch, path.name)
        model.save(dated)
        with zipfile.ZipFile(dated) as source, zipfile.ZipFile(path, "w") as target:
            for name in sorted(source.namelist()):
                content = source.read(name)
                if name.endswith(".json"):
                    content = json.dumps(_undated(json.loads(content), {})).encode()
                target.writestr(zipfile.ZipInfo(name), content)


def _check_saved(path: Path, images: np.ndarray, probabilities: np.ndarray) -> None:
    """Raise UserError if a saved model doesn't give these probabilities, float32 [n, classes], of these images."""
    from mnist_mlp.training.backend import keras

    again = keras.ops.convert_to_numpy(keras.saving.load_model(path)(images, training=False))
    if again.shape != probabilities.shape or not np.allclose(again, probabilities, rtol=0, atol=TOLERANCE):
        raise UserError(
            f"{path.name}: loaded again, the model doesn't repeat the predictions of the trained one; nothing is kept: "
            "please report this with `pip freeze`"
        )


def _undated(node: Any, seen: dict[int, int]) -> Any:
    if isinstance(node, list):
        return [_undated(part, seen) for part in node]
    if not isinstance(node, dict):
        return node
    return {
        key: seen.setdefault(value, len(seen)) if key == "shared_object_id" else _undated(value, seen)
        for key, value in node.items()
        if key != "date_saved"
    }
