"""The compiled epoch: a pure function of a replicate's state, which all replicates of a variant share.

One XLA call: a loop over batches gathered from images that stay in memory, the last partial batch, the running training
metrics and the validation.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mnist_mlp.config import Variant
from mnist_mlp.training import networks
from mnist_mlp.training.backend import keras, silence, tf
from mnist_mlp.training.compiling import compiled
from mnist_mlp.training.data import Data
from mnist_mlp.training.pixels import Pixels, choose

CHUNK = 1000  # images scored at once
# Optimizers that move each weight by its own gradients alone, and leave one that has none where it is.
ELEMENTWISE = ("adadelta", "adagrad", "adam", "adamax", "nadam", "rmsprop", "sgd")

with silence():
    tf.config.list_logical_devices()  # starts TensorFlow


class Program:
    """A variant's compiled functions over its data. A state is (trainable, non-trainable, optimizer) tensors."""

    def __init__(self, variant: Variant, data: Data):
        self.variant, self.data = variant, data
        self.pixels = pixels_for(variant, data)
        with ThreadPoolExecutor(1) as beside:
            images = beside.submit(self._bring_images)  # while the epoch is traced, which needs their shapes alone
            self.model = networks.build(variant, variant.seeds[0], fast=True, pixels=self.pixels)
            self.optimizer = _optimizer(variant)
            self.optimizer.build(self.model.trainable_variables)
            self.epoch, self.predict = compiled(self._epoch), compiled(self._predict)
            self.epoch.get_concrete_function(self.initial(self.model), *self._shapes(), self.order(0, 1))
            images.result()

    def _bring_images(self) -> None:
        train, validation = self.data.train, self.data.validation
        self.all_train, self.test = self._images(self.data.all_train[0]), self._images(self.data.test[0])
        count = len(train[0])
        validated = self.test if validation is self.data.test else _part(self.all_train, slice(count, None))
        self.train_set = _part(self.all_train, slice(count)), tf.convert_to_tensor(train[1])
        self.validation = validated, tf.convert_to_tensor(validation[1])

    def _shapes(self) -> Iterator[tf.TensorSpec]:
        """Of train_set and validation."""
        for images, labels in (self.data.train, self.data.validation):
            parts = self._images(images[:1])
            yield [tf.TensorSpec((len(images), *part.shape[1:]), part.dtype) for part in parts]
            yield tf.TensorSpec(labels.shape, tf.uint8)

    def compile_predict(self) -> None:
        """Before it is needed; as for the epoch, that is done by a first call."""
        self.probabilities(self.initial(self.model), _part(self.test, slice(CHUNK)))

    def initial(self, model: keras.Model) -> tuple:
        parts = (model.trainable_variables, model.non_trainable_variables, self.optimizer.variables)
        state = tuple([tf.identity(variable.value) for variable in part] for part in parts)
        if self.pixels is not None and model is not self.model:
            first = _first_kernel(model.trainable_variables)
            state[0][first : first + 1] = [tf.gather(state[0][first], part) for part in self.pixels.parts]
        return state

    def weights(self, model: keras.Model, state: tuple) -> dict[str, np.ndarray]:
        """A trained state's weights by layer and name; model: the one that it began with."""
        variables = (*model.trainable_variables, *model.non_trainable_variables)
        values = [tensor.numpy() for tensor in (*state[0], *state[1])]
        if self.pixels is not None:
            first, parts = _first_kernel(variables), len(self.pixels.parts)
            kernel = variables[first].numpy()
            kernel[self.pixels.order] = np.concatenate(values[first : first + parts])
            values[first : first + parts] = [kernel]
        return dict(zip(map(key, variables), values, strict=True))

    def order(self, seed: int, epoch: int) -> tf.Tensor:
        count = len(self.data.train[0])
        return tf.constant(np.random.default_rng((seed, epoch)).permutation(count).astype(np.int32))

    def _epoch(self, state, images, labels, val_images, val_labels, order):
        def step(start, size, state, sums):
            rows = tf.reshape(tf.slice(order, [start], [size]), [size])
            state, batch_sums = self._step(state, [tf.gather(part, rows) for part in images], tf.gather(labels, rows))
            return state, sums + batch_sums

        count, size = order.shape[0], self.variant.batch_size
        state, sums = _loop(count, size, step, state, tf.zeros(3))

        def score(start, size, state, sums):
            *chunk, known = [tf.slice(part, [start, *[0] * (part.shape.rank - 1)], [size, *part.shape[1:]])
                             for part in (*val_images, val_labels)]  # fmt: skip
            probabilities, _ = self.model.stateless_call(*state[:2], chunk, training=False)
            return state, sums + size * _loss_and_accuracy(known, probabilities)

        validated = val_labels.shape[0]
        _, val_sums = _loop(validated, CHUNK, score, state, tf.zeros(2))
        return state, tf.concat([sums / count, val_sums / validated], 0)

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

    def probabilities(self, state, images: list[tf.Tensor]) -> np.ndarray:
        """Of `all_train`, say, or `test`: float32 [n, 10]."""
        parts = (_part(images, slice(start, start + CHUNK)) for start in range(0, len(images[0]), CHUNK))
        return np.concatenate([self.predict(state, part).numpy() for part in parts])

    def _images(self, images: np.ndarray) -> list[tf.Tensor]:
        """What the network takes."""
        parts = [images] if self.pixels is None else self.pixels.packed(images)
        return [tf.convert_to_tensor(part) for part in parts]


def pixels_for(variant: Variant, data: Data) -> Pixels | None:
    """Those that the first product can't do without, where it may leave out the rest; else None.

    The weights of pixels that no image lights have no gradient. So they stay as they began, unless something else moves
    them, and never count. Behind a batch normalization of the images' columns they do: then dark means zero before it.
    """
    kinds = [layer.kind for layer in variant.layers]
    first = kinds.index("dense")
    ahead, dense = kinds[:first], variant.layers[first]
    normalized = networks.normalized(variant) and ahead[-1] == "flatten"
    if ("batch_norm" in ahead and not normalized) or dense.l1 or dense.l2 or variant.optimizer not in ELEMENTWISE:
        return None
    return choose(data.all_train[0], data.test[0], normalized)


def _part(images: list[tf.Tensor], rows: slice) -> list[tf.Tensor]:
    return [part[rows] for part in images]


def _first_kernel(variables: Sequence[keras.Variable]) -> int:
    return next(i for i, variable in enumerate(variables) if key(variable) == "dense_1/kernel")


def key(weight: keras.Variable) -> str:
    """A weight's layer and name, the same in all models of a variant."""
    return "/".join(weight.path.split("/")[-2:])


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
