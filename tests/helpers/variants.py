"""Variants and params.yaml contents with changes of a test's own."""

from typing import Any

from ruamel.yaml import YAML

from mnist_mlp import config
from mnist_mlp.config.params import CANDIDATE, STAGES
from tests.helpers.params import PARAMS_FILE


def make_variant(**changes: Any) -> config.Variant:
    """Return a small variant named candidate/candidate: one dense layer, two epochs, seeds 0 and 1."""
    values = {
        "study": CANDIDATE, "name": CANDIDATE, "layers": [{"dense": 16}], "activation": "relu", "optimizer": "adam",
        "learning_rate": "default", "initializer": "glorot_uniform", "scaling": "pixels", "validation": "test",
        "batch_size": 32, "epochs": 2, "train_metrics": "last_epoch", "seeds": [0, 1],
    }  # fmt: skip
    return config.Variant(**values | changes)


def short_params() -> dict[str, Any]:
    """Return the shipped params.yaml as mappings and lists, with the first variant alone of each study."""
    params = YAML(typ="safe", pure=True).load(PARAMS_FILE.read_text(encoding="utf-8"))
    for study in STAGES:
        params[study]["variants"] = dict(list(params[study]["variants"].items())[:1])
    return params
