"""Pack and unpack files as an in-memory tar."""

import io
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path


def pack(paths: Iterable[str]) -> bytes:
    """Return files and folders as a tar."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in paths:
            tar.add(path)
    return content.getvalue()


def unpack(content: bytes, folder: str | Path = ".") -> None:
    """Write a tar's files below `folder`. A folder of the tar takes the place of the one there, whole."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        # Python 3.11 has filters from 3.11.4 on, and Debian 12 has 3.11.2; there, none is looked for.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        for member in tar:
            if member.isdir():
                shutil.rmtree(Path(folder, member.name), ignore_errors=True)
        tar.extractall(folder)
