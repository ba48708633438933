"""A variant's predictions, read."""

import numpy as np
import pytest

from mnist_mlp.errors import UserError
from mnist_mlp.evaluation import predictions
from tests.helpers.made_outputs import TWINS, read_predictions


@pytest.mark.parametrize("labels", [np.array([1, 2]), np.zeros((2, 2), np.uint8), np.array([], np.uint8)])
def test_labels_that_are_none_are_refused(labels, tmp_path):
    np.save(tmp_path / "test.npy", labels)
    with pytest.raises(UserError, match="allowed: uint8"):
        predictions.read_labels(tmp_path / "test.npy")


def test_the_likeliest_class_of_every_image_and_seed_is_predicted(evaluated):
    read, _ = read_predictions(evaluated)
    for one in read:
        probabilities = np.load(evaluated / one.variant.folder / "probabilities.npy")
        assert np.array_equal(one.predicted, probabilities.argmax(axis=2))
        assert np.array_equal(one.confidence, probabilities.max(axis=2))


def test_equal_probabilities_and_nothing_else_have_equal_fingerprints(evaluated):
    fingerprints = {one.variant.name: one.fingerprint for one in read_predictions(evaluated)[0]}
    assert all(fingerprints[name] == fingerprints[twin] for name, twin in TWINS.items())
    assert len(set(fingerprints.values())) == len(fingerprints) - len(TWINS)
