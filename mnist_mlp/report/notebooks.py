"""What the notebooks ran and reported, and which variants of params.yaml are still that."""

from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from mnist_mlp import files, paths
from mnist_mlp.config import Params, Study, Variant
from mnist_mlp.errors import UserError

DATASET = "mnist"  # the data set that the published figures are of
ACCURACY, LOSS = (0, 1, "from 0 to 1"), (1e-9, 1e9, "above 0")  # the lowest and the highest number, in words
FIGURES = {"train_accuracy": ACCURACY, "test_accuracy": ACCURACY, "summary_train_accuracy": ACCURACY,
           "summary_test_accuracy": ACCURACY, "test_loss": LOSS}  # fmt: skip


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


def figures(path: Path) -> pd.DataFrame:
    """Return the published figures, one row per variant. Raises UserError if the file isn't a table of such figures."""
    known = ["study", "variant", *FIGURES]
    _require(path)
    try:
        table = files.read_csv(path)
    except (OSError, ValueError):
        raise _misfit(path, "no CSV file", ", ".join(known)) from None
    if missing := [column for column in known if column not in table]:
        raise _misfit(path, f"no column {missing[0]}", ", ".join(known))
    names = table["study"] + "/" + table["variant"]
    if len(twice := names[names.duplicated()]):
        raise _misfit(path, f"{twice.iloc[0]} twice", "one row per variant")
    for column, (lowest, highest, allowed) in FIGURES.items():
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = table[column].notna() & ~numbers.between(lowest, highest)
        if wrong.any():
            found = f"{column} {table[column][wrong].iloc[0]} of {names[wrong].iloc[0]}"
            raise _misfit(path, found, f"a number {allowed}, or none")
    return table.astype(dict.fromkeys(FIGURES, float))


def _require(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: not found; it is in git: run `git checkout {path}`")


def _misfit(path: Path, found: str, allowed: str) -> UserError:
    return UserError(f"{path}: found {found}; allowed: {allowed}; edit it, or run `git checkout {path}`")


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
    _require(path)
    read: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return read
