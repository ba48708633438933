"""Which pixels the first product may leave out, and which it needs for some images only.

An image of MNIST is dark in four fifths of its pixels. Some are dark in all images, and many lit in few: of a batch,
most images are dark in all of these, and most of these are dark in all of its images.
"""

from dataclasses import dataclass

import numpy as np

SIDE = 28  # of an image
DRAWN, MOST, LEAST = 25_600, 400, 8  # images drawn, and batches made of them
FITS = 0.99  # the share of batches that must fit
STEP = 16  # of pixels, and half as many images: products of other sizes are slower


@dataclass(frozen=True)
class Pixels:
    """Pixels that count, most often lit first: order, int [n] in 0..783. `common` of them are multiplied for all
    images; of the others at most `rare`, in at most `images`, are lit in nearly every batch of `batch`."""

    batch: int
    order: np.ndarray
    common: int
    rare: int
    images: int

    @property
    def parts(self) -> list[np.ndarray]:
        """The common pixels and, if there are any, the others."""
        return np.split(self.order, [self.common]) if self.rare else [self.order]


def choose(images: np.ndarray, other: np.ndarray, batch: int, dark: bool = False) -> Pixels:
    """The cheapest split for batches of `batch` images, found on random ones; a function of its arguments alone.

    images: [n, 28, 28], those trained on; other: [m, 28, 28], further ones whose lit pixels count; dark: those that no
    image lights count too."""
    images, other = images.reshape(len(images), -1), other.reshape(len(other), -1)
    samples = min(MOST, DRAWN // batch)
    lit = images[np.random.default_rng(0).integers(0, len(images), samples * batch)] != 0
    order = np.argsort(-lit.sum(axis=0), kind="stable")
    if not dark:
        order = order[(images.any(axis=0) | other.any(axis=0))[order]]
    best, lowest = Pixels(batch, order, len(order), 0, 0), batch * len(order)
    if samples < LEAST:
        return best
    lit = lit[:, order].reshape(samples, batch, len(order))
    rarest = np.where(lit.any(axis=2), len(order) - np.argmax(lit[:, :, ::-1], axis=2), 0)  # from 1; 0 in a dark image
    beyond = np.cumsum(lit.any(axis=1)[:, ::-1], axis=1)[:, ::-1]  # [samples, n]: how many are lit from each one on

    def fits(counts: np.ndarray, step: int) -> int:
        return -(-max(1, int(np.quantile(counts, FITS, method="higher"))) // step) * step

    for common in range(0, len(order), STEP):
        rare = min(fits(beyond[:, common], STEP), len(order) - common)
        those = min(fits((rarest > common).sum(axis=1), STEP // 2), batch)
        # Picking and putting back a number costs about what STEP multiplications do.
        cost = batch * common + rare * those + STEP * (rare + those)
        if cost < lowest:
            best, lowest = Pixels(batch, order, common, rare, those), cost
    return best
