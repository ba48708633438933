"""Grey levels as both studies scale them."""

import numpy as np
import pytest

from mnist_mlp.data.scaling import pixels, unit_columns


@pytest.fixture
def images() -> np.ndarray:
    """Return uint8 [2500, 28, 28]: more than two parts of the scaling, with columns and an image of zeros."""
    images = np.random.default_rng(0).integers(0, 256, (2500, 28, 28), np.uint8)
    images[:, :, :3] = 0
    images[7] = 0
    return images


def test_pixels_are_grey_levels_by_255(images):
    scaled = pixels(images)
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, (images / 255.0).astype(np.float32))


def test_unit_columns_have_a_norm_of_one_or_zero(images):
    scaled = unit_columns(images)
    exact = images.astype(np.float64)
    norms = np.sqrt((exact**2).sum(axis=1))
    norms[norms == 0] = 1
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, (exact / norms[:, None, :]).astype(np.float32))
    lengths = np.linalg.norm(scaled, axis=1)
    assert np.all(lengths[:, :3] == 0) and np.all(lengths[7] == 0)
    assert np.allclose(np.delete(lengths, 7, axis=0)[:, 3:], 1, atol=1e-6)


@pytest.mark.slow
def test_unit_columns_are_those_of_the_notebook(images):
    from mnist_mlp.training.backend import keras

    assert np.array_equal(unit_columns(images), keras.utils.normalize(images, axis=1).astype(np.float32))
