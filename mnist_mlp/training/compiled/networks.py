"""A variant's layers for the compiled epoch. They hold the same weights as Keras's own, by the same names."""

from typing import Any

from mnist_mlp.config.layers import ActivityL1, BatchNorm, Dense, Flatten, Layer
from mnist_mlp.config.studies import Training
from mnist_mlp.training.backend import keras
from mnist_mlp.training.compiled.layers import (
    FastActivityRegularization,
    FastBatchNorm,
    FastDense,
    FastDropout,
    NormalizedDense,
    SelectiveDense,
)
from mnist_mlp.training.compiled.pixels import Pixels
from mnist_mlp.training.networks import Factory, layers_of


class FastFactory(Factory):
    """Make the layers from those made for one compiled loop on the CPU.

    real: a model's input, 1 for each image of a batch, 0 for what fills the batch up and is to count in nothing."""

    Dense, Dropout = FastDense, FastDropout
    BatchNormalization, ActivityRegularization = FastBatchNorm, FastActivityRegularization

    def __init__(self, network: Training, seed: int, classes: int, real: Any):
        super().__init__(network, seed, classes)
        self.real = real

    def apply(self, layer: Layer, x: Any) -> Any:
        """Return what the next layer makes of x, [n, ...]."""
        if isinstance(layer, BatchNorm | ActivityL1):
            return self.make(layer)(x, self.real)
        return super().apply(layer, x)


def build(
    network: Training, seed: int, image: tuple[int, int], classes: int, pixels: Pixels | None = None
) -> keras.Model:
    """Return a model that takes a list: scaled images, float32 [n, *image], or what `pixels.packed` gives; and for each
    image 1, or 0 if it only fills a batch up, float32 [n].

    With `pixels`, the first dense layer's weights are to be set, not initialized."""
    images = x = keras.Input(image if pixels is None else (pixels.width,), name="images")
    lit = []  # of the rare pixels: how many, and which
    if pixels is not None and pixels.rare:
        lit = [keras.Input((), dtype="int32"), keras.Input((pixels.most,), dtype="uint16")]
    real = keras.Input((), name="real")
    factory, fused = FastFactory(network, seed, classes, real), normalized(network)
    norm: keras.layers.Layer | None = None  # the batch normalization that waits for the first dense layer
    for layer in layers_of(network):
        first = "dense" not in factory.counts
        if isinstance(layer, Dense) and first:
            x, norm = factory.activate(layer, _first(factory.make(layer), norm, pixels, [x, *lit], real)), None
        elif isinstance(layer, BatchNorm) and first and fused:
            norm = factory.make(layer)
        elif not (isinstance(layer, Flatten) and norm):
            x = factory.apply(layer, x)
    return keras.Model([images, *lit, real], factory.output()(x), name="mlp")


def normalized(network: Training) -> bool:
    """Return whether one batch normalization, right before the first dense layer, is computed together with it."""
    kinds = [layer.kind for layer in network.layers if layer.kind != "flatten"]
    ahead = kinds[: kinds.index("dense")]
    return ahead[-1:] == ["batch_norm"] and ahead.count("batch_norm") == 1


def _first(dense: Any, norm: Any, pixels: Pixels | None, inputs: list[Any], real: Any) -> Any:
    """Return what the first dense layer makes of its inputs."""
    if pixels is not None and len(inputs) > 1:
        dense = SelectiveDense(dense, pixels, name=dense.name)
    if norm:
        return NormalizedDense(norm, dense, pixels)(inputs, real)
    return dense(inputs[0] if isinstance(dense, keras.layers.Dense) else inputs)
