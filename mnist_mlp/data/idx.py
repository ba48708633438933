"""MNIST's file format, IDX, of unsigned bytes. Source: http://yann.lecun.com/exdb/mnist/"""

import math
from pathlib import Path

import numpy as np

from mnist_mlp.errors import UserError


def read(path: Path) -> np.ndarray:
    """Return a file's array, uint8 of 1 to 3 dimensions. Raises UserError that names the file and its fault."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); run `dvc repro --force download`") from None
    return parse(data, path.name)


def parse(data: bytes, name: str) -> np.ndarray:
    """Return the array of a file's content, uint8 of 1 to 3 dimensions. Raises UserError that names the fault."""
    if len(data) < 4 or data[:2] != b"\0\0":
        raise UserError(f"{name}: begins with {data[:4].hex(' ') or 'nothing'}; an IDX file: 00 00 08 and rank")
    kind, rank = data[2:4]
    if kind != 8:
        raise UserError(f"{name}: found IDX type 0x{kind:02x}; allowed: 0x08, unsigned bytes")
    start = 4 + 4 * rank
    if not 1 <= rank <= 3 or len(data) < start:
        raise UserError(f"{name}: found {rank} dimensions in {len(data)} bytes; allowed: 1 to 3 (grey images)")
    shape = tuple(np.frombuffer(data, ">u4", rank, offset=4).tolist())
    if len(data) - start != math.prod(shape) or 0 in shape:
        sizes = " x ".join(map(str, shape))
        raise UserError(f"{name}: found {len(data) - start} bytes of data; its header says {sizes}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def write(path: Path, array: np.ndarray) -> None:
    """Write an array, uint8, as an IDX file."""
    path.write_bytes(content(array))


def content(array: np.ndarray) -> bytes:
    """Return what an IDX file of an array, uint8, holds."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
