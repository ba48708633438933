"""Keras's optimizers with pure updates: of tensors, not of variables."""

from mnist_mlp.config import Variant
from mnist_mlp.training.backend import keras

# Optimizers that move each weight by its own gradients alone, and leave one that has none where it is.
ELEMENTWISE = ("adadelta", "adagrad", "adam", "adamax", "nadam", "rmsprop", "sgd")


def build(variant: Variant) -> keras.optimizers.Optimizer:
    """Return the variant's optimizer with pure updates.

    Keras's base class has them, its adapter for TensorFlow refuses them: a class of our own stands between the two."""
    own = type(keras.optimizers.get(variant.optimizer))
    adapter, base = (next(c for c in own.__mro__ if c.__name__ == name) for name in ("TFOptimizer", "BaseOptimizer"))
    methods = {name: getattr(base, name) for name in vars(adapter) if name in vars(base) and not name.startswith("__")}
    pure = type("PureOptimizer", (adapter,), methods)
    settings = {} if variant.learning_rate == "default" else {"learning_rate": variant.learning_rate}
    return type(own.__name__, (own, pure), {})(**settings)
