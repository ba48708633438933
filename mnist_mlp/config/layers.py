"""The kinds of layers: one class each, in KINDS. training/networks.py builds them.

A kind says how params.yaml spells it: `dropout: 0.25`, or its name alone if it has no fields.
"""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, PlainSerializer, ValidationError

from mnist_mlp.config.choices import ACTIVATIONS, one_of
from mnist_mlp.config.messages import allowed

Activation = Annotated[str, one_of(ACTIVATIONS)]


class Model(BaseModel):
    """A part of params.yaml: checked strictly, frozen, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Layer(Model):
    """A layer of a network.

    kind: its name in params.yaml. value: the field that a bare value fills, or None if the kind has no fields.
    """

    kind: ClassVar[str]
    value: ClassVar[str | None] = None

    def spell(self) -> Any:
        """Return the layer as params.yaml spells it."""
        return {self.kind: getattr(self, self.value)} if self.value else self.kind

    def describe(self) -> str:
        """Return the layer in a few words."""
        name = self.kind.replace("_", " ")
        return f"{name} {getattr(self, self.value)}" if self.value else name


class Dense(Layer):
    """A fully connected layer, then its activation, or the variant's if it has none of its own.

    l1, l2: weights of penalties on its kernel, if any."""

    kind = "dense"
    value = "units"
    units: int = Field(ge=1, le=65_536)
    l1: float = Field(default=0.0, ge=0, le=100)
    l2: float = Field(default=0.0, ge=0, le=100)
    activation: Activation | None = None

    @property
    def penalties(self) -> dict[str, float]:
        """The penalties that weigh anything, by name."""
        return {name: weight for name in ("l1", "l2") if (weight := getattr(self, name))}

    def spell(self) -> Any:
        own = self.penalties | ({"activation": self.activation} if self.activation else {})
        return {"dense": {"units": self.units} | own if own else self.units}

    def describe(self) -> str:
        penalties = (f"{name} {weight:g}" for name, weight in self.penalties.items())
        return " ".join([str(self.units), *([self.activation] if self.activation else []), *penalties])


class Dropout(Layer):
    """Dropout of a share of its inputs."""

    kind = "dropout"
    value = "rate"
    rate: float = Field(ge=0, lt=1)


class GaussianNoise(Layer):
    """Normal noise added while it trains."""

    kind = "gaussian_noise"
    value = "stddev"
    stddev: float = Field(gt=0, le=1)


class BatchNorm(Layer):
    """Batch normalization over the last axis: of image columns ahead of `flatten`, else of pixels or units."""

    kind = "batch_norm"


class LayerNorm(Layer):
    """Layer normalization over the last axis: of image columns ahead of `flatten`, else of pixels or units."""

    kind = "layer_norm"


class Activated(Layer):
    """An activation of what passes through. Without glu, which halves it."""

    kind = "activation"
    value = "name"
    name: Annotated[str, one_of(name for name in ACTIVATIONS if name != "glu")]


class Flatten(Layer):
    """The image as a row of pixels."""

    kind = "flatten"


class ActivityL1(Layer):
    """A penalty on the sum of |x| of what passes through, per image."""

    kind = "activity_l1"
    value = "weight"
    weight: float = Field(gt=0, le=100)


class ActivityL2(ActivityL1):
    """A penalty on the sum of x^2 of what passes through, per image."""

    kind = "activity_l2"


KINDS: dict[str, type[Layer]] = {
    kind.kind: kind
    for kind in (Dense, Dropout, GaussianNoise, BatchNorm, LayerNorm, Activated, Flatten, ActivityL1, ActivityL2)
}
SPELLINGS = ", ".join(f"{{{kind.kind}: {kind.value}}}" if kind.value else kind.kind for kind in KINDS.values())


def parse(value: Any) -> Layer:
    """Return the layer that params.yaml spells. Raises ValueError with what is allowed."""
    if isinstance(value, Layer):
        return value
    name, given = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None or (kind.value is None) != isinstance(value, str):
        raise ValueError(f"a layer: {SPELLINGS}")
    fields: dict[Any, Any] = {kind.value: given} if kind.value else {}
    if isinstance(given, dict) and len(kind.model_fields) > 1:
        fields = dict(given)
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        inner = ".".join(str(part) for part in first["loc"] if part != kind.value)
        fields_text = {"missing": f"`{kind.value}` is needed", "extra_forbidden": ", ".join(kind.model_fields)}
        text = fields_text.get(first["type"]) or allowed(first)
        raise ValueError(f"{name}{'.' + inner if inner else ''}: {text}") from None


def check(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return the layers of a network. Raises ValueError if they make none."""
    kinds = [layer.kind for layer in layers]
    if "dense" not in kinds:
        raise ValueError("at least one {dense: units}")
    if kinds.count("flatten") > 1 or ("flatten" in kinds and "dense" in kinds[: kinds.index("flatten")]):
        raise ValueError("at most one flatten, ahead of every dense layer")
    return layers


def as_tuple(value: Any) -> Any:
    """Return a list as a tuple, and anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


Layers = Annotated[
    tuple[Annotated[InstanceOf[Layer], BeforeValidator(parse), PlainSerializer(lambda layer: layer.spell())], ...],
    Field(min_length=1, max_length=100),
    BeforeValidator(as_tuple),
]
