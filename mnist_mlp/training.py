"""The compiled epoch: a variant's replicates trained side by side, each on one core.

An epoch is one XLA call: a loop over batches gathered from images that stay in memory, the last partial batch, the
running training metrics and the validation. It is a pure function of its state, so the replicates share one compiled
program, the same seed gives the same bytes whatever else runs beside it, and an interrupted training goes on from its
last checkpoint as if nothing had been.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_mlp import UserError, saving
from mnist_mlp.config import ActivityPenalty, Dense, Dropout, Flatten, Variant
from mnist_mlp.metrics import accuracy, cross_entropy

PREPARED = Path("data/prepared")
CHUNK = 1000  # images scored at once
# Optimizers that move each weight by its own gradients alone, and leave one that has none where it is.
ELEMENTWISE = ("adadelta", "adagrad", "adam", "adamax", "nadam", "rmsprop", "sgd")
CHECKPOINT = 5.0  # seconds of training that an interruption may cost a replicate, and the epoch under way


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """TensorFlow's C++ greets on the standard error before any setting reaches it."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


# A matrix product split over threads adds in another order, and XLA splits other operations by the number of cores that
# it sees when it compiles: a replicate stays on one, so that cores change neither the program nor its results.
os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false --xla_disable_hlo_passes=cpu-parallel-task-assigner "
    "--xla_cpu_prefer_vector_width=512"  # where a CPU has it, an epoch of none/relu takes an eighth less
)
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
with _silence():
    import keras
    import tensorflow as tf

    from mnist_mlp import networks

    CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # One worker would serialize the replicates.
    tf.config.threading.set_intra_op_parallelism_threads(max(2, CORES))
    tf.config.list_logical_devices()


@dataclass(frozen=True)
class Data:
    """What a variant trains on and is measured by. images: float32 [n, 28, 28], scaled; labels: uint8 [n]."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    all_train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Replicate:
    """One seed's training. curve: [epochs, 4], loss, accuracy, val_loss, val_accuracy; probabilities: [n_test, 10]."""

    seed: int
    model: keras.Model
    curve: np.ndarray
    metrics: dict[str, float]
    probabilities: np.ndarray


Progress = Callable[[int, int, np.ndarray], None]


def load(variant: Variant, folder: Path = PREPARED) -> Data:
    """Map the prepared arrays into memory, unread and uncopied, and split them by the variant's protocol.

    Raises UserError where they are missing, or fewer than a batch."""
    try:
        (train, train_labels), test = (
            tuple(np.load(folder / part / f"{split}.npy", mmap_mode="r") for part in (variant.scaling, "labels"))
            for split in ("train", "test")
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no prepared images ({error}); run `dvc repro preprocess`") from None
    kept = len(train) - len(train) // 10 if variant.validation == "held_out" else len(train)
    if variant.batch_size > kept:
        raise UserError(
            f"params.yaml: batch_size of {variant.study}/{variant.name}: found {variant.batch_size}; "
            f"allowed: at most {kept}, the number of training images"
        )
    held_out = (train[kept:], train_labels[kept:]) if variant.validation == "held_out" else test
    return Data((train[:kept], train_labels[:kept]), held_out, (train, train_labels), test)


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
    program = _Program(variant, data)
    stop = threading.Event()
    with ThreadPoolExecutor(min(len(variant.seeds), max(2, CORES))) as pool:
        futures = [pool.submit(_replicate, program, seed, progress, stop, checkpoints) for seed in variant.seeds]
        try:
            return [future.result() for future in futures]
        finally:
            stop.set()


class _Program:
    """A variant's compiled functions over its data. A state is (trainable, non-trainable, optimizer) tensors."""

    def __init__(self, variant: Variant, data: Data):
        self.variant, self.data = variant, data
        self.lit = _lit(variant, data)
        self.train_set, self.validation = self._tensors(data.train), self._tensors(data.validation)
        shape = networks.IMAGE if self.lit is None else self.lit.shape
        self.model = networks.build(variant, variant.seeds[0], fast=True, shape=shape)
        self.optimizer = _optimizer(variant)
        self.optimizer.build(self.model.trainable_variables)
        self.epoch = tf.function(self._epoch, jit_compile=True, autograph=False)
        self.predict = tf.function(self._predict, jit_compile=True, autograph=False)
        arguments = (self.initial(self.model), *self.train_set, *self.validation, self.order(0, 1))
        self.epoch.get_concrete_function(*arguments)

    def initial(self, model: keras.Model) -> tuple:
        parts = (model.trainable_variables, model.non_trainable_variables, self.optimizer.variables)
        state = tuple([tf.identity(variable.value) for variable in part] for part in parts)
        if self.lit is not None and model is not self.model:
            state[0][0] = tf.gather(state[0][0], self.lit)
        return state

    def weights(self, model: keras.Model, state: tuple) -> dict[str, np.ndarray]:
        """A trained state's weights by layer and name; model: the one that it began with."""
        variables = (*model.trainable_variables, *model.non_trainable_variables)
        values = {_key(weight): value.numpy() for weight, value in zip(variables, (*state[0], *state[1]), strict=True)}
        if self.lit is not None:
            kernel = variables[0].numpy()
            kernel[self.lit] = values[_key(variables[0])]
            values[_key(variables[0])] = kernel
        return values

    def order(self, seed: int, epoch: int) -> tf.Tensor:
        count = len(self.data.train[0])
        return tf.constant(np.random.default_rng((seed, epoch)).permutation(count).astype(np.int32))

    def _epoch(self, state, images, labels, val_images, val_labels, order):
        def step(start, size, state, sums):
            rows = tf.reshape(tf.slice(order, [start], [size]), [size])
            state, batch_sums = self._step(state, tf.gather(images, rows), tf.gather(labels, rows))
            return state, sums + batch_sums

        count, size = order.shape[0], self.variant.batch_size
        state, sums = _loop(count, size, step, state, tf.zeros(3))

        def score(start, size, state, sums):
            chunk = [tf.slice(part, [start, *[0] * (part.shape.rank - 1)], [size, *part.shape[1:]])
                     for part in (val_images, val_labels)]  # fmt: skip
            probabilities, _ = self.model.stateless_call(*state[:2], chunk[0], training=False)
            return state, sums + size * _loss_and_accuracy(chunk[1], probabilities)

        _, val_sums = _loop(val_images.shape[0], CHUNK, score, state, tf.zeros(2))
        return state, tf.concat([sums / count, val_sums / val_images.shape[0]], 0)

    def _step(self, state, images, labels):
        trainable, other, slots = state
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            probabilities, other, penalties = self.model.stateless_call(
                trainable, other, images, training=True, return_losses=True
            )
            figures = _loss_and_accuracy(labels, probabilities)
            penalty = tf.add_n(penalties) if penalties else tf.constant(0.0)
            total = figures[0] + penalty
        trainable, slots = self.optimizer.stateless_apply(slots, tape.gradient(total, trainable), trainable)
        return (trainable, other, slots), labels.shape[0] * tf.concat([figures, [penalty]], 0)

    def _predict(self, state, images):
        return self.model.stateless_call(*state[:2], images, training=False)[0]

    def probabilities(self, state, images: np.ndarray) -> np.ndarray:
        parts = (self._images(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK))
        return np.concatenate([self.predict(state, part).numpy() for part in parts])

    def _images(self, images: np.ndarray) -> tf.Tensor:
        return tf.convert_to_tensor(images if self.lit is None else images.reshape(len(images), -1)[:, self.lit])

    def _tensors(self, pair: tuple[np.ndarray, np.ndarray]) -> tuple[tf.Tensor, tf.Tensor]:
        return self._images(pair[0]), tf.convert_to_tensor(pair[1])


def _lit(variant: Variant, data: Data) -> np.ndarray | None:
    """The pixels that some image lights, in MNIST 719 of 784: int [n], where the first product may leave out the rest.

    Their weights have no gradient. So they stay as they began, unless something else moves them, and never count."""
    pixelwise = (ActivityPenalty, Dropout, Flatten)
    first = next((layer for layer in variant.layers if not isinstance(layer, pixelwise)), None)
    if not isinstance(first, Dense) or first.l1 or first.l2 or variant.optimizer not in ELEMENTWISE:
        return None
    return np.flatnonzero(data.all_train[0].any(axis=0) | data.test[0].any(axis=0))


def _loop(count: int, size: int, body: Callable, state, sums):
    """body over [0, count) in steps of `size`; a last, smaller one where it doesn't divide."""
    full = count // size

    def advance(i, state, sums):
        return (i + 1, *body(i * size, size, state, sums))

    if full:
        _, state, sums = tf.while_loop(lambda i, *_: i < full, advance, (0, state, sums), maximum_iterations=full)
    return body(full * size, count % size, state, sums) if count % size else (state, sums)


def _loss_and_accuracy(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, probabilities))
    hits = tf.equal(tf.argmax(probabilities, -1, output_type=tf.int32), tf.cast(labels, tf.int32))
    return tf.stack([loss, tf.reduce_mean(tf.cast(hits, tf.float32))])


def _optimizer(variant: Variant) -> keras.optimizers.Optimizer:
    """Keras's optimizer with pure updates, which its base class has and its adapter for TensorFlow refuses."""
    own = type(keras.optimizers.get(variant.optimizer))
    adapter, base = (next(c for c in own.__mro__ if c.__name__ == name) for name in ("TFOptimizer", "BaseOptimizer"))
    methods = {name: getattr(base, name) for name in vars(adapter) if name in vars(base) and not name.startswith("__")}
    pure = type("PureOptimizer", (adapter,), methods)  # stands between Keras's optimizer and the adapter
    settings = {} if variant.learning_rate == "default" else {"learning_rate": variant.learning_rate}
    return type(own.__name__, (own, pure), {})(**settings)


def _replicate(
    program: _Program, seed: int, progress: Progress, stop: threading.Event, checkpoints: Path | None
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
    probabilities = program.probabilities(state, data.test[0])
    columns = ("train_loss", "train_accuracy", "penalty", "val_loss", "val_accuracy")
    figures = dict(zip(columns, curve[-1].tolist(), strict=True))
    if variant.train_metrics == "finished_model":
        finished = program.probabilities(state, data.all_train[0])
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
        weight.assign(weights[_key(weight)])
    return plain


def _key(weight: keras.Variable) -> str:
    return "/".join(weight.path.split("/")[-2:])
