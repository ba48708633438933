"""Layers made for one compiled loop on the CPU. Each does what Keras's own does, or two of them do, to rounding."""

import numpy as np

from mnist_mlp.training.backend import keras, tf
from mnist_mlp.training.pixels import SIDE, Pixels

BLOCK = 64  # columns


class Product:
    """A dense layer by `kernels`, its parts, and `product`, the way in which they are multiplied."""

    def call(self, x, training=False):
        return self.activation(self.product(x, self.kernels, training) + self.bias)


class FastDense(Product, keras.layers.Dense):
    """Keras's dense layer. Where its input is wide, its kernel's gradient is computed by blocks of the input's columns:
    a product reads down these, and in rows of 512 numbers they all fall on the same few lines of a CPU's cache."""

    @property
    def kernels(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(self.kernel)]

    def product(self, x: tf.Tensor, kernels: list[tf.Tensor], training: bool) -> tf.Tensor:
        del training
        return _product(x, *kernels)


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

    def call(self, x, training=False, mask=None):
        del mask
        rows = tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
        scale, shift = self.by_input(rows, _columns(np.arange(rows.shape[1]), x.shape[-1]), training)
        return tf.reshape(rows * scale + shift, tf.shape(x))

    def by_input(self, rows: tf.Tensor, columns: np.ndarray | None, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """What rows [n, inputs] are multiplied by and what is added, [inputs] each. columns: as _columns gives them.

        The moving statistics move where `training`, and are what counts elsewhere."""
        if not training:
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        else:
            count = tf.cast(tf.shape(rows)[0] * (rows.shape[1] // self.gamma.shape[0]), tf.float32)
            mean = _sums(tf.reduce_sum(rows, 0), columns) / count
            variance = _sums(tf.reduce_sum(tf.square(rows - _spread(mean, columns)), 0), columns) / count
            for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        scale = tf.convert_to_tensor(self.gamma) * tf.math.rsqrt(variance + self.epsilon)
        return _spread(scale, columns), _spread(tf.convert_to_tensor(self.beta) - mean * scale, columns)


def _columns(inputs: np.ndarray, features: int) -> np.ndarray | None:
    """[n, features], 1 where the input of that number is of that feature; None where each is one of its own."""
    return None if len(inputs) == features else np.eye(features, dtype=np.float32)[inputs % features]


def _sums(by_input: tf.Tensor, columns: np.ndarray | None) -> tf.Tensor:
    return by_input if columns is None else tf.linalg.matvec(columns, by_input, transpose_a=True)


def _spread(by_feature: tf.Tensor, columns: np.ndarray | None) -> tf.Tensor:
    if columns is None:
        return by_feature

    @tf.custom_gradient
    def spread(by_feature):
        return tf.gather(by_feature, columns.argmax(axis=1)), lambda moved: _sums(moved, columns)

    return spread(by_feature)


@tf.custom_gradient
def _scaled(kernel: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """kernel [inputs, units], each input's row times its scale [inputs].

    A product with ones sums over units: what XLA makes of a sum over the last axis takes one number at a time."""

    def gradients(moved):
        return moved * scale[:, None], tf.linalg.matvec(moved * kernel, tf.ones(kernel.shape[1]))

    return kernel * scale[:, None], gradients


class NormalizedDense(keras.layers.Layer):
    """Batch normalization of what no weight has a part in, images say, and the dense layer after it.

    (scale x + shift) K = x (scale K) + shift K: where the kernel is scaled, x stays as dark as it is, and the gradient
    takes no third product by the batch, for gamma and beta alone."""

    def __init__(self, norm: FastBatchNorm, dense: keras.layers.Layer, pixels: Pixels | None, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.dense, self.pixels = norm, dense, pixels

    def build(self, shape):
        inputs = int(np.prod(shape[1:]))
        order, features = (np.arange(inputs), shape[-1]) if self.pixels is None else (self.pixels.order, SIDE)
        self.norm.build((shape[0], features))
        self.dense.build((shape[0], inputs))
        self.columns = _columns(order, features)

    def call(self, x, training=False):
        rows = tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
        scale, shift = self.norm.by_input(rows, self.columns, training)
        kernels = self.dense.kernels
        sizes = [kernel.shape[0] for kernel in kernels]
        scales, shifts = tf.split(scale, sizes), tf.split(shift, sizes)
        scaled = [_scaled(kernel, part) for kernel, part in zip(kernels, scales, strict=True)]
        added = [tf.linalg.matvec(kernel, part, transpose_a=True) for part, kernel in zip(shifts, kernels, strict=True)]
        return self.dense.activation(self.dense.product(rows, scaled, training) + tf.add_n(added) + self.dense.bias)

    def compute_output_shape(self, shape):
        return shape[0], self.dense.units


class SelectiveDense(Product, keras.layers.Layer):
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

    @property
    def kernels(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(self.common), tf.convert_to_tensor(self.rare)]

    def product(self, x: tf.Tensor, kernels: list[tf.Tensor], training: bool) -> tf.Tensor:
        common, rare = x[:, : self.pixels.common], x[:, self.pixels.common :]
        picks = training and x.shape[0] == self.pixels.batch  # to compile it for the last batch too costs a second
        few = self._of_rare(rare, kernels[1]) if picks else tf.matmul(rare, kernels[1])
        return tf.matmul(common, kernels[0]) + few

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
