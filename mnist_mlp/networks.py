"""A variant's layers -> a Keras model.

Built `fast` for training, from layers made for one compiled loop on the CPU, or plain, from Keras's own layers
alone, so that a saved model loads wherever Keras is. Both hold the same weights, whose paths end in the same two names.
"""

import keras
import numpy as np
import tensorflow as tf

from mnist_mlp.config import ActivityPenalty, BatchNorm, Dense, Dropout, Network

IMAGE = (28, 28)
CLASSES = 10


def build(network: Network, seed: int, fast: bool = False, shape: tuple[int, ...] = IMAGE) -> keras.Model:
    """A model from scaled images, float32 [n, *shape], to class probabilities, float32 [n, 10].

    Weights and dropout follow from `seed` alone. The i-th dense layer starts from the same weights in every network in
    which it has the same shape, so that variants are compared from the same start.
    """
    inputs = x = keras.Input(shape, name="images")
    if not any(layer.kind == "flatten" for layer in network.layers):
        x = keras.layers.Flatten(name="flatten")(x)
    counts: dict[str, int] = {}
    kinds = [layer.kind for layer in network.layers if layer.kind != "flatten"]
    first = kinds[: kinds.index("dense")]
    together = fast and first[-1:] == ["batch_norm"] and first.count("batch_norm") == 1
    norm = None  # the batch normalization that the first dense layer is computed together with
    for layer in network.layers:
        counts[layer.kind] = number = counts.get(layer.kind, 0) + 1
        name = f"{layer.kind}_{number}"
        if isinstance(layer, Dense):
            dense = _dense(layer, network, seed, number)
            x, norm = (NormalizedDense(norm, dense) if norm else dense)(x), None
            x = keras.activations.glu(x) if network.activation == "glu" else x
        elif isinstance(layer, Dropout):
            own_seed = _seed(seed, 1, number)
            x = (FastDropout if fast else keras.layers.Dropout)(layer.rate, seed=own_seed, name=name)(x)
        elif isinstance(layer, BatchNorm):
            layer = (FastBatchNorm if fast else keras.layers.BatchNormalization)(name=name)
            if together and "dense" not in counts:
                norm = layer
            else:
                x = layer(x)
        elif isinstance(layer, ActivityPenalty):
            penalty = layer.kind.removeprefix("activity_")
            x = keras.layers.ActivityRegularization(**{penalty: layer.weight}, name=name)(x)
        elif not norm:
            x = keras.layers.Flatten(name="flatten")(x)
    kernel = _initializer(network.initializer, seed, counts["dense"] + 1)
    outputs = keras.layers.Dense(CLASSES, "softmax", kernel_initializer=kernel, name="probabilities")(x)
    return keras.Model(inputs, outputs, name="mlp")


def count_parameters(model: keras.Model) -> int:
    """Weights and batch norm's moving statistics, as Keras's `summary` counts them; dropout has none."""
    return sum(int(np.prod(weight.shape)) for weight in model.weights if not weight.path.endswith("/seed_and_step"))


def _dense(layer: Dense, network: Network, seed: int, number: int) -> keras.layers.Dense:
    gated = network.activation == "glu"  # halves its input: the layer is made twice as wide
    return keras.layers.Dense(
        layer.units * (2 if gated else 1),
        None if gated else network.activation,
        kernel_initializer=_initializer(network.initializer, seed, number),
        kernel_regularizer=keras.regularizers.L1L2(layer.l1, layer.l2) if layer.l1 or layer.l2 else None,
        name=f"dense_{number}",
    )


def _initializer(name: str, seed: int, number: int) -> keras.initializers.Initializer:
    return keras.initializers.get({"class_name": name, "config": {"seed": _seed(seed, 0, number)}})


def _seed(*path: int) -> int:
    return int(np.random.SeedSequence(path).generate_state(1)[0])


class FastDropout(keras.layers.Layer):
    """Dropout whose mask is an integer hash of (seed, step, position): within XLA on the CPU nearly free.

    Keras's own layer is 13 times slower there than no dropout. The hash is the 32-bit finalizer "lowbias32" (Chris
    Wellons, hash prospector, 2018), keyed twice: by words that the seed and the step give.
    """

    def __init__(self, rate: float, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed

    def build(self, shape):
        del shape
        self.seed_and_step = self.add_weight(
            shape=(2,), dtype="uint32", trainable=False, name="seed_and_step",
            initializer=lambda shape, dtype: tf.constant([self.seed, 0], tf.uint32),
        )  # fmt: skip

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        seed_and_step = tf.convert_to_tensor(self.seed_and_step.value)
        self.seed_and_step.assign(seed_and_step + tf.constant([0, 1], tf.uint32))
        first = _mix(_mix(seed_and_step[0]) + seed_and_step[1])
        second = _mix(first + _word(0x9E3779B9))
        position = tf.cast(tf.reshape(tf.range(tf.size(x)), tf.shape(x)), tf.uint32)
        keep = _mix(position + first, second) >= _word(round(self.rate * 2**32))
        return tf.where(keep, x * (1 / (1 - self.rate)), 0.0)

    def compute_output_shape(self, shape):
        return shape


def _mix(word: tf.Tensor, key: tf.Tensor | int = 0) -> tf.Tensor:
    word = (word ^ tf.bitwise.right_shift(word, _word(16))) * _word(0x7FEB352D)
    word = (word ^ tf.bitwise.right_shift(word, _word(15))) + tf.cast(key, tf.uint32)
    word = word * _word(0x846CA68B)
    return word ^ tf.bitwise.right_shift(word, _word(16))


def _word(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)


class FastBatchNorm(keras.layers.BatchNormalization):
    """Keras's batch normalization over the last axis, its sums ordered as XLA makes quick: batch first, then rest."""

    def call(self, x, training=None, mask=None):
        if not training:
            return super().call(x, training=False, mask=mask)
        return _affine(x, *self.of_batch(x))

    def of_batch(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What x [n, ..., features] is multiplied by and what is added, [features] each; the moving statistics move."""
        features = x.shape[-1]
        rest = int(np.prod(x.shape[1:-1]))
        rows = tf.reshape(x, [-1, rest * features])
        count = tf.cast(tf.shape(rows)[0] * rest, tf.float32)

        def mean_of(values):
            return tf.reduce_sum(tf.reshape(tf.reduce_sum(values, 0), [rest, features]), 0) / count

        mean = mean_of(rows)
        variance = mean_of(tf.square(rows - tf.tile(mean, [rest])))
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        scale = tf.convert_to_tensor(self.gamma) * tf.math.rsqrt(variance + self.epsilon)
        return scale, tf.convert_to_tensor(self.beta) - mean * scale


class NormalizedDense(keras.layers.Layer):
    """Batch normalization of what no weight has a part in, images say, and the dense layer after it.

    Between the two, the gradient would take a third matrix product, by the batch, for gamma and beta alone. They have
    theirs from the kernel's: with y = scale x + shift and z = y K, dscale = sum_k K (x' dz), dshift = sum_k K dz."""

    def __init__(self, norm: FastBatchNorm, dense: keras.layers.Dense, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.dense = norm, dense

    def build(self, shape):
        self.norm.build(shape)
        self.dense.build((shape[0], int(np.prod(shape[1:]))))

    def call(self, x, training=False):
        inputs = self.dense.kernel.shape[0]
        if not training:
            return self.dense(tf.reshape(self.norm(x, training=False), [-1, inputs]))
        kernel, features = tf.convert_to_tensor(self.dense.kernel), x.shape[-1]
        rows, rest = tf.reshape(x, [-1, inputs]), inputs // features

        @tf.custom_gradient
        def product(scale, shift, kernel):
            def gradients(dz):
                total, moved = tf.reduce_sum(dz, 0), tf.matmul(rows, dz, transpose_a=True)
                ones = tf.ones_like(total)
                dscale, dshift = tf.linalg.matvec(kernel * moved, ones), tf.linalg.matvec(kernel, total)
                by_row = [tf.tile(part, [rest])[:, None] for part in (scale, shift)]
                sums = [tf.reduce_sum(tf.reshape(part, [rest, features]), 0) for part in (dscale, dshift)]
                return *sums, by_row[0] * moved + by_row[1] * total

            return tf.matmul(_affine(rows, scale, shift), kernel), gradients

        return self.dense.activation(product(*self.norm.of_batch(x), kernel) + self.dense.bias)

    def compute_output_shape(self, shape):
        return shape[0], self.dense.units


def _affine(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """x [..., features] times scale plus shift; or x [n, rest * features]."""
    return tf.reshape(tf.reshape(x, [-1, scale.shape[0]]) * scale + shift, tf.shape(x))
