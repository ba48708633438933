"""Which pixels the first product may leave out, and which it takes one by one if they are lit.

An image of MNIST is dark in four fifths of its pixels. Some are dark in all images, and nearly half are lit in few.
"""

from dataclasses import dataclass

import numpy as np

SHARE = 1 / 16  # of the images: pixels that fewer light are rare; from 1 / 26 to 1 / 12 takes the same time
STEP = 16  # of pixels: products of other sizes are slower


@dataclass(frozen=True)
class Pixels:
    """The pixels that count, those lit most often first.

    order: int [n], places in a flattened image. columns: how many an image has. common: how many of the pixels are
    multiplied for all images; the others are rare, and are taken where they are lit. most: no image lights more rare
    ones."""

    order: np.ndarray
    columns: int
    common: int
    most: int

    @property
    def rare(self) -> int:
        return len(self.order) - self.common

    @property
    def width(self) -> int:
        """The length of an image as `packed` returns it."""
        return self.common + (self.most if self.rare else 0)

    @property
    def parts(self) -> list[np.ndarray]:
        """The common pixels and, if there are any, the rare ones."""
        return np.split(self.order, [self.common]) if self.rare else [self.order]

    def packed(self, images: np.ndarray) -> list[np.ndarray]:
        """Return images [n, height, width] as the network takes them.

        [n, width]: the common pixels, then the rare ones that are lit, then zeros. If there are rare pixels, also how
        many of them are lit, int32 [n], and which, uint16 [n, most]."""
        flat = images.reshape(len(images), -1)
        packed = np.zeros((len(images), self.width), images.dtype)
        np.take(flat, self.order[: self.common], axis=1, out=packed[:, : self.common])
        if not self.rare:
            return [packed]
        rare = np.take(flat, self.order[self.common :], axis=1)
        lit = np.flatnonzero(rare != 0)  # in two dimensions it takes 4 times as long
        image, pixel = np.divmod(lit, self.rare)
        counts = np.bincount(image, minlength=len(images))
        place = np.arange(len(image)) - np.repeat(np.cumsum(counts) - counts, counts)
        numbers = np.zeros((len(images), self.most), np.uint16)
        numbers[image, place] = pixel
        packed[image, self.common + place] = rare[image, pixel]
        return [packed, counts.astype(np.int32), numbers]


def choose(images: np.ndarray, other: np.ndarray, dark: bool = False) -> Pixels:
    """Return the pixels that count for images that are trained on, [n, height, width], and for other ones.

    dark: whether pixels that no image lights count too."""
    lit = [part.reshape(len(part), -1) != 0 for part in (images, other)]
    counts, others = (np.count_nonzero(part, axis=0) for part in lit)
    order = np.argsort(-counts, kind="stable")
    if not dark:
        order = order[(counts + others)[order] > 0]
    common = min(_stepped(np.count_nonzero(counts >= SHARE * len(images))), len(order))
    rare = np.isin(np.arange(len(counts)), order[common:])
    most = max(np.count_nonzero(part & rare, axis=1).max(initial=0) for part in lit)
    return Pixels(order, images.shape[2], common, _stepped(most))


def _stepped(count: int | np.integer) -> int:
    return -(-max(1, int(count)) // STEP) * STEP
