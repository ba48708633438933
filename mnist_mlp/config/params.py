"""All of params.yaml: read, checked, resolved into variants."""

import re
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_mlp import paths
from mnist_mlp.config import messages
from mnist_mlp.config.choices import IDX_FILES, SAMPLE, SOFTWARE, one_of
from mnist_mlp.config.layers import Model, as_tuple
from mnist_mlp.config.studies import NAME, NAMES, Level, Network, Protocol, Study, Training, Variant
from mnist_mlp.errors import UserError

CANDIDATE = "candidate"  # its study's name and its own


class DataFile(Model):
    """A file of a data set, decompressed."""

    bytes: int = Field(ge=8, le=10**10)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class DataSource(Model):
    """A data set in MNIST's IDX format: where its four files are, and what they hold."""

    sources: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(as_tuple)]
    files: dict[Annotated[str, one_of(IDX_FILES)], DataFile] = Field(min_length=4)


class Params(Training):
    """All of params.yaml. The candidate's own keys stand at the top level; every other key is a study."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Study] = Field(init=False)

    dataset: str
    datasets: dict[str, DataSource]
    software: dict[Annotated[str, one_of(SOFTWARE)], str] = Field(min_length=3)

    @model_validator(mode="after")
    def _check_dataset(self) -> "Params":
        allowed = ["auto", SAMPLE, *self.datasets]
        for name in self.datasets:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"datasets: found {name!r}; allowed: {NAMES}")
        if self.dataset not in allowed:
            raise ValueError(f"dataset: found {self.dataset!r}; allowed: {', '.join(allowed)}")
        if "mnist" not in self.datasets or {"auto", SAMPLE} & set(self.datasets):
            raise ValueError(f"datasets: allowed: an entry `mnist`, and none named `auto` or `{SAMPLE}`")
        return self

    @model_validator(mode="after")
    def _check_studies(self) -> "Params":
        for name in self.studies:
            if name == CANDIDATE or not re.fullmatch(NAME, name):
                raise ValueError(f"{name}: a study's name; allowed: {NAMES}, but not {CANDIDATE}")
        return self

    @property
    def studies(self) -> dict[str, Study]:
        """The studies, in the order of params.yaml."""
        return dict(self.__pydantic_extra__)

    @property
    def candidate(self) -> Variant:
        """The model that `-S` changes."""
        return Variant(
            study=CANDIDATE, name=CANDIDATE, **{field: getattr(self, field) for field in Training.model_fields}
        )

    @cached_property
    def variants(self) -> list[Variant]:
        """Every variant of every study in the order of params.yaml, the candidate last."""
        return [*(variant for name, study in self.studies.items() for variant in study.resolve(name)), self.candidate]

    def variant(self, study: str, name: str) -> Variant:
        """Return a variant. Raises UserError for a study or name that params.yaml doesn't hold."""
        for variant in self.variants:
            if (variant.study, variant.name) == (study, name):
                return variant
        raise UserError(f"params.yaml: no variant {name!r} in {study!r}; allowed: see its variants there")


def stage_name(variant: Variant) -> str:
    """Return the name of a variant's stage in DVC."""
    return f"train-{variant.study}" + ("" if variant.study == CANDIDATE else f"@{variant.name}")


def load(path: Path = paths.PARAMS) -> Params:
    """Return params.yaml, checked whole. Raises UserError with one line per fault: key, found, allowed."""
    try:
        raw = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run from the project's top folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read: {error}") from None
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: found {messages.show(raw)}; allowed: a mapping of keys to values")
    if misread := list(messages.misread(raw)):
        raise UserError("\n".join(f"{path}: {line}" for line in misread))
    try:
        params = Params.model_validate(raw)
        params.variants  # noqa: B018 each can be resolved
        return params
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except ValidationError as error:
        faults = error.errors()
        inner = [e for e in faults if not any(e["loc"] == o["loc"][: len(e["loc"])] != o["loc"] for o in faults)]
        lines = [f"{path}: {messages.line(fault, _keys_at)}" for fault in inner]
        raise UserError("\n".join(dict.fromkeys(lines))) from None


def _keys_at(place: tuple[int | str, ...]) -> str:
    """Return the keys that are allowed where an unknown one stands."""
    models: dict[int, type[Model]] = {1: Params, 2: Study, 3: Protocol, 4: Network, 5: Level}
    if place[0] == "datasets":
        models = {3: DataSource, 5: DataFile}
    elif place[1:2] == ("network",):
        models = {3: Network}
    return ", ".join(models[len(place)].model_fields)
