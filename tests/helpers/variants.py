"""Variants and params.yaml contents with changes of a test's own."""

from itertools import product
from typing import Any

from ruamel.yaml import YAML

from mnist_mlp import config
from mnist_mlp.config.params import CANDIDATE
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
    shrink(params, {"architectures": ["model1"], "techniques": [["none"], ["relu"]],
                    "penalties": [["l1-1e-5"], ["relu"]]})  # fmt: skip
    return params


def shrink(params: dict[str, Any], kept: dict[str, list[Any]]) -> None:
    """Keep some variants of each study: these names, or of a grid these levels of each factor, in order."""
    for study, names in kept.items():
        body = params[study]
        if "variants" in body:
            body["variants"] = {name: body["variants"][name] for name in names}
            continue
        for (factor, levels), some in zip(body["factors"].items(), names, strict=True):
            body["factors"][factor] = list(some) if isinstance(levels, list) else {name: levels[name] for name in some}


def names_of(kept: dict[str, list[Any]]) -> list[tuple[str, str]]:
    """Return the study and the name of each variant that `shrink` keeps."""
    grids = {study: product(*names) if isinstance(names[0], list) else [(n,) for n in names]
             for study, names in kept.items()}  # fmt: skip
    return [(study, "-".join(levels)) for study, grid in grids.items() for levels in grid]


def remove(params: dict[str, Any], study: str, name: str) -> None:
    """Take a variant away: of a grid, its level of the first factor."""
    body = params[study]
    if "variants" in body:
        del body["variants"][name]
    else:
        levels = next(iter(body["factors"].values()))
        del levels[next(level for level in levels if name.startswith(f"{level}-"))]
