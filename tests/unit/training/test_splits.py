"""The prepared arrays, split by a variant's protocol."""

import numpy as np
import pytest

from mnist_mlp.errors import UserError
from mnist_mlp.training import splits
from tests.helpers.images import digits
from tests.helpers.variants import make_variant


@pytest.fixture
def prepared(tmp_path):
    """Return a folder as preprocess leaves it, of 20 training and 10 test images."""
    for split, n in (("train", 20), ("test", 10)):
        for part, array in zip(("pixels", "labels"), digits(n), strict=True):
            (tmp_path / part).mkdir(exist_ok=True)
            np.save(tmp_path / part / f"{split}.npy", array)
    return tmp_path


def counts(loaded: splits.Splits) -> list[int]:
    parts = (loaded.train, loaded.validation, loaded.all_train, loaded.test)
    assert all(len(images) == len(labels) for images, labels in parts)
    return [len(images) for images, _ in parts]


def test_the_last_tenth_of_the_training_images_is_held_out(prepared):
    loaded = splits.load(make_variant(validation="held_out", batch_size=18), prepared)
    assert counts(loaded) == [18, 2, 20, 10]
    assert np.array_equal(loaded.validation[0], loaded.all_train[0][18:])


def test_the_test_images_validate_if_the_protocol_says_so(prepared):
    loaded = splits.load(make_variant(validation="test", batch_size=20), prepared)
    assert counts(loaded) == [20, 10, 20, 10]
    assert loaded.validation is loaded.test


def test_images_are_mapped_into_memory(prepared):
    assert isinstance(splits.load(make_variant(batch_size=1), prepared).train[0], np.memmap)


def test_a_batch_larger_than_the_training_set_is_refused(prepared):
    with pytest.raises(UserError, match="batch_size of candidate/candidate: found 19; allowed: at most 18"):
        splits.load(make_variant(validation="held_out", batch_size=19), prepared)


def test_missing_images_are_reported_in_one_line(tmp_path):
    with pytest.raises(UserError, match="run `dvc repro preprocess`") as error:
        splits.load(make_variant(), tmp_path)
    assert "\n" not in str(error.value)
