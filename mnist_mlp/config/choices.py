"""The names that params.yaml may hold. A test compares Keras's with the installed Keras."""

from collections.abc import Iterable
from typing import Any

from pydantic import BeforeValidator

ACTIVATIONS = (
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus",
    "swish", "tanh", "tanh_shrink",
)  # fmt: skip

# Each optimizer's learning rate in Keras, which `learning_rate: default` stands for. Left out of Keras's: Adafactor,
# which divides 0 by 0 if a pixel is dark in every image and a unit is dead; Lamb, which keras.optimizers.get doesn't
# know by name; Muon and ScheduleFreeAdamW, which want to be told more than a learning rate.
OPTIMIZERS = {
    "adadelta": 0.001, "adagrad": 0.001, "adam": 0.001, "adamax": 0.001, "adamw": 0.001, "ftrl": 0.001, "lion": 0.001,
    "nadam": 0.001, "rmsprop": 0.001, "sgd": 0.01,
}  # fmt: skip

INITIALIZERS = (
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal", "lecun_uniform", "orthogonal",
    "random_normal", "random_uniform", "truncated_normal", "variance_scaling",
)  # fmt: skip

SOFTWARE = ("tensorflow", "keras", "numpy")
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SAMPLE = "mnist-sample"


def one_of(names: Iterable[str]) -> BeforeValidator:
    """Return a validator that takes one of these names and nothing else."""
    names = tuple(names)

    def check(value: Any) -> Any:
        if value not in names:
            raise ValueError(", ".join(names))
        return value

    return BeforeValidator(check)
