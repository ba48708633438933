"""A study: the protocol that its variants share, and the variants."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from mnist_mlp import paths
from mnist_mlp.config.choices import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, one_of
from mnist_mlp.config.layers import Layers, Model, as_tuple, check

Activation = Annotated[str, one_of(ACTIVATIONS)]
Optimizer = Annotated[str, one_of(OPTIMIZERS)]
Initializer = Annotated[str, one_of(INITIALIZERS)]
LearningRate = Literal["default"] | Annotated[float, Field(gt=0, le=1000)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1, max_length=1000), BeforeValidator(as_tuple)
]


class Network(Model):
    """What sets a study's variant apart. A learning rate or an initializer of its own takes the protocol's place."""

    layers: Layers
    activation: Activation
    optimizer: Optimizer
    learning_rate: LearningRate | None = None
    initializer: Initializer | None = None

    _check_layers = field_validator("layers")(check)


class Protocol(Model):
    """How a study trains and measures each of its variants."""

    scaling: Literal["pixels", "unit_columns"]
    validation: Literal["held_out", "test"]
    batch_size: int = Field(ge=1, le=1_000_000)
    epochs: int = Field(ge=1, le=100_000)
    learning_rate: LearningRate
    initializer: Initializer
    train_metrics: Literal["last_epoch", "finished_model"]
    seeds: Seeds

    @field_validator("seeds")
    @classmethod
    def _sort(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("distinct whole numbers")
        return tuple(sorted(seeds))  # the outputs are the same in whatever order they are listed


class Training(Protocol):
    """All that a training follows from, besides code, data and software."""

    layers: Layers
    activation: Activation
    optimizer: Optimizer

    _check_layers = field_validator("layers")(check)


class Variant(Training):
    """One stage's worth of training: a variant of a study, or the candidate."""

    study: str
    name: str

    @classmethod
    def of(cls, study: str, name: str, protocol: dict[str, Any], network: dict[str, Any]) -> "Variant":
        """Return a variant of a study. protocol, network: as params.yaml has them; the network's own values count."""
        own = {key: value for key, value in network.items() if value is not None}
        return cls(study=study, name=name, **(protocol | own))

    @property
    def folder(self) -> Path:
        """Where its stage writes: models/<study>/<name>."""
        return paths.MODELS / self.study / self.name

    @property
    def label(self) -> str:
        """Its name among all: <study>/<name>."""
        return f"{self.study}/{self.name}"

    def describe(self) -> str:
        """Return the layers in words, for example `512, dropout 0.25, 128`."""
        return ", ".join(layer.describe() for layer in self.layers)

    def parameters(self) -> dict[str, Any]:
        """Return all that a person may want to compare, in params.yaml's own terms, without study and name."""
        return self.model_dump(mode="json", exclude={"study", "name"})


class Study(Model):
    """A study of params.yaml."""

    protocol: Protocol
    variants: dict[str, Network] = Field(min_length=1)

    @field_validator("variants")
    @classmethod
    def _check_names(cls, variants: dict[str, Network]) -> dict[str, Network]:
        for name in variants:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
                raise ValueError(f"variant names of a-z, 0-9, _ and -, unlike {name!r}")
        return variants
