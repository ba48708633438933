"""Variants: resolved from a study's protocol and their own network; nothing is left to a default in code."""

from mnist_mlp import config
from mnist_mlp.config.layers import Model
from tests.helpers.params import PARAMS
from tests.helpers.variants import make_variant


def subclasses(model: type[Model]) -> list[type[Model]]:
    """Return the library's models below this one."""
    return [each for child in model.__subclasses__() for each in (child, *subclasses(child))
            if each.__module__.startswith("mnist_mlp.")]  # fmt: skip


def test_no_model_has_a_default_for_a_value_that_bytes_follow_from():
    """Two keys of a network may be absent: the protocol has them. A penalty that is absent is none."""
    models = {model.__name__: model for model in subclasses(Model)}
    assert {"Params", "Study", "Protocol", "Training", "Variant", "Network", "DataSource", "Dropout"} <= set(models)
    optional = {
        f"{name}.{field}": info.get_default(call_default_factory=True)
        for name, model in models.items()
        for field, info in model.model_fields.items()
        if not info.is_required()
    }
    assert optional == {
        "Network.learning_rate": None, "Network.initializer": None, "Dense.l1": 0.0, "Dense.l2": 0.0,
    }  # fmt: skip


def test_a_networks_learning_rate_and_initializer_take_the_protocols_place():
    protocol = dict(PARAMS.architectures.protocol)
    plain = dict(PARAMS.architectures.variants["model1"])
    own = {"learning_rate": 0.5, "initializer": "he_normal"}
    before, after = (config.Variant.of("architectures", "model1", protocol, plain | part) for part in ({}, own))
    assert (before.learning_rate, before.initializer) == ("default", "glorot_uniform")
    assert after == before.model_copy(update=own)


def test_seeds_are_sorted():
    assert make_variant(seeds=[5, 3]) == make_variant(seeds=[3, 5])


def test_parameters_are_spelled_as_in_params_yaml():
    parameters = PARAMS.variant("techniques", "batchnorm-l2-tanh").parameters()
    assert parameters == {
        "scaling": "unit_columns", "validation": "held_out", "batch_size": 32, "epochs": 12, "learning_rate": "default",
        "initializer": "glorot_uniform", "train_metrics": "finished_model", "seeds": [0, 1],
        "layers": [{"activity_l2": 0.01}, "batch_norm", "flatten", {"dense": 128}, {"dense": 128}],
        "activation": "tanh", "optimizer": "adam",
    }  # fmt: skip


def test_a_variant_is_described_by_its_layers():
    layers = ["batch_norm", "flatten", {"dense": {"units": 512, "l2": 1e-4}}, {"dropout": 0.25}, {"dense": 128}]
    assert make_variant(layers=layers).describe() == "batch norm, flatten, 512 l2 0.0001, dropout 0.25, 128"
