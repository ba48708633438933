"""A variant's layers -> a Keras model.

Built `fast` for training, from two layers made for one compiled loop on the CPU, or plain, from Keras's own layers
alone, so that a saved model loads wherever Keras is. Both hold the same weights under the same names.
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
    for layer in network.layers:
        counts[layer.kind] = number = counts.get(layer.kind, 0) + 1
        name = f"{layer.kind}_{number}"
        if isinstance(layer, Dense):
            x = _dense(x, layer, network, seed, number)
        elif isinstance(layer, Dropout):
            own_seed = _seed(seed, 1, number)
            x = (FastDropout if fast else keras.layers.Dropout)(layer.rate, seed=own_seed, name=name)(x)
        elif isinstance(layer, BatchNorm):
            x = (FastBatchNorm if fast else keras.layers.BatchNormalization)(name=name)(x)
        elif isinstance(layer, ActivityPenalty):
            norm = layer.kind.removeprefix("activity_")
            x = keras.layers.ActivityRegularization(**{norm: layer.weight}, name=name)(x)
        else:
            x = keras.layers.Flatten(name="flatten")(x)
    kernel = _initializer(network.initializer, seed, counts["dense"] + 1)
    outputs = keras.layers.Dense(CLASSES, "softmax", kernel_initializer=kernel, name="probabilities")(x)
    return keras.Model(inputs, outputs, name="mlp")


def count_parameters(model: keras.Model) -> int:
    """Weights and batch norm's moving statistics, as Keras's `summary` counts them; dropout has none."""
    return sum(int(np.prod(weight.shape)) for weight in model.weights if not weight.path.endswith("/seed_and_step"))


def _dense(x: keras.KerasTensor, layer: Dense, network: Network, seed: int, number: int) -> keras.KerasTensor:
    gated = network.activation == "glu"  # halves its input: the layer is made twice as wide
    dense = keras.layers.Dense(
        layer.units * (2 if gated else 1),
        None if gated else network.activation,
        kernel_initializer=_initializer(network.initializer, seed, number),
        kernel_regularizer=keras.regularizers.L1L2(layer.l1, layer.l2) if layer.l1 or layer.l2 else None,
        name=f"dense_{number}",
    )
    return keras.activations.glu(dense(x)) if gated else dense(x)


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
        shift = tf.convert_to_tensor(self.beta) - mean * scale
        return tf.reshape(tf.reshape(x, [-1, features]) * scale + shift, tf.shape(x))
