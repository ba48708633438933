"""Effects of the factors of a study over its grid."""

import dataclasses
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mnist_mlp import config
from mnist_mlp.evaluation import comparisons, effects
from tests.helpers.made_outputs import drawn, read_predictions
from tests.helpers.params import PARAMS

Joint = dict[str, dict[str, tuple[float, float]]]


def effects_of(root: Path, edit: Callable[[dict[str, Any]], object] = lambda raw: None) -> tuple[pd.DataFrame, Joint]:
    """Return a made project's effects by its params.yaml as edited."""
    raw = json.loads((root / "params.yaml").read_text())
    edit(raw)
    params = config.Params.model_validate(raw)
    everything, labels = read_predictions(root)
    keys = {(variant.study, variant.name) for variant in params.variants}
    kept = [one for one in everything if (one.variant.study, one.variant.name) in keys]
    return effects.effects(params, comparisons.compare(kept, labels))


def test_effects_are_means_over_the_grid(evaluated):
    table, joint = effects_of(evaluated)
    mean = pd.read_csv(evaluated / "reports/variants.csv").set_index("variant")["test_accuracy"]
    averaged = table[table["within"].isna()].set_index(["study", "level"])
    assert averaged.index.tolist() == [("techniques", "batchnorm"), ("techniques", "tanh"), ("penalties", "l2-1e-3")]
    expected = (mean["batchnorm-relu"] + mean["batchnorm-tanh"] - mean["none-relu"] - mean["none-tanh"]) / 2
    assert averaged.loc[("techniques", "batchnorm"), "difference"] == pytest.approx(expected, abs=1e-6)
    expected = (mean["batchnorm-tanh"] + mean["none-tanh"] - mean["batchnorm-relu"] - mean["none-relu"]) / 2
    assert averaged.loc[("techniques", "tanh"), "difference"] == pytest.approx(expected, abs=1e-6)
    assert averaged["reference"].tolist() == ["none", "relu", "none"]  # l1 and l2 are none; penalties borrows it
    expected = mean["l2-1e-3-relu"] - mean["none-relu"]
    assert averaged.loc[("penalties", "l2-1e-3"), "difference"] == pytest.approx(expected, abs=1e-6)
    within = table[table["within"].notna()].set_index(["level", "within"])["difference"]
    assert within.index.tolist() == [
        ("batchnorm", "relu"),
        ("batchnorm", "tanh"),
        ("tanh", "none"),
        ("tanh", "batchnorm"),
    ]
    assert within["tanh", "batchnorm"] == pytest.approx(mean["batchnorm-tanh"] - mean["batchnorm-relu"], abs=1e-6)
    assert {study: list(p) for study, p in joint.items()} == {
        "techniques": ["technique", "activation", "technique x activation"], "penalties": ["penalty"],
    }  # fmt: skip


def test_twins_change_no_effect(evaluated):
    table, joint = effects_of(evaluated)
    again, joint_again = effects_of(
        evaluated, lambda raw: [raw["techniques"]["factors"]["technique"].pop(name) for name in ("l1", "l2")]
    )
    pd.testing.assert_frame_equal(table, again)
    assert joint == joint_again


@pytest.mark.parametrize(
    "edit",
    [
        lambda raw: raw.pop("techniques"),
        lambda raw: raw["penalties"]["protocol"].update(batch_size=7),
        lambda raw: raw["penalties"].pop("reference"),
        lambda raw: raw["penalties"].update(reference="techniques/nothing"),
    ],
)
def test_without_a_reference_that_can_be_compared_the_first_level_is_it(edit, evaluated):
    table, joint = effects_of(evaluated, edit)
    assert "penalties" not in set(table["study"])  # of one level
    assert joint["penalties"] == {}


def test_three_factors_have_effects_over_the_others_and_interactions_by_two():
    """Which of 2 x 2 x 3 cells have a point more: those of the second level of the first factor."""
    levels = {"a": ["a0", "a1"], "b": ["b0", "b1"], "c": ["c0", "c1", "c2"]}
    names = ["-".join(each) for each in product(*levels.values())]
    made, labels = drawn({name: 0.96 + 0.01 * ("a1" in name) for name in names} | {"candidate": 0.97})
    for i, one in enumerate(made[:-1]):
        made[i] = dataclasses.replace(one, variant=one.variant.model_copy(update={"study": "sweep"}))
    study = PARAMS.studies["techniques"].model_dump(exclude_none=True, mode="json")
    study["network"]["activation"] = "relu"
    study["factors"] = {factor: {name: {} for name in each} for factor, each in levels.items()}
    raw = PARAMS.model_dump(mode="json", exclude={"architectures", "techniques", "penalties"})
    table, joint = effects.effects(
        config.Params.model_validate(raw | {"sweep": study}), comparisons.compare(made, labels)
    )
    averaged = table[table["within"].isna()]
    assert averaged["level"].tolist() == ["a1", "b1", "c1", "c2"]
    assert (averaged["p_family"] < 0.001).tolist() == [True, False, False, False]
    assert averaged.iloc[0]["low"] < 0.01 < averaged.iloc[0]["high"]
    within = table[(table["factor"] == "a") & table["within"].notna()]
    assert within["within"].tolist() == ["-".join(each) for each in product(levels["b"], levels["c"])]
    assert within["difference"].mean() == pytest.approx(averaged.iloc[0]["difference"])
    assert list(joint["sweep"]) == ["a", "b", "c", "a x b", "a x c", "b x c"]
    assert joint["sweep"]["a"][0] < 0.001 < 0.01 < min(p for name, (p, _) in joint["sweep"].items() if name != "a")


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
    raw = PARAMS.model_dump(mode="json", exclude={"architectures", "penalties"})
    factors = raw["techniques"]["factors"]
    factors["technique"] = {name: factors["technique"][name] for name in ("none", "dropout")}
    factors["activation"].pop("leaky_relu")
    table, joint = effects.effects(config.Params.model_validate(raw), comparisons.compare(made, labels))
    dropout = table[(table["level"] == "dropout") & table["within"].isna()].iloc[0]
    assert dropout["low"] < 0.01 < dropout["high"]
    assert dropout["p_family"] < 0.001
    assert joint["techniques"]["technique"][0] < 0.001 < 0.05 < joint["techniques"]["activation"][0]
