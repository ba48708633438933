"""What the notebooks ran, and which variants of params.yaml are still that."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mnist_mlp import paths
from mnist_mlp.config import Params, Study, Variant
from mnist_mlp.errors import UserError

DATASET = "mnist"  # the data set that the published figures are of


def same_data(params: Params, dataset: str, definitions: Path = paths.NOTEBOOKS) -> bool:
    """Return whether a data set, by its name, is the notebooks'."""
    if dataset != DATASET:
        return False
    return {name: file.sha256 for name, file in params.datasets[dataset].files.items()} == _read(definitions)["data"]


def changed(params: Params, definitions: Path = paths.NOTEBOOKS) -> dict[tuple[str, str], list[str]]:
    """Return by study and variant, of those that a notebook has, the keys in which params.yaml differs from it.

    Seeds don't count: the notebooks' are unknown."""
    keys = {}
    defined = {(variant.study, variant.name): _settings(variant) for variant in _variants(_read(definitions))}
    for variant in params.variants:
        if then := defined.get((variant.study, variant.name)):
            keys[variant.study, variant.name] = [key for key, value in _settings(variant).items() if value != then[key]]
    return keys


def _settings(variant: Variant) -> dict[str, Any]:
    return {key: value for key, value in variant.parameters().items() if key != "seeds"}


def _variants(read: dict[str, Any]) -> list[Variant]:
    variants: list[Variant] = []
    for study, body in read.items():
        if study != "data":
            protocol = body["protocol"] | {"seeds": [0]}
            variants += Study.model_validate(body | {"protocol": protocol}).resolve(study)
    return variants


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path}: not found; it is in git: run `git checkout {path}`")
    read: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return read
