"""Grey levels -> what networks take: one function for each value of `scaling` in params.yaml."""

from collections.abc import Callable

import numpy as np


def pixels(images: np.ndarray) -> np.ndarray:
    """Return grey levels / 255, as study 1 scales them. images: uint8 [n, h, w] -> float32 [n, h, w]."""
    return (np.arange(256) / 255).astype(np.float32)[images]


def unit_columns(images: np.ndarray) -> np.ndarray:
    """Return each image's columns / their L2 norms, as study 2 scales them; columns of zeros stay zeros.

    images: uint8 [n, height, width] -> float32 of the same shape. Source: tf.keras.utils.normalize(images, axis=1)."""
    scaled = np.empty(images.shape, np.float32)
    for start in range(0, len(images), 1000):
        part = images[start : start + 1000].astype(np.float64)
        norms = np.linalg.norm(part, axis=1, keepdims=True)
        scaled[start : start + 1000] = part / np.where(norms == 0, 1, norms)
    return scaled


SCALINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"pixels": pixels, "unit_columns": unit_columns}
