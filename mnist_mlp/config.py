"""params.yaml -> validated, frozen models. Nothing else reads params.yaml; unknown keys and odd values are refused."""

import math
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_mlp import UserError

PARAMS = Path("params.yaml")
SAMPLE = "mnist-sample"
STUDIES = {"architectures": "architecture", "techniques": "technique", "penalties": "penalty"}  # and one of each

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

# The names Keras knows; a test holds each list against the installed Keras. Its Adafactor is left out: where a pixel is
# dark in every image and a unit dead, it divides 0 by 0.
ACTIVATIONS = (
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus",
    "swish", "tanh", "tanh_shrink",
)  # fmt: skip
OPTIMIZERS = (
    "adadelta", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "nadam", "rmsprop", "sgd",
)  # fmt: skip
INITIALIZERS = (
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform", "orthogonal",
    "random_normal", "random_uniform", "truncated_normal", "variance_scaling",
)  # fmt: skip
LAYERS = "{dense: units}, {dropout: rate}, batch_norm, flatten, {activity_l1: weight} or {activity_l2: weight}"


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Dense(Model):
    """A fully connected layer, then the variant's activation; `l1` and `l2` weigh a penalty on its kernel."""

    kind: Literal["dense"] = "dense"
    units: int = Field(ge=1, le=65_536)
    l1: float = Field(default=0.0, ge=0, le=100)
    l2: float = Field(default=0.0, ge=0, le=100)


class Dropout(Model):
    kind: Literal["dropout"] = "dropout"
    rate: float = Field(ge=0, lt=1)


class BatchNorm(Model):
    kind: Literal["batch_norm"] = "batch_norm"


class Flatten(Model):
    kind: Literal["flatten"] = "flatten"


class ActivityPenalty(Model):
    """A penalty on the sum of what passes through: of |x| (l1) or x^2 (l2), per image."""

    kind: Literal["activity_l1", "activity_l2"]
    weight: float = Field(gt=0, le=100)


Layer = Dense | Dropout | BatchNorm | Flatten | ActivityPenalty
_BARE = {"batch_norm": BatchNorm, "flatten": Flatten}
_VALUED = {"dense": (Dense, "units"), "dropout": (Dropout, "rate"),
           "activity_l1": (ActivityPenalty, "weight"), "activity_l2": (ActivityPenalty, "weight")}  # fmt: skip


def _layer(value: Any) -> Layer:
    if isinstance(value, Layer):
        return value
    if isinstance(value, str) and value in _BARE:
        return _BARE[value]()
    if not (isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _VALUED):
        raise ValueError(f"a layer: {LAYERS}")
    (kind, given), = value.items()  # fmt: skip
    model, key = _VALUED[kind]
    fields = dict(given) if kind == "dense" and isinstance(given, dict) else {key: given}
    try:
        return model(**{"kind": kind} | fields)
    except ValidationError as error:
        first = error.errors()[0]
        inner = ".".join(str(part) for part in first["loc"] if part != key)
        raise ValueError(f"{kind}{'.' + inner if inner else ''}: {_allowed(first)}") from None


def _spelled(layer: Layer) -> Any:
    """A layer as params.yaml spells it."""
    if layer.kind in _BARE:
        return layer.kind
    if isinstance(layer, Dense):
        penalties = {name: value for name in ("l1", "l2") if (value := getattr(layer, name))}
        return {"dense": {"units": layer.units} | penalties if penalties else layer.units}
    return {layer.kind: layer.rate if isinstance(layer, Dropout) else layer.weight}


def _layers_make_sense(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    kinds = [layer.kind for layer in layers]
    if "dense" not in kinds:
        raise ValueError("at least one {dense: units}")
    if kinds.count("flatten") > 1 or ("flatten" in kinds and "dense" in kinds[: kinds.index("flatten")]):
        raise ValueError("at most one flatten, ahead of every dense layer")
    return layers


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("distinct whole numbers")
    return tuple(sorted(seeds))  # whatever order they are listed in, the outputs are the same


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Layers = Annotated[
    tuple[Annotated[Layer, BeforeValidator(_layer), PlainSerializer(_spelled)], ...],
    Field(min_length=1, max_length=100),
    BeforeValidator(_tuple),
]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1, max_length=1000), BeforeValidator(_tuple)
]


class Network(Model):
    """What a variant is: its layers and how they are trained."""

    layers: Layers
    activation: Literal[ACTIVATIONS]
    optimizer: Literal[OPTIMIZERS]
    learning_rate: Literal["default"] | Annotated[float, Field(gt=0, le=1000)] = "default"
    initializer: Literal[INITIALIZERS] = "glorot_uniform"

    _sense = field_validator("layers")(_layers_make_sense)


class Protocol(Model):
    """How a study trains and measures each of its variants."""

    scaling: Literal["pixels", "unit_columns"]
    validation: Literal["held_out", "test"]
    batch_size: int = Field(ge=1, le=1_000_000)
    epochs: int = Field(ge=1, le=100_000)
    train_metrics: Literal["last_epoch", "finished_model"]
    seeds: Seeds

    _distinct = field_validator("seeds")(_distinct)


class Variant(Network, Protocol):
    """One stage's worth of training, every parameter resolved."""

    study: str
    name: str

    @property
    def folder(self) -> Path:
        """Where its stage writes: models/<study>/<name>."""
        return Path("models", self.study, self.name)

    def parameters(self) -> dict[str, Any]:
        """Everything that a person may want to compare, in params.yaml's own terms, without study and name."""
        return self.model_dump(mode="json", exclude={"study", "name"})


class Study(Model):
    protocol: Protocol
    variants: dict[str, Network] = Field(min_length=1)

    @field_validator("variants")
    @classmethod
    def _names(cls, variants: dict[str, Network]) -> dict[str, Network]:
        for name in variants:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
                raise ValueError(f"variant names of a-z, 0-9, _ and -, unlike {name!r}")
        return variants


class DataFile(Model):
    bytes: int = Field(ge=8, le=10**10)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class DataSource(Model):
    """A data set in MNIST's IDX format: where its four files are, with their sizes and digests, decompressed."""

    sources: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_tuple)]
    files: dict[Literal[FILES], DataFile] = Field(min_length=4)


class Params(Network, Protocol):
    """All of params.yaml. The candidate's own keys stand at the top level."""

    dataset: str
    datasets: dict[str, DataSource]
    software: dict[Literal["tensorflow", "keras", "numpy"], str] = Field(min_length=3)
    architectures: Study
    techniques: Study
    penalties: Study

    @model_validator(mode="after")
    def _known_dataset(self) -> "Params":
        allowed = ["auto", SAMPLE, *self.datasets]
        if self.dataset not in allowed:
            raise ValueError(f"dataset: found {self.dataset!r}; allowed: {', '.join(allowed)}")
        if "mnist" not in self.datasets or {"auto", SAMPLE} & set(self.datasets):
            raise ValueError(f"datasets: allowed: an entry `mnist`, and none named `auto` or `{SAMPLE}`")
        return self

    @property
    def studies(self) -> dict[str, Study]:
        """The two published studies and our own, in the order of params.yaml."""
        return {name: getattr(self, name) for name in STUDIES}

    @property
    def candidate(self) -> Variant:
        own = {field: getattr(self, field) for field in (*Network.model_fields, *Protocol.model_fields)}
        return Variant(study="candidate", name="candidate", **own)

    @cached_property
    def variants(self) -> list[Variant]:
        """Every variant of every study in the order of params.yaml, the candidate last."""
        studied = [
            Variant(study=study, name=name, **dict(entry), **dict(body.protocol))
            for study, body in self.studies.items()
            for name, entry in body.variants.items()
        ]
        return [*studied, self.candidate]

    def variant(self, study: str, name: str) -> Variant:
        """Raises UserError for a study or name that params.yaml doesn't hold."""
        for variant in self.variants:
            if (variant.study, variant.name) == (study, name):
                return variant
        raise UserError(f"params.yaml: no variant {name!r} in {study!r}; allowed: see its variants there")


def load(path: Path = PARAMS) -> Params:
    """Read and check params.yaml whole. Raises UserError with a line per fault: key, found, allowed."""
    try:
        raw = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run from the project's top folder") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read: {error}") from None
    except YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: found {_show(raw)}; allowed: a mapping of keys to values")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        faults = error.errors()
        inner = [e for e in faults if not any(e["loc"] == o["loc"][: len(e["loc"])] != o["loc"] for o in faults)]
        raise UserError("\n".join(dict.fromkeys(f"{path}: {_printable(_line(e))}" for e in inner))) from None


def _printable(text: str) -> str:
    """On one line, whatever characters a key holds."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _line(error: dict) -> str:
    where = ""
    for part in error["loc"]:
        if isinstance(part, int):
            where += f"[{part}]"
        elif part == "[key]":
            continue
        else:
            where += f".{part}" if where else str(part)
    where = re.sub(r"\.(constrained-)?(float|int|str|literal\[.*?\])$", "", where)  # the union's member tried
    if error["type"] == "value_error" and not where:
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return f"{where}: missing; write it ({_needs(where)})"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key; allowed there: {_keys(error['loc'])}"
    return f"{where}: found {_show(error['input'])}; allowed: {_allowed(error, where)}"


def _show(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: ".inf", -math.inf: "-.inf"}.get(value, ".nan")
    if value is None:
        return "nothing"
    text = repr(value if not isinstance(value, tuple) else list(value))
    return text if len(text) <= 60 else text[:57] + "..."


def _allowed(error: dict, where: str = "") -> str:
    context = error.get("ctx", {})
    if where.endswith("learning_rate"):
        return "`default`, or a number above 0 and at most 1000"
    texts = {
        "missing": "`units` is needed", "extra_forbidden": "units, l1, l2",
        "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
        "finite_number": "a finite number", "string_type": "a text", "bool_type": "true or false",
        "tuple_type": "a list, such as [0, 1]" if where.endswith("seeds") else "a list",
        "dict_type": "a mapping", "model_type": "a mapping", "model_attributes_type": "a mapping",
        "greater_than_equal": f"at least {context.get('ge')}", "greater_than": f"above {context.get('gt')}",
        "less_than_equal": f"at most {context.get('le')}", "less_than": f"below {context.get('lt')}",
        "literal_error": str(context.get("expected", "")).replace("'", "").replace(" or ", ", "),
        "too_short": f"at least {context.get('min_length')} of them",
        "too_long": f"at most {context.get('max_length')} of them",
        "string_pattern_mismatch": "64 hexadecimal digits",
    }  # fmt: skip
    if error["type"] == "value_error":
        return str(context["error"])
    return texts.get(error["type"], error["msg"])


def _needs(where: str) -> str:
    parent, _, key = where.rpartition(".")
    return f"`{key}: ...` under {parent}" if parent else f"`{key}: ...`, see the comments there"


def _keys(location: tuple) -> str:
    model = {1: Params, 3: Protocol if "protocol" in location else DataSource, 4: Network}.get(len(location), Study)
    if location[0] == "datasets" and len(location) == 5:
        model = DataFile
    return ", ".join(model.model_fields)
