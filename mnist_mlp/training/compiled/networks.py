"""A variant's layers for the compiled epoch. They hold the same weights as Keras's own, by the same names."""

from typing import Any

from mnist_mlp.config.layers import BatchNorm, Dense, Flatten
from mnist_mlp.config.studies import Training
from mnist_mlp.training.backend import keras
from mnist_mlp.training.compiled.layers import (
    FastBatchNorm,
    FastDense,
    FastDropout,
    NormalizedDense,
    SelectiveDense,
)
from mnist_mlp.training.compiled.pixels import Pixels
from mnist_mlp.training.networks import Factory, layers_of


class FastFactory(Factory):
    """Make the layers from those made for one compiled loop on the CPU."""

    Dense, Dropout, BatchNormalization = FastDense, FastDropout, FastBatchNorm


def build(
    network: Training, seed: int, image: tuple[int, int], classes: int, pixels: Pixels | None = None
) -> keras.Model:
    """Return a model that takes a list: scaled images, float32 [n, *image], or what `pixels.packed` gives.

    With `pixels`, the first dense layer's weights are to be set, not initialized."""
    images = x = keras.Input(image if pixels is None else (pixels.width,), name="images")
    lit = []  # of the rare pixels: how many, and which
    if pixels is not None and pixels.rare:
        lit = [keras.Input((), dtype="int32"), keras.Input((pixels.most,), dtype="uint16")]
    factory, fused = FastFactory(network, seed, classes), normalized(network)
    norm: keras.layers.Layer | None = None  # the batch normalization that waits for the first dense layer
    for layer in layers_of(network):
        first = "dense" not in factory.counts
        if isinstance(layer, Dense) and first:
            x, norm = factory.activate(layer, _first(factory.make(layer), norm, pixels, [x, *lit])), None
        elif isinstance(layer, BatchNorm) and first and fused:
            norm = factory.make(layer)
        elif not (isinstance(layer, Flatten) and norm):
            x = factory.apply(layer, x)
    return keras.Model([images, *lit], factory.output()(x), name="mlp")


def normalized(network: Training) -> bool:
    """Return whether one batch normalization, right before the first dense layer, is computed together with it."""
    kinds = [layer.kind for layer in network.layers if layer.kind != "flatten"]
    ahead = kinds[: kinds.index("dense")]
    return ahead[-1:] == ["batch_norm"] and ahead.count("batch_norm") == 1


def _first(dense: Any, norm: Any, pixels: Pixels | None, inputs: list[Any]) -> Any:
    """Return what the first dense layer makes of its inputs."""
    if pixels is not None and len(inputs) > 1:
        dense = SelectiveDense(dense, pixels, name=dense.name)
    if norm:
        dense = NormalizedDense(norm, dense, pixels)
    return dense(inputs[0] if isinstance(dense, keras.layers.Dense) else inputs)
