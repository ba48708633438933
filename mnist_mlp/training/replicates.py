"""One replicate, from its seed to its results."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mnist_mlp.config import Variant
from mnist_mlp.errors import UserError
from mnist_mlp.training import checkpoints
from mnist_mlp.training.engine import Engine
from mnist_mlp.training.metrics import accuracy, cross_entropy
from mnist_mlp.training.outputs import METRICS, Replicate
from mnist_mlp.training.splits import Splits

CHECKPOINT_SECONDS = 5.0  # of training that an interruption may cost a replicate, and the epoch under way
COLUMNS = ("train_loss", "train_accuracy", "penalty", "val_loss", "val_accuracy")  # of an epoch's figures
CURVE = [0, 1, 3, 4]  # those of them that outputs.CURVES names

Progress = Callable[[int, int, np.ndarray], None]


def train(
    engine: Engine,
    variant: Variant,
    splits: Splits,
    seed: int,
    progress: Progress,
    stop: threading.Event,
    checkpoint: Path | None,
    checkpoint_seconds: float,
) -> Replicate:
    """Train one replicate. Raises UserError if the loss ceases to be finite, InterruptedError once `stop` is set.

    progress: called after each epoch with seed, epoch (from 1) and its row of the curve. checkpoint: the file from
    which the training goes on, and in which it keeps its state every `checkpoint_seconds`."""
    replicate, figures = engine.replicate(seed), np.empty((variant.epochs, len(COLUMNS)))
    done, saved = 0, time.monotonic()
    if checkpoint and (arrays := checkpoints.read(checkpoint)):
        done = len(arrays[0])
        figures[:done] = arrays[0]
        replicate.restore(arrays[1:])
    for epoch in range(done + 1, variant.epochs + 1):
        if stop.is_set():
            raise InterruptedError
        figures[epoch - 1] = replicate.run_epoch(epoch)
        if not np.isfinite(figures[epoch - 1]).all():
            raise UserError(
                f"{variant.label}: the loss is no longer finite in epoch {epoch} of seed {seed}; "
                "try a smaller learning_rate, or another activation"
            )
        progress(seed, epoch, figures[epoch - 1, CURVE])
        if checkpoint and epoch < variant.epochs and time.monotonic() - saved > checkpoint_seconds:
            checkpoints.write(checkpoint, [figures[:epoch], *replicate.arrays()])
            saved = time.monotonic()
    probabilities = replicate.predict("test")
    metrics = dict(zip(COLUMNS, figures[-1].tolist(), strict=True)) | _scores("test", probabilities, splits.test[1])
    if variant.train_metrics == "finished_model":
        metrics |= _scores("train", replicate.predict("all_train"), splits.all_train[1])
    ordered = {name: metrics[name] for name in [*METRICS, "penalty"]}
    return Replicate(seed, replicate.model(), figures[:, CURVE], ordered, probabilities)


def _scores(split: str, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {f"{split}_loss": cross_entropy(probabilities, labels), f"{split}_accuracy": accuracy(probabilities, labels)}
