"""Effects of techniques, activations and penalties over the grid."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from mnist_mlp import config
from mnist_mlp.evaluation import comparisons, effects
from tests.helpers.made_outputs import TWINS, drawn, read_predictions
from tests.helpers.params import PARAMS


def effects_of(root: Path, drop: set[str] = frozenset()) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return a made project's effects, without the variants to drop."""
    predictions, labels = read_predictions(root)
    kept = [one for one in predictions if one.variant.name not in drop]
    return effects.effects(config.load(root / "params.yaml"), comparisons.compare(kept, labels))


def test_effects_are_means_over_the_grid(evaluated):
    table, joint = effects_of(evaluated)
    mean = pd.read_csv(evaluated / "reports/variants.csv").set_index("variant")["test_accuracy"]
    averaged = table[table["within"].isna()].set_index("level")
    assert averaged.index.tolist() == ["batchnorm", "tanh"]  # l1 and l2 are none
    expected = (mean["batchnorm-relu"] + mean["batchnorm-tanh"] - mean["none-relu"] - mean["none-tanh"]) / 2
    assert averaged.loc["batchnorm", "difference"] == pytest.approx(expected, abs=1e-6)
    expected = (mean["batchnorm-tanh"] + mean["none-tanh"] - mean["batchnorm-relu"] - mean["none-relu"]) / 2
    assert averaged.loc["tanh", "difference"] == pytest.approx(expected, abs=1e-6)
    penalty = table[table["factor"] == "penalty"].iloc[0]
    assert (penalty["level"], penalty["reference"], penalty["within"]) == ("l2-1e-3", "none", "relu")
    assert penalty["difference"] == pytest.approx(mean["l2-1e-3-relu"] - mean["none-relu"], abs=1e-6)
    assert set(joint) == {"technique", "activation", "interaction"}


def test_twins_change_no_effect(evaluated):
    table, joint = effects_of(evaluated)
    again, joint_again = effects_of(evaluated, drop=set(TWINS))
    pd.testing.assert_frame_equal(table, again)
    assert joint == joint_again


def test_a_technique_that_lacks_an_activation_is_in_no_average(evaluated):
    table, joint = effects_of(evaluated, drop={"batchnorm-tanh"})
    assert "batchnorm" not in set(table["level"])
    assert "interaction" not in joint


def test_an_effect_that_is_there_is_found():
    """Techniques x activations with a technique worth a point and no effect of the activation."""
    names = {
        f"{t}-{a}": 0.96 + 0.01 * (t == "dropout") for t in ("none", "dropout") for a in ("relu", "tanh", "sigmoid")
    }
    made, labels = drawn(names | {"candidate": 0.97})
    for i, one in enumerate(made[:-1]):
        activation = one.variant.name.rpartition("-")[2]
        variant = one.variant.model_copy(update={"study": "techniques", "activation": activation})
        made[i] = dataclasses.replace(one, variant=variant)
    table, joint = effects.effects(PARAMS, comparisons.compare(made, labels))
    dropout = table[(table["level"] == "dropout") & table["within"].isna()].iloc[0]
    assert dropout["low"] < 0.01 < dropout["high"]
    assert dropout["p_holm"] < 0.001
    assert joint["technique"] < 0.001 < 0.05 < joint["activation"]
