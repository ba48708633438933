"""Layers made for one compiled loop on the CPU. Each gives what one or two of Keras's own give, to rounding."""

import numpy as np

from mnist_mlp.training.backend import keras, tf
from mnist_mlp.training.compiled.batches import Images, Rows
from mnist_mlp.training.compiled.pixels import Pixels

BLOCK = 64  # columns


class FastDense(keras.layers.Dense):
    """Keras's dense layer, with the kernel's gradient of a wide input computed by blocks of the input's columns.

    A product reads down the columns. In rows of 512 numbers all of a column falls on a few lines of a CPU's cache."""

    @property
    def kernels(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(self.kernel)]

    def call(self, x, training=False):
        del training
        return self.activation(self.product(Rows(x), self.kernels) + self.bias)

    def product(self, batch: Rows, kernels: list[tf.Tensor]) -> tf.Tensor:
        """Return the batch times the kernel: [n, units]."""
        return _product(batch.rows, *kernels)


@tf.custom_gradient
def _product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return x [n, inputs] times kernel [inputs, units]."""

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

    def call(self, x, real, training=False):
        batch = Rows.of(x)
        scale, shift = self.by_input(batch, _columns(np.arange(batch.rows.shape[1]), x.shape[-1]), training, real)
        return tf.reshape(batch.rows * scale + shift, tf.shape(x))

    def by_input(
        self, batch: Rows | Images, columns: np.ndarray | None, training: bool, real: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what each input is multiplied by and what is added, [inputs] both. columns: as _columns returns them.

        Training takes the batch's statistics and moves the moving ones; otherwise the moving ones count. real: 1 for
        each image that counts in the batch's statistics, else 0, [n]."""
        if not training:
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        else:
            inputs = 1 if columns is None else len(columns) // self.gamma.shape[0]  # of a feature
            count = tf.reduce_sum(real) * inputs
            mean = _sums(batch.total(real), columns) / count
            variance = _sums(batch.squares(_spread(mean, columns), real), columns) / count
            for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving * self.momentum + now * (1.0 - self.momentum))
        scale = tf.convert_to_tensor(self.gamma) * tf.math.rsqrt(variance + self.epsilon)
        return _spread(scale, columns), _spread(tf.convert_to_tensor(self.beta) - mean * scale, columns)


class FastActivityRegularization(keras.layers.Layer):
    """Keras's penalty on what passes through, per image that counts."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.penalty = keras.regularizers.L1L2(l1, l2)

    def call(self, x, real):
        counted = x * tf.reshape(real, [-1] + [1] * (len(x.shape) - 1))
        self.add_loss(self.penalty(counted) / tf.reduce_sum(real))
        return x


def _columns(inputs: np.ndarray, features: int) -> np.ndarray | None:
    """Return each input's feature, int [n], or None if each input is a feature, in order. inputs: their numbers."""
    return None if np.array_equal(inputs, np.arange(features)) else inputs % features


def _sums(by_input: tf.Tensor, columns: np.ndarray | None) -> tf.Tensor:
    """Return sums by feature, [features]. XLA takes longer to scatter single numbers than for this product."""
    if columns is None:
        return by_input
    one_hot = np.eye(columns.max() + 1, dtype=np.float32)[columns]
    return tf.linalg.matvec(one_hot, by_input, transpose_a=True)


def _spread(by_feature: tf.Tensor, columns: np.ndarray | None) -> tf.Tensor:
    """Return each input's feature's value, [n]: the reverse of _sums, and its gradient."""
    if columns is None:
        return by_feature

    @tf.custom_gradient
    def spread(by_feature):
        return tf.gather(by_feature, columns), lambda moved: _sums(moved, columns)

    return spread(by_feature)


@tf.custom_gradient
def _scaled(kernel: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Return kernel [inputs, units] with each input's row times its scale [inputs].

    The gradient sums over units by a product with ones: XLA's sum over the last axis takes one number at a time."""

    def gradients(moved):
        return moved * scale[:, None], tf.linalg.matvec(moved * kernel, tf.ones(kernel.shape[1]))

    return kernel * scale[:, None], gradients


class NormalizedDense(keras.layers.Layer):
    """Batch normalization of the input, fused with the dense layer that follows.

    (scale x + shift) K = x (scale K) + shift K. The kernel is scaled, so x stays as dark as it is, and the gradient
    takes no third product over the batch for gamma and beta."""

    def __init__(self, norm: FastBatchNorm, dense: keras.layers.Layer, pixels: Pixels | None, **kwargs):
        super().__init__(**kwargs)
        self.norm, self.dense, self.pixels = norm, dense, pixels

    def build(self, shapes):
        shape = shapes[0]
        inputs = int(np.prod(shape[1:]))
        order, features = (
            (np.arange(inputs), shape[-1]) if self.pixels is None else (self.pixels.order, self.pixels.columns)
        )
        self.norm.build((shape[0], features))
        self.dense.build((shape[0], inputs))
        self.columns = _columns(order, features)

    def call(self, inputs, real, training=False):
        batch = Images(self.pixels, *inputs) if len(inputs) > 1 else Rows.of(*inputs)
        scale, shift = self.norm.by_input(batch, self.columns, training, real)
        kernels = self.dense.kernels
        sizes = [kernel.shape[0] for kernel in kernels]
        scales, shifts = tf.split(scale, sizes), tf.split(shift, sizes)
        scaled = [_scaled(kernel, part) for kernel, part in zip(kernels, scales, strict=True)]
        added = [tf.linalg.matvec(kernel, part, transpose_a=True) for part, kernel in zip(shifts, kernels, strict=True)]
        return self.dense.activation(self.dense.product(batch, scaled) + tf.add_n(added) + self.dense.bias)

    def compute_output_shape(self, shapes):
        return shapes[0][0], self.dense.units


class SelectiveDense(keras.layers.Layer):
    """A dense layer over packed images: a product with the common pixels, plus the lit rare pixels one by one.

    Its inputs are what Pixels.packed returns. Its kernel is in two parts, of the common and of the rare pixels."""

    def __init__(self, dense: keras.layers.Dense, pixels: Pixels, **kwargs):
        super().__init__(**kwargs)
        self.units, self.activation, self.pixels = dense.units, dense.activation, pixels

    def build(self, shapes):
        del shapes
        self.common = self.add_weight((self.pixels.common, self.units), name="common")
        self.rare = self.add_weight((self.pixels.rare, self.units), name="rare")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")

    @property
    def kernels(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(self.common), tf.convert_to_tensor(self.rare)]

    def call(self, inputs, training=False):
        del training
        return self.activation(self.product(Images(self.pixels, *inputs), self.kernels) + self.bias)

    def product(self, images: Images, kernels: list[tf.Tensor]) -> tf.Tensor:
        """Return the images times the kernel, whose parts are of the common and of the rare pixels: [n, units]."""

        @tf.custom_gradient
        def added(to, kernel):
            def by_image(sums, image, pixel, value):
                return tf.tensor_scatter_nd_add(sums, image[:, None], value[:, None] * tf.gather(kernel, pixel))

            def gradients(dz):
                def by_pixel(sums, image, pixel, value):
                    return tf.tensor_scatter_nd_add(sums, pixel[:, None], value[:, None] * tf.gather(dz, image))

                return dz, images.over_lit(by_pixel, tf.zeros_like(kernel))

            return images.over_lit(by_image, to), gradients

        return added(tf.matmul(images.common.rows, kernels[0]), kernels[1])

    def compute_output_shape(self, shapes):
        return shapes[0][0], self.units
