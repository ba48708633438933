"""MNIST's file format, IDX, of unsigned bytes. Source: http://yann.lecun.com/exdb/mnist/"""

import math
from pathlib import Path

import numpy as np

from mnist_mlp.errors import UserError


def read(path: Path) -> np.ndarray:
    """Return a file's array, uint8 of 1 to 3 dimensions. Raises UserError that names the file and its fault."""
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


def write(path: Path, array: np.ndarray) -> None:
    """Write an array, uint8, as an IDX file."""
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes())
