"""A variant's replicates trained side by side, as many at once as there are cores.

The same seed gives the same bytes whatever else runs beside it, and an interrupted training goes on from its last
checkpoint as if nothing had been.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mnist_mlp import UserError
from mnist_mlp.config import Variant
from mnist_mlp.training import networks, saving
from mnist_mlp.training.backend import THREADS, keras, tf
from mnist_mlp.training.data import Data
from mnist_mlp.training.metrics import accuracy, cross_entropy
from mnist_mlp.training.program import Program, key
from mnist_mlp.training.saving import Replicate

CHECKPOINT = 5.0  # seconds of training that an interruption may cost a replicate, and the epoch under way


Progress = Callable[[int, int, np.ndarray], None]


def train(
    variant: Variant,
    data: Data,
    progress: Progress = lambda seed, epoch, row: None,
    checkpoints: Path | None = None,
) -> list[Replicate]:
    """Train every replicate of a variant, as many at once as there are cores.

    progress is called from the replicates' threads with seed, epoch (from 1) and that epoch's row of the curve.
    checkpoints: a folder for this very training, the same data, parameters and software; it goes on from those there.
    Raises UserError where a loss ceases to be finite."""
    program = Program(variant, data)
    threading.Thread(target=program.compile_predict, daemon=True).start()  # while a replicate compiles the epoch
    stop = threading.Event()
    with ThreadPoolExecutor(min(len(variant.seeds), THREADS)) as pool:
        futures = [pool.submit(_replicate, program, seed, progress, stop, checkpoints) for seed in variant.seeds]
        try:
            return [future.result() for future in futures]
        finally:
            stop.set()


def _replicate(
    program: Program, seed: int, progress: Progress, stop: threading.Event, checkpoints: Path | None
) -> Replicate:
    variant, data = program.variant, program.data
    model = networks.build(variant, seed, fast=True)
    state, curve = program.initial(model), np.empty((variant.epochs, 5))
    checkpoint = checkpoints / f"seed-{seed}.npz" if checkpoints else None
    done, saved = 0, time.monotonic()
    if checkpoint and (found := saving.read_checkpoint(checkpoint)):
        rows, *tensors = found
        done, values = len(rows), iter(tensors)
        curve[:done], state = rows, tuple([tf.constant(next(values)) for _ in part] for part in state)
    for epoch in range(done + 1, variant.epochs + 1):
        if stop.is_set():
            raise InterruptedError
        state, figures = program.epoch(state, *program.train_set, *program.validation, program.order(seed, epoch))
        curve[epoch - 1] = figures.numpy()
        if not np.isfinite(curve[epoch - 1]).all():
            raise UserError(
                f"{variant.study}/{variant.name}: the loss is no longer finite in epoch {epoch} of seed {seed}; "
                "try a smaller learning_rate, or another activation"
            )
        progress(seed, epoch, curve[epoch - 1, [0, 1, 3, 4]])
        if checkpoint and epoch < variant.epochs and time.monotonic() - saved > CHECKPOINT:
            saving.write_checkpoint(checkpoint, [curve[:epoch], *(tensor.numpy() for part in state for tensor in part)])
            saved = time.monotonic()
    probabilities = program.probabilities(state, program.test)
    columns = ("train_loss", "train_accuracy", "penalty", "val_loss", "val_accuracy")
    figures = dict(zip(columns, curve[-1].tolist(), strict=True))
    if variant.train_metrics == "finished_model":
        finished = program.probabilities(state, program.all_train)
        figures |= _scored("train", finished, data.all_train[1])
    figures |= _scored("test", probabilities, data.test[1])
    names = [f"{split}_{what}" for split in ("train", "val", "test") for what in ("loss", "accuracy")]
    metrics = {name: figures[name] for name in [*names, "penalty"]}
    plain = _plain(variant, seed, program.weights(model, state))
    return Replicate(seed, plain, curve[:, [0, 1, 3, 4]], metrics, probabilities)


def _scored(split: str, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {f"{split}_loss": cross_entropy(probabilities, labels), f"{split}_accuracy": accuracy(probabilities, labels)}


def _plain(variant: Variant, seed: int, weights: dict[str, np.ndarray]) -> keras.Model:
    plain = networks.build(variant, seed)
    for weight in plain.weights:
        weight.assign(weights[key(weight)])
    return plain
