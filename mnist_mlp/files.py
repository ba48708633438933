"""Read files, with one clear line if they don't fit, and write them whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mnist_mlp.errors import UserError

# The columns of texts, in all tables of the pipeline.
TEXTS = ("study", "variant", "other_study", "other_variant", "identical_to", "verdict", "factor", "level", "reference",
         "within", "curve")  # fmt: skip


def read_json(path: Path, *keys: str) -> dict[str, Any]:
    """Return a mapping that holds these keys. Raises UserError if the file is missing, is no JSON, or lacks a key."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, error, "JSON") from None
    if not isinstance(content, dict) or (missing := [key for key in keys if key not in content]):
        found = f"no key {missing[0]}" if isinstance(content, dict) else "no mapping"
        raise misfit(path, found, ", ".join(keys))
    return content


def read_csv(path: Path) -> pd.DataFrame:
    """Return a CSV file's table. TEXTS are texts: a variant may be named `null`, `nan` or `007`.

    An empty cell is missing. Raises OSError or ValueError if the file is missing or no CSV."""
    return pd.read_csv(path, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""])


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Return a CSV file's table. Raises UserError if the file is missing or lacks one of the columns."""
    try:
        table = read_csv(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error, "CSV") from None
    if missing := [column for column in columns if column not in table]:
        raise misfit(path, f"no column {missing[0]}", ", ".join(columns))
    return table


def read_array(path: Path, mapped: bool = False) -> np.ndarray:
    """Return a NumPy file's array, mapped into memory if asked. Raises UserError if it is missing or no array."""
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise unreadable(path, error, "NumPy array") from None


def misfit(path: Path, found: str, allowed: str) -> UserError:
    """Return the error for a file of the pipeline whose content doesn't fit."""
    return UserError(f"{path}: found {found}; allowed: {allowed}; run `dvc repro`")


def unreadable(path: Path, error: Exception, kind: str) -> UserError:
    """Return the error for a file of the pipeline that can't be read."""
    if isinstance(error, OSError):
        return UserError(f"{path}: {error.strerror or error}; run `dvc repro`")
    return misfit(path, "something else", f"a valid {kind} file")


def write(path: Path, content: str | dict[str, Any] | pd.DataFrame) -> None:
    """Write a text, a mapping as JSON, or a table as CSV with six decimals."""
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    elif isinstance(content, dict):
        content = json.dumps(content, indent=2) + "\n"
    with replaced_file(path) as partial:
        partial.write_bytes(content.encode())


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield the path of a new file to write. It takes the place of `path` if the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    yield partial
    os.replace(partial, path)


@contextmanager
def replaced_folder(folder: Path, scratch: Path | None = None) -> Iterator[Path]:
    """Yield a new folder to fill. It takes the place of `folder` if the block ends without an exception.

    scratch: the folder in which the new one is filled, on the same disk; by default the parent of `folder`."""
    scratch = scratch or folder.parent
    for parent in (folder.parent, scratch):
        parent.mkdir(parents=True, exist_ok=True)
    hidden = f".{folder.name}-"
    for stale in scratch.glob(f"{hidden}*"):  # of a run that was killed
        shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=hidden, dir=scratch, ignore_cleanup_errors=True) as temporary:
        new = Path(temporary, "new")
        new.mkdir()
        yield new
        if os.path.lexists(folder):
            folder.rename(Path(temporary, "old"))
        new.rename(folder)
