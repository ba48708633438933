"""A study: a protocol, and variants by name or a grid of factors; and one variant, resolved.

A grid has a variant for each level of each factor with each level of the others. DVC's `matrix` makes the same ones,
and names them alike.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from mnist_mlp import paths
from mnist_mlp.config import messages
from mnist_mlp.config.choices import INITIALIZERS, OPTIMIZERS, one_of
from mnist_mlp.config.layers import Activation, Dense, Layer, Layers, Model, as_tuple, check
from mnist_mlp.errors import UserError

Optimizer = Annotated[str, one_of(OPTIMIZERS)]
Initializer = Annotated[str, one_of(INITIALIZERS)]
LearningRate = Literal["default"] | Annotated[float, Field(gt=0, le=1000)]
Scaling = Literal["pixels", "unit_columns"]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Penalty = Annotated[float, Field(ge=0, le=100)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1, max_length=1000), BeforeValidator(as_tuple)
]
NAME = "[a-z0-9][a-z0-9_-]{0,99}"
NAMES = "names of a-z, 0-9, _ and -, at most 100 signs"


class Network(Model):
    """What a variant sets, or what all of a grid's variants share: a key of its own takes the protocol's place."""

    layers: Layers | None = None
    activation: Activation | None = None
    optimizer: Optimizer | None = None
    learning_rate: LearningRate | None = None
    initializer: Initializer | None = None
    batch_size: BatchSize | None = None
    epochs: Epochs | None = None
    scaling: Scaling | None = None

    def settings(self) -> dict[str, Any]:
        """Return what is set."""
        return {name: value for name in Network.model_fields if (value := getattr(self, name)) is not None}


class Level(Network):
    """A factor's level. ahead: layers ahead of the network's; l1, l2: penalties on its dense layers' kernels."""

    ahead: Layers | None = None
    l1: Penalty | None = None
    l2: Penalty | None = None

    def penalized(self, layer: Layer) -> Layer:
        """Return a layer with this level's penalties in place of its own."""
        own = {name: weight for name in ("l1", "l2") if (weight := getattr(self, name)) is not None}
        return layer.model_copy(update=own) if isinstance(layer, Dense) else layer


class Protocol(Model):
    """How a study trains and measures each of its variants."""

    scaling: Scaling
    validation: Literal["held_out", "test"]
    batch_size: BatchSize
    epochs: Epochs
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
    """One stage's worth of training: a variant of a study, or the candidate. levels: of each factor of a grid."""

    study: str
    name: str
    levels: dict[str, str] = Field(default_factory=dict)

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
        """Return all that a person may want to compare, in params.yaml's own terms, without study, name and levels."""
        return self.model_dump(mode="json", exclude={"study", "name", "levels"})


class Study(Model):
    """A study of params.yaml: either variants by name, or a grid of factors on top of a network.

    factors: the levels of each by name; the first is its reference. reference: `<study>/<level>`, a level of another
    study's first factor that is the reference of this one's instead, where both have the same protocol."""

    protocol: Protocol
    variants: dict[str, Network] | None = None
    network: Network = Field(default_factory=Network)
    factors: dict[str, Annotated[dict[str, Level], Field(min_length=1)]] = Field(default_factory=dict)
    reference: str | None = None

    @field_validator("factors", mode="before")
    @classmethod
    def _name_values(cls, factors: Any) -> Any:
        """Read a factor that is a list of values as levels that set the key it is named after."""
        if not isinstance(factors, dict):
            return factors
        named = {}
        for key, levels in factors.items():
            named[key] = levels
            if isinstance(levels, list):
                named[key] = {str(value): {key: value} for value in levels}
                if len(named[key]) < len(levels):
                    raise ValueError(f"distinct values of {key}")
        return named

    @model_validator(mode="after")
    def _check_form(self) -> "Study":
        if (self.variants is None) == (not self.factors):
            raise ValueError("`protocol` and either `variants` or `factors`")
        named = [*(self.variants or {}), *self.factors]
        own = [level for factor, levels in self.factors.items() for level in levels
               if levels[level].settings().keys() != {factor}]  # fmt: skip
        for name in [*named, *own]:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"{NAMES}, unlike {name!r}")
        twice = [name for name, count in Counter("-".join(levels) for levels in self._grid()).items() if count > 1]
        if twice:
            raise ValueError(f"levels whose names make distinct variants, unlike {twice[0]!r}")
        return self

    def resolve(self, study: str) -> Iterator[Variant]:
        """Yield the variants in order. study: its name. Raises UserError with one line for a variant that is none."""
        for name, network in (self.variants or {}).items():
            yield self._variant(study, name, {}, network.settings())
        for names in self._grid():
            levels = dict(zip(self.factors, names, strict=True))
            yield self._variant(study, "-".join(names), levels, self._settings(levels))

    def _grid(self) -> Iterator[tuple[str, ...]]:
        return product(*self.factors.values()) if self.factors else iter(())

    def _settings(self, levels: dict[str, str]) -> dict[str, Any]:
        settings = self.network.settings()
        ahead: tuple[Layer, ...] = ()
        chosen = [self.factors[factor][name] for factor, name in levels.items()]
        for level in chosen:
            settings |= level.settings()
            ahead += level.ahead or ()
        layers = ahead + settings.get("layers", ())
        for level in chosen:
            layers = tuple(map(level.penalized, layers))
        return settings | {"layers": layers}

    def _variant(self, study: str, name: str, levels: dict[str, str], settings: dict[str, Any]) -> Variant:
        where = f"{study}: variant {name}"
        missing = [key for key in ("layers", "activation", "optimizer") if not settings.get(key)]
        if missing:
            raise UserError(f"{where}: {missing[0]}: missing; write it (`{missing[0]}: ...`)")
        try:
            check(settings["layers"])
        except ValueError as error:
            raise UserError(f"{where}: layers: found {messages.show([layer.spell() for layer in settings['layers']])}; "
                            f"allowed: {error}") from None  # fmt: skip
        return Variant(study=study, name=name, levels=levels, **(dict(self.protocol) | settings))
