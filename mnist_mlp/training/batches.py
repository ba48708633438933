"""A batch as the first layers take it: rows of numbers, or images whose rare pixels are taken one by one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mnist_mlp.training.backend import tf
from mnist_mlp.training.pixels import Pixels

LIT = 128  # rare pixels taken at a time


@dataclass(frozen=True)
class Rows:
    """rows: [n, inputs]."""

    rows: tf.Tensor

    @classmethod
    def of(cls, x: tf.Tensor) -> "Rows":
        return cls(tf.reshape(x, [-1, int(np.prod(x.shape[1:]))]))

    def total(self) -> tf.Tensor:
        """By input, the sum over the batch: [inputs]."""
        return tf.reduce_sum(self.rows, 0)

    def squares(self, mean: tf.Tensor) -> tf.Tensor:
        """By input, the sum of the squares of how far each number is from mean [inputs]."""
        return tf.reduce_sum(tf.square(self.rows - mean), 0)


@dataclass(frozen=True)
class Images:
    """rows, counts, numbers: as Pixels.packed gives them, of n images; inputs are the pixels in its order."""

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

    def total(self) -> tf.Tensor:
        return tf.concat([self.common.total(), self._by_pixel(self.lit)], 0)

    def squares(self, mean: tf.Tensor) -> tf.Tensor:
        common, rare = tf.split(mean, [self.pixels.common, self.pixels.rare])
        dark = tf.cast(tf.shape(self.rows)[0], tf.float32) * tf.square(rare)  # were none lit
        lit = self.lit * (self.lit - 2 * tf.gather(rare, tf.cast(self.numbers, tf.int32)))
        return tf.concat([self.common.squares(common), dark + self._by_pixel(lit)], 0)

    def _by_pixel(self, values: tf.Tensor) -> tf.Tensor:
        """Of [n, most], 0 where no pixel is lit, the sum over the images for each rare pixel."""
        pixels = tf.cast(tf.reshape(self.numbers, [-1, 1]), tf.int32)
        return tf.scatter_nd(pixels, tf.reshape(values, [-1]), [self.pixels.rare])

    def over_lit(self, add: Callable, sums: tf.Tensor) -> tf.Tensor:
        """add(sums, image, pixel, value) for all rare pixels lit, LIT of them at a time: [LIT] each, the image's
        number in the batch, the pixel's among the rare and how bright it is. The last time's rest are zeros, of some
        image and pixel: XLA takes the nearest place there is for one that isn't."""
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
