"""A variant's layers -> a Keras model.

Built `fast` for training, from layers made for one compiled loop on the CPU, or plain, from Keras's own layers
alone, so that a saved model loads wherever Keras is. Both hold the same weights, whose paths end in the same two names.
"""

import numpy as np

from mnist_mlp.config import ActivityPenalty, BatchNorm, Dense, Dropout, Network
from mnist_mlp.training.backend import keras
from mnist_mlp.training.layers import FastBatchNorm, FastDense, FastDropout, NormalizedDense, SelectiveDense
from mnist_mlp.training.pixels import SIDE, Pixels

IMAGE = (SIDE, SIDE)
CLASSES = 10


def build(network: Network, seed: int, fast: bool = False, pixels: Pixels | None = None) -> keras.Model:
    """A model from scaled images, float32 [n, 28, 28], to class probabilities, float32 [n, 10].

    Weights and dropout follow from `seed` alone. The i-th dense layer starts from the same weights in every network in
    which it has the same shape, so that variants are compared from the same start. A fast one takes a list: the images
    or, where `pixels` are given, what `pixels.packed` gives; its first dense layer's weights are then to be set, not
    initialized.
    """
    images = x = keras.Input(IMAGE if pixels is None else (pixels.width,), name="images")
    lit = []  # of the rare pixels: how many, and which
    if pixels is not None and pixels.rare:
        lit = [keras.Input((), dtype="int32"), keras.Input((pixels.most,), dtype="uint16")]
    if not any(layer.kind == "flatten" for layer in network.layers):
        x = keras.layers.Flatten(name="flatten")(x)
    counts: dict[str, int] = {}
    together, norm = fast and normalized(network), None  # the batch normalization that waits for the first dense layer
    for layer in network.layers:
        counts[layer.kind] = number = counts.get(layer.kind, 0) + 1
        name = f"{layer.kind}_{number}"
        if isinstance(layer, Dense):
            dense = _dense(FastDense if fast else keras.layers.Dense, layer, network, seed, number)
            if lit and number == 1:
                dense = SelectiveDense(dense, pixels, name=name)
            dense = NormalizedDense(norm, dense, pixels) if norm else dense
            x, norm = dense(x if isinstance(dense, keras.layers.Dense) else [x, *lit]), None
            x = keras.activations.glu(x) if network.activation == "glu" else x
        elif isinstance(layer, Dropout):
            own_seed = _seed(seed, 1, number)
            x = (FastDropout if fast else keras.layers.Dropout)(layer.rate, seed=own_seed, name=name)(x)
        elif isinstance(layer, BatchNorm):
            layer = (FastBatchNorm if fast else keras.layers.BatchNormalization)(name=name)
            if together and "dense" not in counts:
                norm = layer
            else:
                x = layer(x)
        elif isinstance(layer, ActivityPenalty):
            penalty = layer.kind.removeprefix("activity_")
            x = keras.layers.ActivityRegularization(**{penalty: layer.weight}, name=name)(x)
        elif not norm:
            x = keras.layers.Flatten(name="flatten")(x)
    kernel = _initializer(network.initializer, seed, counts["dense"] + 1)
    outputs = keras.layers.Dense(CLASSES, "softmax", kernel_initializer=kernel, name="probabilities")(x)
    return keras.Model([images, *lit] if fast else images, outputs, name="mlp")


def normalized(network: Network) -> bool:
    """Whether one batch normalization, right before the first dense layer, is computed together with it."""
    kinds = [layer.kind for layer in network.layers if layer.kind != "flatten"]
    ahead = kinds[: kinds.index("dense")]
    return ahead[-1:] == ["batch_norm"] and ahead.count("batch_norm") == 1


def count_parameters(model: keras.Model) -> int:
    """Weights and batch norm's moving statistics, as Keras's `summary` counts them; dropout has none."""
    return sum(int(np.prod(weight.shape)) for weight in model.weights if not weight.path.endswith("/seed_and_step"))


def _dense(made: type, layer: Dense, network: Network, seed: int, number: int) -> keras.layers.Dense:
    gated = network.activation == "glu"  # halves its input: the layer is made twice as wide
    return made(
        layer.units * (2 if gated else 1),
        None if gated else network.activation,
        kernel_initializer=_initializer(network.initializer, seed, number),
        kernel_regularizer=keras.regularizers.L1L2(layer.l1, layer.l2) if layer.l1 or layer.l2 else None,
        name=f"dense_{number}",
    )


def _initializer(name: str, seed: int, number: int) -> keras.initializers.Initializer:
    return keras.initializers.get({"class_name": name, "config": {"seed": _seed(seed, 0, number)}})


def _seed(*path: int) -> int:
    return int(np.random.SeedSequence(path).generate_state(1)[0])
