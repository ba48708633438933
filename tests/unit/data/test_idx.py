"""MNIST's file format: what is written is read, and each fault is named."""

import numpy as np
import pytest

from mnist_mlp.data import idx
from mnist_mlp.errors import UserError
from tests.helpers.images import idx_bytes
from tests.helpers.sources import HTML


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "begins with nothing"),
        (HTML, "begins with 3c 21 44 4f"),
        (b"\0\0\x0d\x01" + bytes(8), "found IDX type 0x0d; allowed: 0x08"),
        (b"\0\0\x08\x00", "found 0 dimensions"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0", "found 255 dimensions"),
        (idx_bytes(np.zeros((2, 3, 3, 3), np.uint8)), "found 4 dimensions in 74 bytes; allowed: 1 to 3 (grey images)"),
        (b"\0\0\x08\x03" + bytes(11), "found 3 dimensions in 15 bytes"),
        (idx_bytes(np.zeros((2, 3), np.uint8))[:-1], "found 5 bytes of data; its header says 2 x 3"),
        (idx_bytes(np.zeros((2, 3), np.uint8)) + b"\0", "found 7 bytes of data; its header says 2 x 3"),
        (idx_bytes(np.zeros((0, 28, 28), np.uint8)), "found 0 bytes of data; its header says 0 x 28 x 28"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "its header says 4294967295 x 4294967295 x 4294967295"),
    ],
    ids=range(11),
)
def test_faults_of_an_idx_file_are_named(tmp_path, content, fault):
    path = tmp_path / "some-file"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        idx.read(path)
    assert str(error.value).startswith("some-file: ") and fault in str(error.value)


def test_idx_files_are_written_as_they_are_read(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    idx.write(tmp_path / "file", array)
    assert (tmp_path / "file").read_bytes() == idx_bytes(array)
    assert np.array_equal(idx.read(tmp_path / "file"), array)
