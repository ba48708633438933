"""A batch as the first layers take it: rows of numbers, or packed images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mnist_mlp.training.backend import tf
from mnist_mlp.training.compiled.pixels import Pixels

LIT = 128  # rare pixels taken at a time


@dataclass(frozen=True)
class Rows:
    """A batch of rows: [n, inputs]."""

    rows: tf.Tensor

    @classmethod
    def of(cls, x: tf.Tensor) -> "Rows":
        """Return x as rows, one per image."""
        return cls(tf.reshape(x, [-1, int(np.prod(x.shape[1:]))]))

    def total(self, real: tf.Tensor) -> tf.Tensor:
        """Return each input's sum over the batch: [inputs]. real: 1 for each row that counts, else 0, [n]."""
        return tf.reduce_sum(real[:, None] * self.rows, 0)

    def squares(self, mean: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """Return each input's sum of squared distances from its mean. mean: [inputs] -> [inputs]."""
        return tf.reduce_sum(real[:, None] * tf.square(self.rows - mean), 0)


@dataclass(frozen=True)
class Images:
    """A batch of packed images: rows, counts, numbers, as Pixels.packed returns them. Inputs: pixels in its order."""

    pixels: Pixels
    rows: tf.Tensor
    counts: tf.Tensor
    numbers: tf.Tensor

    @property
    def common(self) -> Rows:
        return Rows(self.rows[:, : self.pixels.common])

    @property
    def lit(self) -> tf.Tensor:
        return self.rows[:, self.pixels.common :]

    def total(self, real: tf.Tensor) -> tf.Tensor:
        """Return each pixel's sum over the batch: [inputs]. real: 1 for each image that counts, else 0, [n]."""
        return tf.concat([self.common.total(real), self._by_pixel(real[:, None] * self.lit)], 0)

    def squares(self, mean: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """Return each pixel's sum of squared distances from its mean. mean: [inputs] -> [inputs]."""
        common, rare = tf.split(mean, [self.pixels.common, self.pixels.rare])
        dark = tf.reduce_sum(real) * tf.square(rare)  # were none lit
        lit = real[:, None] * self.lit * (self.lit - 2 * tf.gather(rare, tf.cast(self.numbers, tf.int32)))
        return tf.concat([self.common.squares(common, real), dark + self._by_pixel(lit)], 0)

    def _by_pixel(self, values: tf.Tensor) -> tf.Tensor:
        """Return each rare pixel's sum over the images. values: [n, most], 0 where no pixel is lit."""
        pixels = tf.cast(tf.reshape(self.numbers, [-1, 1]), tf.int32)
        return tf.scatter_nd(pixels, tf.reshape(values, [-1]), [self.pixels.rare])

    def over_lit(self, add: Callable, sums: tf.Tensor) -> tf.Tensor:
        """Return the sums after add(sums, image, pixel, value) for all rare pixels that are lit, LIT of them at a time.

        image: the image's number in the batch; pixel: the pixel's among the rare ones; value: its brightness; [LIT]
        each. The last time is filled up with zeros, of any image and pixel."""
        ends = tf.cumsum(self.counts)

        def some(first, sums):
            each = first + tf.range(LIT)
            ended = tf.reduce_sum(tf.cast(ends[:, None] <= each, tf.int32), 0)  # images before it
            image = tf.minimum(ended, tf.size(ends) - 1)
            number = each - tf.gather(ends - self.counts, image)
            pixel = tf.cast(tf.gather_nd(self.numbers, tf.stack([image, number], 1)), tf.int32)
            value = tf.gather_nd(self.rows, tf.stack([image, self.pixels.common + number], 1))
            return first + LIT, add(sums, image, pixel, tf.where(each < ends[-1], value, 0.0))

        return tf.while_loop(lambda first, _: first < ends[-1], some, (0, sums))[1]
