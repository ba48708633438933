"""The networks: parameter counts, seeds, penalties, and what it takes to add a kind of layer."""

from typing import Any

import numpy as np
import pytest
from pydantic import Field

from mnist_mlp import config
from mnist_mlp.config.layers import KINDS, Layer, parse
from tests.helpers.images import MNIST, make_splits
from tests.helpers.params import PARAMS
from tests.helpers.variants import make_variant

pytestmark = pytest.mark.usefixtures("quick_to_compile")

COUNTS = {  # by hand: a dense layer has (in + 1) x out, batch norm 4 a feature
    ("architectures", ("model1", "model2", "model3")): 785 * 512 + 513 * 128 + 129 * 64 + 65 * 10,
    ("architectures", ("model4", "model5", "model6", "model7")): 785 * 512 + 513 * 128 + 4 * 128 + 129 * 64 + 65 * 10,
    ("architectures", ("model8", "model9")): 785 * 512 + 513 * 128 + 129 * 10,
    ("techniques", ("none", "dropout", "l1", "l2")): 785 * 128 + 129 * 128 + 129 * 10,
    ("techniques", ("batchnorm", "batchnorm-l1", "batchnorm-l2")): 4 * 28 + 785 * 128 + 129 * 128 + 129 * 10,
    ("techniques", ("dropout-batchnorm",)): 4 * 784 + 785 * 128 + 129 * 128 + 129 * 10,
    ("penalties", ("l1-1e-5", "l1-1e-4", "l2-1e-4", "l2-1e-3")): 785 * 128 + 129 * 128 + 129 * 10,
    ("candidate", ("candidate",)): 785 * 512 + 513 * 128 + 129 * 10,
}


def expected_count(variant: config.Variant) -> int:
    kind = variant.name.removesuffix(f"-{variant.activation}")
    return next(count for (study, names), count in COUNTS.items() if study == variant.study and kind in names)


@pytest.fixture(scope="module")
def networks():
    from mnist_mlp.training import networks

    return networks


@pytest.mark.parametrize("variant", PARAMS.variants, ids=lambda v: v.label)
def test_parameter_counts_are_pinned(variant, networks):
    from mnist_mlp.training import compiled

    model = networks.build(variant, 0, *MNIST)
    assert networks.count_parameters(model) == model.count_params() == expected_count(variant)
    assert networks.count_parameters(compiled.networks.build(variant, 0, *MNIST)) == expected_count(variant)


def first_kernel(networks, name: str, seed: int) -> np.ndarray:
    return networks.build(PARAMS.variant("techniques", name), seed, *MNIST).get_layer("dense_1").kernel.numpy()


def test_weights_follow_from_the_seed(networks):
    kernel = first_kernel(networks, "none-relu", 3)
    assert np.array_equal(kernel, first_kernel(networks, "none-relu", 3))
    assert not np.array_equal(kernel, first_kernel(networks, "none-relu", 4))


def test_networks_share_the_first_weights_of_layers_of_the_same_shape(networks):
    kernels = [first_kernel(networks, name, 3) for name in ("none-relu", "dropout-batchnorm-tanh")]
    assert np.array_equal(*kernels)


def test_layers_of_one_network_have_weights_of_their_own(networks):
    model = networks.build(PARAMS.variant("techniques", "none-relu"), 3, *MNIST)
    assert not np.array_equal(*(model.get_layer(f"dense_{i}").kernel.numpy()[:128] for i in (1, 2)))


def test_glu_halves_a_layer_made_twice_as_wide(networks):
    model = networks.build(make_variant(layers=[{"dense": 6}], activation="glu"), 0, *MNIST)
    assert model.get_layer("dense_1").units == 12
    assert model.get_layer("probabilities").kernel.shape == (6, 10)


def test_image_size_and_classes_are_those_of_the_data(networks):
    model = networks.build(make_variant(layers=["batch_norm", "flatten", {"dense": 6}]), 0, (8, 5), 3)
    assert (model.input_shape, model.output_shape) == ((None, 8, 5), (None, 3))
    assert networks.count_parameters(model) == 4 * 5 + (8 * 5 + 1) * 6 + (6 + 1) * 3


def test_kernel_penalties_are_added_to_the_loss(networks):
    model = networks.build(make_variant(layers=[{"dense": {"units": 5, "l1": 0.5, "l2": 0.25}}]), 0, *MNIST)
    kernel = model.get_layer("dense_1").kernel.numpy().astype(float)
    assert float(sum(model.losses)) == pytest.approx(0.5 * np.abs(kernel).sum() + 0.25 * (kernel**2).sum(), rel=1e-5)


def test_every_kind_of_layer_has_a_maker(networks):
    assert KINDS.keys() == networks.MAKERS.keys()
    assert all(name == kind.kind for name, kind in KINDS.items())


def test_a_dense_layers_own_activation_counts(networks):
    own = {"dense": {"units": 5, "activation": "tanh"}}
    model = networks.build(make_variant(layers=[own, {"dense": 4}, {"activation": "softsign"}]), 0, *MNIST)
    assert [model.get_layer(f"dense_{i}").activation.__name__ for i in (1, 2)] == ["tanh", "relu"]
    assert model.get_layer("activation_1").activation.__name__ == "softsign"
    assert make_variant(layers=[own]).parameters()["layers"] == [own]
    assert make_variant(layers=[own]).describe() == "5 tanh"
    with pytest.raises(ValueError, match="activation: celu, elu"):
        parse({"activation": "glu"})


class GaussianDropout(Layer):
    """A kind of layer that the library hasn't: noise that multiplies."""

    kind = "gaussian_dropout"
    value = "deviation"
    deviation: float = Field(gt=0, le=10)


@pytest.fixture
def gaussian_dropout(networks, monkeypatch) -> dict[str, Any]:
    """Add the kind as a contributor would, in both places that know kinds. Return one layer's spelling."""

    def make(factory, layer, number):
        seed = factory.seed_of(1, number)
        return networks.keras.layers.GaussianDropout(layer.deviation, seed=seed, name=f"gaussian_dropout_{number}")

    monkeypatch.setitem(KINDS, "gaussian_dropout", GaussianDropout)
    monkeypatch.setitem(networks.MAKERS, "gaussian_dropout", make)
    return {"gaussian_dropout": 0.25}


def test_an_added_kind_is_parsed_spelled_and_described(gaussian_dropout):
    assert parse(gaussian_dropout) == GaussianDropout(deviation=0.25)
    variant = make_variant(layers=[gaussian_dropout, {"dense": 16}])
    assert variant.parameters()["layers"] == [gaussian_dropout, {"dense": 16}]
    assert variant.describe() == "gaussian dropout 0.25, 16"


def test_an_added_kinds_value_is_checked(gaussian_dropout):
    with pytest.raises(ValueError, match="gaussian_dropout: at most 10"):
        parse({"gaussian_dropout": 11})


def test_an_added_kind_is_built_and_trained(gaussian_dropout, networks):
    from mnist_mlp.training import trainer

    noisy = make_variant(layers=[gaussian_dropout, {"dense": 16}], seeds=[0])
    (replicate,) = trainer.train(noisy, make_splits(noisy))
    assert isinstance(replicate.model.get_layer("gaussian_dropout_1"), networks.keras.layers.GaussianDropout)
    (plain,) = trainer.train(make_variant(seeds=[0]), make_splits(noisy))
    assert np.isfinite(replicate.curve).all()
    assert not np.array_equal(replicate.curve, plain.curve)


def test_no_pixel_is_left_out_behind_a_kind_that_keeps_no_zeros(gaussian_dropout, networks):
    """A dark pixel's weights count and move if noise reaches it ahead of the first dense layer."""
    from mnist_mlp.training.compiled.epoch import pixels_for

    ahead, behind = ([gaussian_dropout, {"dense": 16}], [{"dense": 16}, gaussian_dropout])
    splits = make_splits(make_variant())
    assert pixels_for(make_variant(layers=ahead), splits) is None
    assert pixels_for(make_variant(layers=behind), splits) is not None
