"""Variants: resolved from a study's protocol and their own network; nothing is left to a default in code."""

import re
from itertools import product
from typing import Any

import pytest

from mnist_mlp import config, paths
from mnist_mlp.config.layers import Model
from mnist_mlp.config.params import stage_name
from mnist_mlp.errors import UserError
from tests.helpers.params import PARAMS, ROOT
from tests.helpers.variants import make_variant


def subclasses(model: type[Model]) -> list[type[Model]]:
    """Return the library's models below this one."""
    return [each for child in model.__subclasses__() for each in (child, *subclasses(child))
            if each.__module__.startswith("mnist_mlp.")]  # fmt: skip


def test_no_model_has_a_default_for_a_value_that_bytes_follow_from():
    """What a variant may set of its own may be absent: the study has it. A penalty that is absent is none."""
    models = {model.__name__: model for model in subclasses(Model)}
    assert {"Params", "Study", "Protocol", "Training", "Variant", "Network", "DataSource", "Dropout"} <= set(models)
    optional = {
        f"{name}.{field}": info.get_default(call_default_factory=True)
        for name, model in models.items()
        for field, info in model.model_fields.items()
        if not info.is_required() and name not in ("Network", "Level")
    }
    assert optional == {
        "Dense.l1": 0.0, "Dense.l2": 0.0, "Dense.activation": None, "Variant.levels": {}, "Study.variants": None,
        "Study.network": config.Network(), "Study.factors": {}, "Study.reference": None,
    }  # fmt: skip
    assert set(models["Level"]().model_dump().values()) == {None}


def study_of(**changes: Any) -> config.Study:
    """Return the shipped `techniques` with changes."""
    return config.Study.model_validate(PARAMS.studies["techniques"].model_dump(exclude_none=True) | changes)


def resolved(**changes: Any) -> dict[str, config.Variant]:
    """Return the variants of the shipped `techniques` with changes, by name."""
    return {variant.name: variant for variant in study_of(**changes).resolve("techniques")}


def test_a_networks_own_settings_take_the_protocols_place():
    own = {"learning_rate": 0.5, "initializer": "he_normal", "batch_size": 7, "epochs": 3, "scaling": "pixels"}
    network = {"activation": "relu", "optimizer": "sgd", "layers": [{"dense": 4}]}
    variants = resolved(factors={}, network={}, variants={"plain": network, "own": network | own})
    assert (variants["plain"].learning_rate, variants["plain"].initializer) == ("default", "glorot_uniform")
    assert variants["own"] == variants["plain"].model_copy(update=own | {"name": "own"})


def test_a_grid_has_each_level_of_each_factor_with_each_of_the_others():
    factors = {
        "width": {"narrow": {}, "wide": {"layers": [{"dense": 256}]}},
        "noise": {"none": {}, "dropout": {"ahead": [{"dropout": 0.2}], "l2": 0.01}},
        "learning_rate": [0.001, 0.01],
    }
    variants = resolved(network={"activation": "relu", "optimizer": "adam", "layers": [{"dense": 8}]}, factors=factors)
    names = ["-".join(levels) for levels in product(("narrow", "wide"), ("none", "dropout"), ("0.001", "0.01"))]
    assert list(variants) == names
    assert variants["narrow-none-0.001"].describe() == "8"
    assert variants["wide-dropout-0.01"].describe() == "dropout 0.2, 256 l2 0.01"
    assert variants["wide-dropout-0.01"].learning_rate == 0.01
    assert variants["wide-dropout-0.01"].levels == {"width": "wide", "noise": "dropout", "learning_rate": "0.01"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"variants": {"a": {}}}, "`protocol` and either `variants` or `factors`"),
        ({"factors": {}}, "`protocol` and either `variants` or `factors`"),
        ({"factors": {"activation": ["relu", "relu"]}}, "distinct values of activation"),
        ({"factors": {"technique": {"a.b": {}}}}, "names of a-z, 0-9, _ and -, at most 100 signs, unlike 'a.b'"),
        ({"factors": {"colour": ["red"]}}, "colour"),
        ({"factors": {"x": {"a": {}, "a-b": {}}, "y": {"b-c": {}, "c": {}}}}, "distinct variants, unlike 'a-b-c'"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(changes, line):
    with pytest.raises(ValueError, match=re.escape(line)):
        study_of(**changes)


@pytest.mark.parametrize(
    ("network", "line"),
    [
        ({"optimizer": "adam"}, "techniques: variant none-relu: layers: missing"),
        (
            {"optimizer": "adam", "layers": ["batch_norm"]},
            "techniques: variant none-relu: layers: found ['batch_norm']; allowed",
        ),
        ({"layers": [{"dense": 8}]}, "techniques: variant none-relu: optimizer: missing"),
    ],
)
def test_a_variant_that_is_none_is_refused(network, line):
    with pytest.raises(UserError, match=re.escape(line)):
        resolved(network=network)


def test_the_names_are_those_that_dvcs_matrix_gives(monkeypatch):
    monkeypatch.chdir(ROOT)
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo:
        stages = {stage.name for stage in repo.index.stages}
    users = config.load(ROOT / paths.PARAMS)
    assert {stage_name(variant) for variant in users.variants} == {name for name in stages if name.startswith("train-")}


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
