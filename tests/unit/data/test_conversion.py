"""Folders of PNGs, NPZ and IDX files -> a data set, and each fault of theirs in a line."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnist_mlp.data import conversion
from mnist_mlp.errors import UserError
from tests.helpers.sources import TINY

CLASSES = ("circle", "cross", "square")


def made(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return noise of 6 x 4 in three classes, not sorted."""
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 4)).astype(np.uint8), np.arange(n, dtype=np.uint8) % 3


def write_pngs(classes: tuple[str, ...] = CLASSES) -> Path:
    """Write a folder `images` of 120 training and 12 test images."""
    for split, n in (("train", 120), ("test", 12)):
        for i, (image, label) in enumerate(zip(*made(n), strict=True)):
            path = Path("images", split, classes[label], f"{i:03}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return Path("images")


def npz(**changes: np.ndarray | None) -> Path:
    """Write shapes.npz with these arrays changed; None leaves one out."""
    (x_train, y_train), (x_test, y_test) = made(120), made(12)
    arrays = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test} | changes
    np.savez("shapes.npz", **{name: array for name, array in arrays.items() if array is not None})
    return Path("shapes.npz")


def test_a_folder_per_class_gives_labels_in_the_order_of_the_names():
    (train, labels, test, test_labels), names = conversion.from_pngs(write_pngs())
    assert names == list(CLASSES)
    for (images, known), (found, given) in zip(
        (made(120), made(12)), ((train, labels), (test, test_labels)), strict=True
    ):
        pairs = {(image.tobytes(), int(label)) for image, label in zip(images, known, strict=True)}
        assert {(image.tobytes(), int(label)) for image, label in zip(found, given, strict=True)} == pairs
        assert found.shape == images.shape


def test_each_class_is_spread_evenly_over_the_training_images_alone():
    _, labels, _, tested = conversion.from_pngs(write_pngs())[0]
    assert tested.tolist() == sorted(tested)
    assert [np.bincount(part, minlength=3).tolist() for part in np.split(labels, 10)] == [[4, 4, 4]] * 10


def test_names_that_are_numbers_are_in_their_order():
    assert conversion.from_pngs(write_pngs(("10", "9", "0")))[1] == ["0", "9", "10"]


def test_grey_images_stored_as_colour_are_grey():
    path = next(write_pngs().glob("train/cross/*.png"))
    grey = np.asarray(Image.open(path))
    before = conversion.from_pngs(Path("images"))[0]
    for mode in ("RGB", "RGBA", "LA"):
        Image.fromarray(grey).convert(mode).save(path)
        after = conversion.from_pngs(Path("images"))[0]
        assert all(map(np.array_equal, before, after))


def test_hidden_files_and_litter_are_no_images():
    folder = write_pngs()
    for name in (".DS_Store", "train/.hidden/x.txt", "train/cross/Thumbs.db"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert conversion.from_pngs(folder)[1] == list(CLASSES)


def some(folder: Path) -> Path:
    return min(folder.glob("train/cross/*.png"))


def save(image: np.ndarray, mode: str | None = None) -> Callable[[Path], object]:
    """Return a fault: one of the training images is this one."""
    return lambda folder: (Image.fromarray(image).convert(mode) if mode else Image.fromarray(image)).save(some(folder))


RED = np.zeros((6, 4, 3), np.uint8) + np.array([9, 0, 0], np.uint8)
PNG_FAULTS = {
    "no split": (
        lambda folder: (folder / "test").rename("elsewhere"),
        "images: found no folder test; allowed: train/CLASS",
    ),
    "no classes": (
        lambda folder: (folder / "train/x.png").touch(),
        "images/train: found x.png; allowed: a folder per class",
    ),
    "empty class": (
        lambda folder: (folder / "train/oval").mkdir(),
        "images/train/oval: found nothing; allowed: PNG files;",
    ),
    "unseen class": (
        lambda folder: (folder / "test/oval").mkdir(),
        "images/test/oval: found no class of that name in images/train; allowed: circle, cross, square; add training",
    ),
    "other files": (
        lambda folder: (folder / "test/cross/a.jpg").touch(),
        "images/test/cross: found a.jpg; allowed: PNG files;",
    ),
    "no PNG": (
        lambda folder: some(folder).write_text("<html>"),
        "images/train/cross/001.png: no PNG that can be read; make",
    ),
    "torn": (
        lambda folder: some(folder).write_bytes(some(folder).read_bytes()[:60]),
        "001.png: no PNG that can be read; make",
    ),
    "size": (
        save(np.zeros((6, 5), np.uint8)),
        "001.png: found 6 x 5; allowed: 6 x 4, as images/train/circle/000.png; make all",
    ),
    "colour": (save(RED), "001.png: found colours; allowed: grey levels; make the images grey"),
    "transparent": (save(np.zeros((6, 4, 4), np.uint8)), "001.png: found transparency; allowed: grey levels; make"),
    "16 bits": (save(np.zeros((6, 4), np.uint16)), "001.png: found 16 bits per pixel; allowed: 8, grey levels"),
    "large": (save(np.zeros((257, 256), np.uint8)), "001.png: found 257 x 256; allowed: at most 65,536 pixels"),
}


@pytest.mark.parametrize(("spoil", "fault"), PNG_FAULTS.values(), ids=PNG_FAULTS)
def test_faults_of_a_folder_are_told_in_a_line(spoil, fault):
    folder = write_pngs()
    spoil(folder)
    refused(lambda: conversion.from_pngs(folder), fault)


def test_more_classes_than_a_byte_can_number_are_refused():
    for i in range(257):
        Path("images/train", str(i)).mkdir(parents=True)
    Path("images/test").mkdir()
    refused(
        lambda: conversion.from_pngs(Path("images")),
        "images/train: found 257 classes; allowed: 2 to 256; leave some out",
    )


def test_arrays_of_an_npz_file_keep_their_order():
    found = conversion.from_npz(npz())
    assert all(map(np.array_equal, found, (*made(120), *made(12))))


def test_an_axis_of_one_and_wide_integers_are_taken():
    (images, labels), (test, _) = made(120), made(12)
    found = conversion.from_npz(
        npz(x_train=images[..., None].astype(int), y_train=labels[:, None], x_test=test[..., None])
    )
    assert all(map(np.array_equal, found, (*made(120), *made(12))))
    assert {array.dtype for array in found} == {np.dtype(np.uint8)}


def test_images_sorted_by_class_are_mixed():
    images, labels = made(120)
    order = np.argsort(labels, kind="stable")
    found, given, *_ = conversion.from_npz(npz(x_train=images[order], y_train=labels[order]))
    assert [np.bincount(part, minlength=3).tolist() for part in np.split(given, 10)] == [[4, 4, 4]] * 10
    pairs = {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}
    assert {(image.tobytes(), int(label)) for image, label in zip(found, given, strict=True)} == pairs


NPZ_FAULTS = {
    "missing": (
        {"y_test": None},
        "shapes.npz: found x_train, y_train, x_test; allowed: x_train, y_train, x_test, y_test;",
    ),
    "colour": (
        {"x_train": np.ones((120, 6, 4, 3), np.uint8)},
        "shapes.npz: x_train: found shape (120, 6, 4, 3), colour",
    ),
    "shares": (
        {"x_test": np.ones((12, 6, 4))},
        "shapes.npz: x_test: found float64; allowed: whole numbers, grey levels of",
    ),
    "one-hot": (
        {"y_train": np.eye(3, dtype=int)[np.arange(120) % 3]},
        "y_train: found shape (120, 3), one-hot?; allowed: (n,)",
    ),
    "names": (
        {"y_train": np.array(["a", "b"] * 60)},
        "shapes.npz: y_train: found <U1; allowed: whole numbers, labels of 0",
    ),
    "many": (
        {"y_train": np.arange(120) + 200},
        "shapes.npz: y_train: found 319; allowed: labels of 0 to 255; number them so",
    ),
    "negative": ({"y_train": np.arange(120) - 1}, "shapes.npz: y_train: found -1; allowed: labels of 0 to 255"),
    "size": (
        {"x_test": np.ones((12, 4, 6), np.uint8)},
        "shapes.npz: x_test: found images of 4 x 6; allowed: 6 x 4, as in",
    ),
    "objects": ({"y_test": np.array([{}] * 12)}, "shapes.npz: no NPZ file of arrays; write one by numpy.savez"),
}


@pytest.mark.parametrize(("changes", "fault"), NPZ_FAULTS.values(), ids=NPZ_FAULTS)
def test_faults_of_an_npz_file_are_told_in_a_line(changes, fault):
    refused(lambda: conversion.from_npz(npz(**changes)), fault)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4", b"\x93NUMPY\1\0v\0{}"])
def test_what_is_no_npz_file_is_refused(content):
    Path("file").write_bytes(content)
    refused(lambda: conversion.from_npz(Path("file")), "file: no NPZ file of arrays; write one by numpy.savez")


def test_idx_files_are_read_plain_or_gzipped():
    for i, (name, data) in enumerate(TINY.items()):
        Path(name + ".gz" * (i % 2)).write_bytes(gzip.compress(data) if i % 2 else data)
    assert conversion.holds_idx(Path())
    assert conversion.from_idx(Path())[1] == list(TINY.values())
    Path("t10k-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8b torn")
    refused(lambda: conversion.from_idx(Path()), "t10k-labels-idx1-ubyte.gz: damaged gzip")
    Path("t10k-labels-idx1-ubyte.gz").unlink()
    refused(
        lambda: conversion.from_idx(Path()), ".: found no t10k-labels-idx1-ubyte, nor as .gz; allowed: train-images"
    )


def refused(act: Callable[[], object], fault: str) -> None:
    """Check that an act ends in this error, of one line that says what to do."""
    with pytest.raises(UserError) as error:
        act()
    assert fault in str(error.value) and "\n" not in str(error.value) and "; " in str(error.value)
