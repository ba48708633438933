"""The names that params.yaml may hold, against the installed Keras."""

import pytest

from mnist_mlp.config.choices import ACTIVATIONS, INITIALIZERS, OPTIMIZERS


def test_activations_are_those_of_keras():
    from mnist_mlp.training.backend import keras

    known = set(keras.src.activations.ALL_OBJECTS_DICT)
    assert set(ACTIVATIONS) == known - {"threshold"}  # which takes two arguments of its own


def test_optimizers_are_those_of_keras_but_for_those_left_out():
    from mnist_mlp.training.backend import keras

    every = {name.lower() for name in dir(keras.optimizers) if isinstance(getattr(keras.optimizers, name), type)}
    left_out = {"optimizer", "lossscaleoptimizer", "multioptimizer", "optimizermap", "adafactor", "lamb", "muon",
                "schedulefreeadamw"}  # fmt: skip
    assert set(OPTIMIZERS) == every - left_out


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_keras_own_and_so_is_its_default_learning_rate(name):
    from mnist_mlp.training.backend import keras

    optimizer = keras.optimizers.get(name)
    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == pytest.approx(OPTIMIZERS[name])


@pytest.mark.parametrize("name", INITIALIZERS)
def test_an_initializer_is_keras_own(name):
    from mnist_mlp.training.backend import keras

    assert isinstance(keras.initializers.get(name), keras.initializers.Initializer)
