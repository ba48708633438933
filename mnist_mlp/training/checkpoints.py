"""What an interrupted training goes on from."""

import zipfile
from pathlib import Path

import numpy as np

from mnist_mlp import files


def write(path: Path, arrays: list[np.ndarray]) -> None:
    """Keep arrays, whole or not at all."""
    with files.replaced_file(path) as partial, partial.open("wb") as file:
        np.savez(file, *arrays)


def read(path: Path) -> list[np.ndarray]:
    """Return the arrays kept; none if there is no file, or none that is whole: a zip archive checks its bytes."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[f"arr_{number}"] for number in range(len(arrays.files))]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return []
