"""A variant's layers -> a Keras model, from Keras's own layers: a saved model loads wherever Keras is.

A new kind of layer is a class in config/layers.py and a function here, in MAKERS.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from mnist_mlp.config.layers import ActivityL1, Dense, Flatten, Layer
from mnist_mlp.config.studies import Training
from mnist_mlp.training.backend import keras


class Factory:
    """Make a network's layers, in their order.

    Weights and dropout follow from the replicate's seed alone. The i-th dense layer starts from the same weights in
    every network in which it has the same shape, so that variants are compared from the same start."""

    Dense: type[keras.layers.Dense] = keras.layers.Dense
    Dropout: type[keras.layers.Layer] = keras.layers.Dropout
    BatchNormalization: type[keras.layers.Layer] = keras.layers.BatchNormalization
    ActivityRegularization: type[keras.layers.Layer] = keras.layers.ActivityRegularization

    def __init__(self, network: Training, seed: int, classes: int):
        self.network, self.seed, self.classes = network, seed, classes
        self.counts: Counter[str] = Counter()

    def make(self, layer: Layer) -> keras.layers.Layer:
        """Return the next layer."""
        self.counts[layer.kind] += 1
        return MAKERS[layer.kind](self, layer, self.counts[layer.kind])

    def apply(self, layer: Layer, x: Any) -> Any:
        """Return what the next layer makes of x."""
        return self.activate(layer, self.make(layer)(x))

    def activate(self, layer: Layer, x: Any) -> Any:
        """Return x behind an activation that no dense layer can hold: glu, which halves its input."""
        return keras.activations.glu(x) if self.activation_of(layer) == "glu" else x

    def activation_of(self, layer: Layer) -> str | None:
        """Return a dense layer's own activation, or else the network's; None of other layers."""
        return (layer.activation or self.network.activation) if isinstance(layer, Dense) else None

    def output(self) -> keras.layers.Layer:
        """Return the last layer: class probabilities."""
        kernel = self.initializer(self.counts["dense"] + 1)
        return keras.layers.Dense(self.classes, "softmax", kernel_initializer=kernel, name="probabilities")

    def initializer(self, number: int) -> keras.initializers.Initializer:
        """Return the initializer of the dense layer of this number, from 1."""
        config = {"seed": self.seed_of(0, number)}
        return keras.initializers.get({"class_name": self.network.initializer, "config": config})

    def seed_of(self, purpose: int, number: int) -> int:
        """Return a layer's own seed. purpose: 0 for weights, 1 for dropout, 2 for noise."""
        return int(np.random.SeedSequence((self.seed, purpose, number)).generate_state(1)[0])


def _dense(factory: Factory, layer: Any, number: int) -> keras.layers.Layer:
    activation = factory.activation_of(layer)
    gated = activation == "glu"  # halves its input: the layer is made twice as wide
    return factory.Dense(
        layer.units * (2 if gated else 1),
        None if gated else activation,
        kernel_initializer=factory.initializer(number),
        kernel_regularizer=keras.regularizers.L1L2(layer.l1, layer.l2) if layer.penalties else None,
        name=f"dense_{number}",
    )


def _dropout(factory: Factory, layer: Any, number: int) -> keras.layers.Layer:
    return factory.Dropout(layer.rate, seed=factory.seed_of(1, number), name=f"dropout_{number}")


def _gaussian_noise(factory: Factory, layer: Any, number: int) -> keras.layers.Layer:
    return keras.layers.GaussianNoise(layer.stddev, seed=factory.seed_of(2, number), name=f"gaussian_noise_{number}")


def _batch_norm(factory: Factory, layer: Any, number: int) -> keras.layers.Layer:
    return factory.BatchNormalization(name=f"batch_norm_{number}")


def _layer_norm(factory: Factory, layer: Any, number: int) -> keras.layers.Layer:
    return keras.layers.LayerNormalization(name=f"layer_norm_{number}")


def _activation(factory: Factory, layer: Any, number: int) -> keras.layers.Layer:
    return keras.layers.Activation(layer.name, name=f"activation_{number}")


def _flatten(factory: Factory, layer: Any, number: int) -> keras.layers.Layer:
    return keras.layers.Flatten(name="flatten")


def _activity_l1(factory: Factory, layer: Any, number: int) -> keras.layers.Layer:
    return factory.ActivityRegularization(l1=layer.weight, name=f"activity_l1_{number}")


def _activity_l2(factory: Factory, layer: Any, number: int) -> keras.layers.Layer:
    return factory.ActivityRegularization(l2=layer.weight, name=f"activity_l2_{number}")


MAKERS: dict[str, Callable[[Factory, Any, int], keras.layers.Layer]] = {
    "dense": _dense, "dropout": _dropout, "gaussian_noise": _gaussian_noise, "batch_norm": _batch_norm,
    "layer_norm": _layer_norm, "activation": _activation, "flatten": _flatten,
    "activity_l1": _activity_l1, "activity_l2": _activity_l2,
}  # fmt: skip


def layers_of(network: Training) -> tuple[Layer, ...]:
    """Return the layers of a network; the image is flattened first, unless `flatten` stands further down."""
    flattens = any(isinstance(layer, Flatten) for layer in network.layers)
    return network.layers if flattens else (Flatten(), *network.layers)


def input_penalties(network: Training) -> tuple[Layer, ...]:
    """Return the penalties on the input that no weight depends on: the network without them trains to the same bits.

    None if the network has other penalties too, or if a layer follows in whose company XLA may sum them otherwise than
    alone (see compiled/penalties.py)."""
    first = tuple(itertools.takewhile(lambda layer: isinstance(layer, ActivityL1), network.layers))
    rest = network.layers[len(first) :]
    penalized = any(isinstance(layer, ActivityL1) or (isinstance(layer, Dense) and layer.penalties) for layer in rest)
    kinds = [layer.kind for layer in rest]
    alone = kinds[:1] == ["dense"] or kinds[:3] == ["batch_norm", "flatten", "dense"]
    return first if alone and not penalized else ()


def build(network: Training, seed: int, image: tuple[int, int], classes: int) -> keras.Model:
    """Return a model from scaled images, float32 [n, *image], to class probabilities, float32 [n, classes]."""
    factory = Factory(network, seed, classes)
    images = x = keras.Input(image, name="images")
    for layer in layers_of(network):
        x = factory.apply(layer, x)
    return keras.Model(images, factory.output()(x), name="mlp")


def count_parameters(model: keras.Model) -> int:
    """Return the number of weights and of batch norm's moving statistics, as Keras's `summary` counts them."""
    return sum(int(np.prod(weight.shape)) for weight in model.weights if not weight.path.endswith("/seed_and_step"))


def weight_key(weight: keras.Variable) -> str:
    """Return a weight's layer and name, the same in all models of a variant."""
    return "/".join(weight.path.split("/")[-2:])
