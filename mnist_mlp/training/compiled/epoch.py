"""The compiled epoch: a pure function of a replicate's state, which all replicates of a variant share.

One XLA call: a loop over batches gathered from images that stay in memory, the running training metrics and the
validation. The last batch is filled up to the size of the others: a program of its own would take a third as long again
to compile.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np

from mnist_mlp.config import Variant
from mnist_mlp.config.layers import BatchNorm, Dense
from mnist_mlp.training import networks
from mnist_mlp.training.backend import keras, silence, tf
from mnist_mlp.training.compiled import networks as fast
from mnist_mlp.training.compiled import optimizer
from mnist_mlp.training.compiled.compiling import compiled
from mnist_mlp.training.compiled.pixels import Pixels, choose
from mnist_mlp.training.splits import Splits

CHUNK = 1000  # images scored at once, filled up with dark ones in a prediction: one shape is traced and compiled once
# Layers behind which a pixel that is dark in all images is zero, in training too.
KEEP_ZEROS = ("dropout", "flatten", "activity_l1", "activity_l2")
State = tuple[list[Any], list[Any], list[Any]]  # trainable, non-trainable and the optimizer's tensors

with silence():
    tf.config.list_logical_devices()  # starts TensorFlow
# What XLA compiles is as it was; rewriting the few calls around it takes a fifth of the compilation's time.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


class CompiledEngine:
    """A variant's compiled functions over its images. Fills engine.Engine."""

    def __init__(self, variant: Variant, splits: Splits):
        self.variant, self.splits = variant, splits
        self.pixels = pixels_for(variant, splits)
        with ThreadPoolExecutor(1) as beside:
            images = beside.submit(self._bring_images)  # while the epoch is traced, which needs their shapes alone
            self.network = fast.build(variant, variant.seeds[0], splits.image, splits.classes, self.pixels)
            self.optimizer = optimizer.build(variant)
            self.optimizer.build(self.network.trainable_variables)
            self.epoch, self.predict = compiled(self._epoch), compiled(self._predict)
            self.epoch.get_concrete_function(self.state_of(self.network), *self._shapes(), self.order(0, 1))
            images.result()
        threading.Thread(target=self._compile_predict, daemon=True).start()  # while a replicate compiles the epoch

    def replicate(self, seed: int) -> "CompiledReplicate":
        """Return a replicate as its seed starts it."""
        return CompiledReplicate(self, seed)

    def state_of(self, network: keras.Model) -> State:
        """Return a network's variables, and the optimizer's as it starts."""
        parts = (network.trainable_variables, network.non_trainable_variables, self.optimizer.variables)
        trainable, other, slots = ([tf.identity(variable.value) for variable in part] for part in parts)
        return trainable, other, slots

    def order(self, seed: int, epoch: int) -> tf.Tensor:
        """Return the order in which an epoch takes the training images: int32 [n]."""
        return order_tensor(seed, epoch, len(self.splits.train[0]))

    def probabilities(self, state: State, images: list[tf.Tensor]) -> np.ndarray:
        """Return class probabilities, float32 [n, classes]. images: `test` or `all_train`, or a part of one."""
        count = len(images[0])
        parts = (_filled(_part(images, slice(start, start + CHUNK)), CHUNK) for start in range(0, count, CHUNK))
        return np.concatenate([self.predict(state, part).numpy() for part in parts])[:count]

    def _bring_images(self) -> None:
        train, validation = self.splits.train, self.splits.validation
        self.all_train, self.test = self._images(self.splits.all_train[0]), self._images(self.splits.test[0])
        count = len(train[0])
        validated = self.test if validation is self.splits.test else _part(self.all_train, slice(count, None))
        self.train_set = _part(self.all_train, slice(count)), tf.convert_to_tensor(train[1])
        self.validation = validated, tf.convert_to_tensor(validation[1])

    def _images(self, images: np.ndarray) -> list[tf.Tensor]:
        """Return images as the network takes them."""
        return image_tensors(images, self.pixels)

    def _shapes(self) -> Iterator[Any]:
        """Yield the shapes of train_set and validation."""
        for images, labels in (self.splits.train, self.splits.validation):
            parts = self._images(images[:1])
            yield [tf.TensorSpec((len(images), *part.shape[1:]), part.dtype) for part in parts]
            yield tf.TensorSpec(labels.shape, tf.uint8)

    def _compile_predict(self) -> None:
        """Compile the prediction before it is needed, by a first call, as for the epoch."""
        self.probabilities(self.state_of(self.network), _part(self.test, slice(CHUNK)))

    def _epoch(self, state, images, labels, val_images, val_labels, order):
        def step(numbers, real, state, sums):
            *batch, known = (tf.gather(part, *numbers) for part in (*images, labels))
            state, batch_sums = self._step(state, batch, known, real)
            return state, sums + batch_sums

        state, sums = loop([order], self.variant.batch_size, step, state, tf.zeros(3))

        def score(chunk, real, state, sums):
            *images, known = chunk
            probabilities, _ = self.network.stateless_call(*state[:2], [*images, real], training=False)
            return state, sums + tf.reduce_sum(real) * _loss_and_accuracy(known, probabilities, real)

        _, val_sums = loop([*val_images, val_labels], CHUNK, score, state, tf.zeros(2))
        return state, tf.concat([sums / order.shape[0], val_sums / val_labels.shape[0]], 0)

    def _step(self, state, images, labels, real):
        trainable, other, slots = state
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            probabilities, other, penalties = self.network.stateless_call(
                trainable, other, [*images, real], training=True, return_losses=True
            )
            figures = _loss_and_accuracy(labels, probabilities, real)
            penalty = tf.add_n(penalties) if penalties else tf.constant(0.0)
            total = figures[0] + penalty
        trainable, slots = self.optimizer.stateless_apply(slots, tape.gradient(total, trainable), trainable)
        return (trainable, other, slots), tf.reduce_sum(real) * tf.concat([figures, [penalty]], 0)

    def _predict(self, state, images):
        return self.network.stateless_call(*state[:2], [*images, tf.ones(CHUNK)], training=False)[0]


class CompiledReplicate:
    """One seed's state on its way through a variant's compiled epochs. Fills engine.EngineReplicate."""

    def __init__(self, engine: CompiledEngine, seed: int):
        self.engine, self.seed = engine, seed
        self.sizes = engine.splits.image, engine.splits.classes
        self.start = fast.build(engine.variant, seed, *self.sizes)  # keeps the weights that it starts with
        self.state: State = engine.state_of(self.start)
        if engine.pixels is not None:
            first = _first_kernel(self.start.trainable_variables)
            kernel = self.state[0][first]
            self.state[0][first : first + 1] = [tf.gather(kernel, part) for part in engine.pixels.parts]

    def run_epoch(self, epoch: int) -> np.ndarray:
        """Train for an epoch; see engine.EngineReplicate."""
        engine = self.engine
        self.state, figures = engine.epoch(
            self.state, *engine.train_set, *engine.validation, engine.order(self.seed, epoch)
        )
        return figures.numpy()

    def predict(self, split: Literal["all_train", "test"]) -> np.ndarray:
        """Return class probabilities, float32 [n, classes]."""
        return self.engine.probabilities(self.state, self.engine.test if split == "test" else self.engine.all_train)

    def arrays(self) -> list[np.ndarray]:
        """Return the state as arrays."""
        return [tensor.numpy() for part in self.state for tensor in part]

    def restore(self, arrays: list[np.ndarray]) -> None:
        """Take arrays as the state."""
        values = iter(arrays)
        trainable, other, slots = ([tf.constant(next(values)) for _ in part] for part in self.state)
        self.state = trainable, other, slots

    def model(self) -> keras.Model:
        """Return a model of Keras's own layers with the state's weights."""
        variables = (*self.start.trainable_variables, *self.start.non_trainable_variables)
        values = [tensor.numpy() for tensor in (*self.state[0], *self.state[1])]
        if (pixels := self.engine.pixels) is not None:
            first, parts = _first_kernel(variables), len(pixels.parts)
            kernel = variables[first].numpy()
            kernel[pixels.order] = np.concatenate(values[first : first + parts])
            values[first : first + parts] = [kernel]
        weights = dict(zip(map(networks.weight_key, variables), values, strict=True))
        plain = networks.build(self.engine.variant, self.seed, *self.sizes)
        for weight in plain.weights:
            weight.assign(weights[networks.weight_key(weight)])
        return plain


def pixels_for(variant: Variant, splits: Splits) -> Pixels | None:
    """Return the pixels that the first product can't do without, or None if it needs them all.

    The weights of pixels that no image lights have no gradient. So they stay as they began, unless something else moves
    them, and never count. Behind a batch normalization of the images' columns they do: then dark means zero before it.
    """
    first = next(i for i, layer in enumerate(variant.layers) if isinstance(layer, Dense))
    ahead, dense = variant.layers[:first], variant.layers[first]
    by_columns = fast.normalized(variant) and ahead[-1].kind == "flatten"
    zeros = all(layer.kind in KEEP_ZEROS or (by_columns and isinstance(layer, BatchNorm)) for layer in ahead)
    assert isinstance(dense, Dense)
    if not zeros or dense.penalties or variant.optimizer not in optimizer.ELEMENTWISE:
        return None
    return choose(splits.all_train[0], splits.test[0], by_columns)


def image_tensors(images: np.ndarray, pixels: Pixels | None) -> list[tf.Tensor]:
    """Return images as a network takes them: as they are, or packed."""
    parts = [images] if pixels is None else pixels.packed(images)
    return [tf.convert_to_tensor(part) for part in parts]


def order_tensor(seed: int, epoch: int, count: int) -> tf.Tensor:
    """Return the order in which an epoch takes `count` images: int32 [count]."""
    return tf.constant(np.random.default_rng((seed, epoch)).permutation(count).astype(np.int32))


def _part(images: list[tf.Tensor], rows: slice) -> list[tf.Tensor]:
    return [part[rows] for part in images]


def _filled(tensors: Sequence[tf.Tensor], size: int) -> Sequence[tf.Tensor]:
    """Return tensors [n, ...] filled up with zeros to a multiple of `size`: as images, with dark ones."""
    missing = -tensors[0].shape[0] % size
    return [tf.pad(each, [[0, missing]] + [[0, 0]] * (each.shape.rank - 1)) for each in tensors] if missing else tensors


def _first_kernel(variables: Sequence[keras.Variable]) -> int:
    return next(i for i, variable in enumerate(variables) if networks.weight_key(variable) == "dense_1/kernel")


def loop(tensors: Sequence[tf.Tensor], size: int, body: Callable[..., Any], state: Any, sums: Any) -> Any:
    """Run body over tensors [n, ...], `size` rows at a time; the last rows are filled up with zeros.

    body: called with the rows, 1.0 for each of them or 0.0 for what fills them up, state and sums."""
    count = tensors[0].shape[0]
    steps, filled = -(-count // size), _filled(tensors, size)

    def advance(i: Any, state: Any, sums: Any) -> Any:
        start, places = i * size, tf.range(size)
        rows = [tf.slice(each, [start, *[0] * (each.shape.rank - 1)], [size, *each.shape[1:]]) for each in filled]
        return (i + 1, *body(rows, tf.cast(start + places < count, tf.float32), state, sums))

    _, state, sums = tf.while_loop(lambda i, *_: i < steps, advance, (0, state, sums), maximum_iterations=steps)
    return state, sums


def _loss_and_accuracy(labels: tf.Tensor, probabilities: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    hits = tf.equal(tf.argmax(probabilities, -1, output_type=tf.int32), tf.cast(labels, tf.int32))
    return tf.reduce_sum(real * tf.stack([losses, tf.cast(hits, tf.float32)]), 1) / tf.reduce_sum(real)
