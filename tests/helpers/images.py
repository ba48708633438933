"""Made-up digits: as training takes them, and as the four files of a data set."""

import numpy as np

from mnist_mlp import config
from mnist_mlp.config.choices import IDX_FILES
from mnist_mlp.training.splits import Splits

MNIST = (28, 28), 10  # an image's height and width, classes


def digits(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return digits that can be learned: the place of a bright block tells the class.

    Returns float32 [n, 28, 28] and uint8 [n]. As in MNIST, some pixels (here two columns) are dark in every image."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n).astype(np.uint8)
    images = rng.uniform(0, 0.5, (n, 28, 28)).astype(np.float32)
    images[:, :, [0, 27]] = 0
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 6, 3:25] += 0.4
    return images, labels


def sparse_digits(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return digits as sparse as MNIST's: nearly all images light 400 pixels, few images light some of 300."""
    images, labels = digits(n, seed)
    flat, rng = images.reshape(n, -1), np.random.default_rng(seed)
    flat[:, 400:700] *= (rng.random((n, 1)) < 0.3) & (rng.random((n, 300)) < 0.03)
    flat[:, 700:] = 0
    return images, labels


def make_splits(variant: config.Variant, n: int = 100, n_test: int = 30) -> Splits:
    """Return n digits to train on and n_test to test, split by the variant's protocol."""
    (images, labels), test = digits(n), digits(n_test, seed=1)
    held_out = variant.validation == "held_out"
    kept = n - n // 10 if held_out else n
    validation = (images[kept:], labels[kept:]) if held_out else test
    return Splits((images[:kept], labels[:kept]), validation, (images, labels), test)


def sparse_splits(n: int = 100, n_test: int = 30) -> Splits:
    """Return sparse digits, validated on the test images."""
    train, test = sparse_digits(n), sparse_digits(n_test, seed=1)
    return Splits(train, test, train, test)


def other_splits(size: tuple[int, int], n: int = 100, n_test: int = 30) -> Splits:
    """Return images of 640 pixels, height x width, in 3 classes, sparse, validated on the test images."""

    def made(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, n).astype(np.uint8)
        images = rng.uniform(0, 0.5, (n, 32, 20)).astype(np.float32)
        images[:, :, 12:] *= (rng.random((n, 1, 1)) < 0.3) & (rng.random((n, 32, 8)) < 0.03)
        for image, label in zip(images, labels, strict=True):
            image[10 * label : 10 * label + 10, :8] += 0.4
        return images.reshape(n, *size), labels

    train, test = made(n, 0), made(n_test, 1)
    return Splits(train, test, train, test)


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an array, uint8, as the content of an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def idx_files(train: int = 100, test: int = 10, seed: int = 0) -> dict[str, bytes]:
    """Return the four files of a data set of noise, by name. The default counts are the smallest allowed."""
    rng = np.random.default_rng(seed)
    arrays = []
    for n in (train, test):
        arrays += [rng.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8) % 10]
    return dict(zip(IDX_FILES, map(idx_bytes, arrays), strict=True))
