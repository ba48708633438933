"""Checkpoints: read as they were written, or not at all."""

import numpy as np
import pytest

from mnist_mlp.training import checkpoints

ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.int64), np.array([1, 2], np.uint32)]


def test_arrays_are_read_as_they_were_written(tmp_path):
    checkpoints.write(tmp_path / "folder/seed-0.npz", ARRAYS)
    for read, written in zip(checkpoints.read(tmp_path / "folder/seed-0.npz"), ARRAYS, strict=True):
        assert read.dtype == written.dtype
        np.testing.assert_array_equal(read, written)


@pytest.mark.parametrize("kept", [0, 1, 100, -100, -1])
def test_a_torn_file_reads_as_no_arrays(tmp_path, kept):
    """A full disk or a power cut may leave one."""
    path = tmp_path / "seed-0.npz"
    checkpoints.write(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:kept])
    assert checkpoints.read(path) == []


def test_a_missing_file_reads_as_no_arrays(tmp_path):
    assert checkpoints.read(tmp_path / "seed-0.npz") == []
