"""The reports' files: read with one clear line where they don't fit, written whole or not at all."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from mnist_mlp import UserError


def read_json(path: Path, *keys: str) -> dict:
    """A mapping that holds these keys. Raises UserError where it is missing, no JSON, or lacks one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(path, error, "JSON") from None
    if not isinstance(content, dict) or (missing := [key for key in keys if key not in content]):
        raise fault(path, f"no key {missing[0]}" if isinstance(content, dict) else "no mapping", f"{', '.join(keys)}")
    return content


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV file of these columns, and perhaps more. Raises UserError where it is missing or lacks one."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error, "CSV") from None
    if missing := [column for column in columns if column not in table]:
        raise fault(path, f"no column {missing[0]}", ", ".join(columns))
    return table


def read_array(path: Path, memory: bool = True) -> np.ndarray:
    """A NumPy file, read or, without memory, mapped. Raises UserError where it is missing or none."""
    try:
        return np.load(path, mmap_mode=None if memory else "r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise unreadable(path, error, "NumPy array") from None


def write(path: Path, content: str | dict | pd.DataFrame) -> None:
    """Write a text, a mapping as JSON, or a table as CSV with six decimals, whole or not at all."""
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    elif isinstance(content, dict):
        content = json.dumps(content, indent=2) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content.encode())
    os.replace(partial, path)


def fault(path: Path, found: str, allowed: str) -> UserError:
    return UserError(f"{path}: found {found}; allowed: {allowed}; run `dvc repro`")


def unreadable(path: Path, error: Exception, kind: str) -> UserError:
    if isinstance(error, OSError):
        return UserError(f"{path}: {error.strerror or error}; run `dvc repro`")
    return fault(path, "something else", f"a valid {kind} file")
