"""Convert images in other forms into the four arrays of a data set: a folder of PNGs, Keras's NPZ, IDX files."""

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np

from mnist_mlp.config.choices import IDX_FILES
from mnist_mlp.data import datasets, idx
from mnist_mlp.errors import UserError

NPZ_NAMES = ("x_train", "y_train", "x_test", "y_test")  # in the order of IDX_FILES
LITTER = ("Thumbs.db", "desktop.ini")  # that systems leave in folders, beside hidden files
MOST = 256  # classes that a byte can number
Arrays = list[np.ndarray]  # in the order of IDX_FILES


def from_pngs(folder: Path) -> tuple[Arrays, list[str]]:
    """Return the arrays of FOLDER/train/<class>/*.png and FOLDER/test/<class>/*.png, and the classes' names by label.

    The labels follow the names' order, by number if all are whole numbers. The test images stay in the order of their
    classes and files. The training images are in a fixed random order that spreads each class evenly. Raises UserError
    for what is no data set: other files, colour, sizes that differ."""
    for split in ("train", "test"):
        if not (folder / split).is_dir():
            raise UserError(
                f"{folder}: found no folder {split}; allowed: train/CLASS/*.png and test/CLASS/*.png in it; sort the "
                "images into such folders"
            )
    names = [path.name for path in _visible(folder / "train")]  # sorted
    if all(map(str.isdecimal, names)):
        names.sort(key=int)
    if len(names) > MOST:
        raise UserError(f"{folder / 'train'}: found {len(names)} classes; allowed: 2 to {MOST}; leave some out")
    arrays: Arrays = []
    for split in ("train", "test"):
        labels, paths = [], []
        for path in _visible(folder / split):
            if path.name not in names:
                raise UserError(
                    f"{path}: found no class of that name in {folder / 'train'}; allowed: {_listed(names)}; add "
                    "training images of it, or take it away"
                )
            own = _pngs(path)
            labels += [names.index(path.name)] * len(own)
            paths += own
        arrays += [_read(paths, folder / split), np.array(labels, np.uint8)]
    arrays[:2] = mixed(*arrays[:2])
    named = [f"{folder / split}{what}" for split in ("train", "test") for what in ("", "'s classes")]
    datasets.check(arrays, named)
    return arrays, names


def from_npz(path: Path) -> Arrays:
    """Return the arrays x_train, y_train, x_test and y_test of an NPZ file, as Keras's mnist.npz holds them.

    Their order stays as it is, unless the training images are sorted by class. Raises UserError for what is no data
    set: arrays that are missing, no grey levels of 0 to 255, no whole labels."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in NPZ_NAMES if name in archive.files}
            listed = _listed(archive.files)
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zlib.error, zipfile.BadZipFile):
        raise UserError(f"{path}: no NPZ file of arrays; write one by numpy.savez(PATH, x_train=..., ...)") from None
    if missing := [name for name in NPZ_NAMES if name not in found]:
        raise UserError(
            f"{path}: found {listed}; allowed: {', '.join(NPZ_NAMES)}; add {missing[0]} by "
            "numpy.savez(PATH, x_train=..., ...)"
        )
    names = [f"{path}: {name}" for name in NPZ_NAMES]
    arrays = [
        _bytes(found[name], named, i % 2 == 0) for i, (name, named) in enumerate(zip(NPZ_NAMES, names, strict=True))
    ]
    if len(arrays[0]) == len(arrays[1]) and (np.diff(arrays[1].astype(int)) >= 0).all():
        arrays[:2] = mixed(*arrays[:2])
    datasets.check(arrays, names)
    return arrays


def from_idx(folder: Path) -> tuple[Arrays, list[bytes]]:
    """Return the arrays of the four IDX files of a folder, plain or as .gz, and the files' content, decompressed.

    Raises UserError for files that are missing, damaged or no data set."""
    contents = []
    for name in IDX_FILES:
        path = next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
        if path is None:
            raise UserError(f"{folder}: found no {name}, nor as .gz; allowed: {', '.join(IDX_FILES)}; add it")
        try:
            contents.append(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UserError(f"{path}: damaged gzip ({error}); make it anew") from None
    arrays = [idx.parse(content, name) for content, name in zip(contents, IDX_FILES, strict=True)]
    datasets.check(arrays, IDX_FILES)
    return arrays, contents


def holds_idx(folder: Path) -> bool:
    """Return whether a folder holds one of the four IDX files, plain or as .gz."""
    return any((folder / f"{name}{suffix}").is_file() for name in IDX_FILES for suffix in ("", ".gz"))


def mixed(images: np.ndarray, labels: np.ndarray) -> Arrays:
    """Return images and labels in a fixed random order that spreads each class evenly."""
    order, place = np.random.default_rng(0).permutation(len(labels)), np.empty(len(labels))
    for label in np.unique(labels):
        own = labels[order] == label
        place[own] = (np.arange(own.sum()) + 0.5) / own.sum()
    order = order[np.argsort(place, kind="stable")]
    return [images[order], labels[order]]


def _visible(folder: Path) -> list[Path]:
    """Return the folders of a folder. Raises UserError if there are none, and for files."""
    paths = _content(folder)
    if not paths or (files := [path for path in paths if not path.is_dir()]):
        found = files[0].name if paths else "nothing"
        raise UserError(
            f"{folder}: found {found}; allowed: a folder per class, of PNG files; sort the images into them"
        )
    return paths


def _pngs(folder: Path) -> list[Path]:
    """Return a folder's PNG files. Raises UserError if there are none, and for anything else."""
    paths = _content(folder)
    if not paths or (other := [path for path in paths if not path.is_file() or path.suffix.lower() != ".png"]):
        found = other[0].name if paths else "nothing"
        raise UserError(f"{folder}: found {found}; allowed: PNG files; convert it, or take it away")
    return paths


def _content(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in LITTER)


def _read(paths: list[Path], folder: Path) -> np.ndarray:
    """Return the grey levels of PNG files of one size: uint8 [n, height, width]."""
    images = [_grey(path) for path in paths]
    sizes = [" x ".join(map(str, image.shape)) for image in images]
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise UserError(
                f"{path}: found {size}; allowed: {sizes[0]}, as {paths[0]}; make all images of {folder} one size"
            )
    return np.stack(images)


def _grey(path: Path) -> np.ndarray:
    """Return a PNG's grey levels: uint8 [height, width]. Red, green and blue may be there if they are the same."""
    from PIL import Image  # matplotlib's

    try:
        with Image.open(path, formats=["PNG"]) as image:
            width, height = image.size
            if width * height > datasets.PIXELS:
                raise UserError(
                    f"{path}: found {height} x {width}; allowed: at most {datasets.PIXELS:,} pixels, as 256 x 256 has; "
                    "make the images smaller"
                )
            if image.mode.startswith(("I", "F")):
                raise UserError(f"{path}: found 16 bits per pixel; allowed: 8, grey levels of 0 to 255; convert it")
            if image.mode in ("1", "L"):
                return np.asarray(image.convert("L"))
            red, green, blue, opaque = np.moveaxis(np.asarray(image.convert("RGBA")), 2, 0)
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, Image.DecompressionBombError):
        raise UserError(f"{path}: no PNG that can be read; make it anew, or take it away") from None
    if not ((red == green).all() and (green == blue).all() and (opaque == 255).all()):
        what = "colours" if (opaque == 255).all() else "transparency"
        raise UserError(
            f"{path}: found {what}; allowed: grey levels; make the images grey, `image.convert('L')` in Pillow"
        )
    return red


def _bytes(array: np.ndarray, name: str, images: bool) -> np.ndarray:
    """Return images as uint8 [n, height, width], or labels as uint8 [n]; an axis of length 1 at the end is dropped."""
    if array.ndim == (4 if images else 2) and array.shape[-1] == 1:
        array = array[..., 0]
    what = "grey levels of 0 to 255" if images else "labels of 0 to 255"
    if array.dtype.kind not in "ui":
        mend = "multiply shares by 255 and " if images and array.dtype.kind == "f" else ""
        raise UserError(
            f"{name}: found {array.dtype}; allowed: whole numbers, {what}; {mend}convert it by .astype('uint8')"
        )
    if not images and array.ndim == 2:
        raise UserError(
            f"{name}: found shape {array.shape}, one-hot?; allowed: (n,), {what}; convert it by .argmax(axis=1)"
        )
    if array.size and not 0 <= array.min() <= array.max() <= 255:
        wrong = array.min() if array.min() < 0 else array.max()
        raise UserError(f"{name}: found {wrong}; allowed: {what}; number them so")
    return array.astype(np.uint8)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") or "nothing"
