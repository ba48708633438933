"""Layers made for one compiled loop on the CPU. Each does what Keras's own does, or two of them do, to rounding."""

import numpy as np

from mnist_mlp.training.backend import keras, tf
from mnist_mlp.training.pixels import Pixels

BLOCK = 64  # columns


class FastDense(keras.layers.Dense):
    """Keras's dense layer. Where its input is wide, its kernel's gradient is computed by blocks of the input's columns:
    a product reads down these, and in rows of 512 numbers they all fall on the same few lines of a CPU's cache."""

    def call(self, x, training=None):
        del training
        return self.activation(_product(x, tf.convert_to_tensor(self.kernel)) + self.bias)


@tf.custom_gradient
def _product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """x [n, inputs] times kernel [inputs, units]."""

    def gradients(dz):
        inputs = x.shape[1]
        blocks = tf.split(x, inputs // BLOCK, axis=1) if inputs % BLOCK == 0 and inputs > 2 * BLOCK else [x]
        moved = tf.concat([tf.matmul(block, dz, transpose_a=True) for block in blocks], 0)
        return tf.matmul(dz, kernel, transpose_b=True), moved

    return tf.matmul(x, kernel), gradients


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


class SelectiveDense(keras.layers.Layer):
    """A dense layer over pixels in the order of `pixels`, which multiplies what is dark in most images of a batch only
    where it isn't: the images with a rare pixel lit, by the rare pixels that any of them lights.

    Its kernel is in two parts, the common pixels' and the rare ones'. A batch with more of either than is foreseen is
    multiplied whole."""

    def __init__(self, dense: keras.layers.Dense, pixels: Pixels, **kwargs):
        super().__init__(**kwargs)
        self.units, self.activation, self.pixels = dense.units, dense.activation, pixels

    def build(self, shape):
        common = self.pixels.common
        self.common = self.add_weight((common, self.units), name="common")
        self.rare = self.add_weight((shape[-1] - common, self.units), name="rare")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")

    def call(self, x, training=False):
        kernels = tf.convert_to_tensor(self.common), tf.convert_to_tensor(self.rare)
        common, rare = x[:, : self.pixels.common], x[:, self.pixels.common :]
        picks = training and x.shape[0] == self.pixels.batch  # to compile it for the last batch too costs a second
        few = self._of_rare(rare, kernels[1]) if picks else tf.matmul(rare, kernels[1])
        return self.activation(tf.matmul(common, kernels[0]) + few + self.bias)

    def _of_rare(self, rare: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        lit = tf.cast(rare != 0, tf.float32)
        by_image, by_pixel = tf.reduce_max(lit, 1), tf.reduce_max(lit, 0)
        most_images, most_pixels = self.pixels.images, self.pixels.rare
        fits = (tf.reduce_sum(by_image) <= most_images) & (tf.reduce_sum(by_pixel) <= most_pixels)
        images, pixels = tf.math.top_k(by_image, most_images)[1], tf.math.top_k(by_pixel, most_pixels)[1]
        picked = tf.gather(tf.gather(rare, images), pixels, axis=1)

        def put(rows, where, count):
            return tf.scatter_nd(where[:, None], rows, [count, self.units])

        @tf.custom_gradient
        def sums(kernel):
            def gradient(dz):
                return tf.cond(
                    fits,
                    lambda: put(tf.matmul(picked, tf.gather(dz, images), transpose_a=True), pixels, rare.shape[1]),
                    lambda: tf.matmul(rare, dz, transpose_a=True),
                )

            of_all = tf.cond(
                fits,
                lambda: put(tf.matmul(picked, tf.gather(kernel, pixels)), images, rare.shape[0]),
                lambda: tf.matmul(rare, kernel),
            )
            return of_all, gradient

        return sums(kernel)

    def compute_output_shape(self, shape):
        return shape[0], self.units


def _affine(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """x [..., features] times scale plus shift; or x [n, rest * features]."""
    return tf.reshape(tf.reshape(x, [-1, scale.shape[0]]) * scale + shift, tf.shape(x))
