"""Which pixels are multiplied for all images, which one by one, and which not at all."""

import numpy as np
import pytest

from tests.helpers.images import sparse_digits


@pytest.fixture
def module():
    """Return what is tested. It imports TensorFlow, which takes seconds: not while pytest collects tests."""
    from mnist_mlp.training.compiled import pixels

    return pixels


def test_pixels_are_common_or_rare_by_how_many_images_light_them(module):
    (images, _), (other, _) = sparse_digits(2000), sparse_digits(100, seed=1)
    pixels = module.choose(images, other)
    shares = (images.reshape(-1, 784) != 0).mean(axis=0)
    common, rare = pixels.parts
    assert len(common) % 16 == 0 and (shares[rare] < module.SHARE).all()
    assert (shares[common] < module.SHARE).sum() < 16  # to fill up


def test_pixels_that_no_image_lights_are_left_out_unless_dark_ones_count(module):
    (images, _), (other, _) = sparse_digits(200), sparse_digits(100, seed=1)
    lit = np.concatenate([images, other]).any(axis=0).ravel()
    assert sorted(module.choose(images, other).order) == np.flatnonzero(lit).tolist()
    assert sorted(module.choose(images, other, dark=True).order) == list(range(784))
    assert module.choose(images[:, :20], other[:, :20]).columns == 28


def test_all_pixels_are_common_if_all_images_light_them(module):
    white = np.ones((100, 28, 28), np.float32)
    assert module.choose(white, white).common == 784


def test_some_pixels_are_common_even_if_training_images_light_none(module):
    """A product of nothing can't be."""
    (other, _) = sparse_digits(100, seed=1)
    assert module.choose(np.zeros((100, 28, 28), np.float32), other).common == 16


def test_packed_images_hold_all_that_is_lit(module):
    (images, _), (other, _) = sparse_digits(200), sparse_digits(100, seed=1)
    for few in (images, np.zeros_like(images)):
        pixels = module.choose(few, other)
        for part in (few, other):
            packed, counts, numbers = pixels.packed(part)
            whole = np.zeros((len(part), 784), np.float32)
            whole[:, pixels.parts[0]] = packed[:, : pixels.common]
            for i, (count, row) in enumerate(zip(counts, numbers, strict=True)):
                whole[i, pixels.parts[1][row[:count]]] = packed[i, pixels.common :][:count]
                assert not packed[i, pixels.common + count :].any()
            np.testing.assert_array_equal(whole.reshape(part.shape), part)
