"""training.engine's seam filled with Keras's own `model.fit`, one call per epoch."""

from typing import Literal

import numpy as np

from mnist_mlp.config import Variant
from mnist_mlp.training import networks
from mnist_mlp.training.backend import keras
from mnist_mlp.training.splits import Splits

LOSS = "sparse_categorical_crossentropy"  # as a metric too: Keras's `loss` has the penalties added


class KerasEngine:
    """Train each replicate with `model.fit`. Fills engine.Engine."""

    def __init__(self, variant: Variant, splits: Splits):
        self.variant, self.splits = variant, splits

    def replicate(self, seed: int) -> "KerasReplicate":
        """Return a replicate as its seed starts it."""
        return KerasReplicate(self.variant, self.splits, seed)


class KerasReplicate:
    """One seed's model. Fills engine.EngineReplicate."""

    def __init__(self, variant: Variant, splits: Splits, seed: int):
        self.variant, self.splits, self.seed = variant, splits, seed
        self.network = networks.build(variant, seed, splits.image, splits.classes)
        optimizer = keras.optimizers.get(variant.optimizer)
        if variant.learning_rate != "default":
            optimizer.learning_rate = variant.learning_rate
        # Eagerly, for a few steps take less time than their compilation.
        self.network.compile(optimizer, LOSS, metrics=[LOSS, "accuracy"], run_eagerly=True)
        optimizer.build(self.network.trainable_variables)

    def run_epoch(self, epoch: int) -> np.ndarray:
        """Train for an epoch; see engine.EngineReplicate."""
        images, labels = self.splits.train
        order = np.random.default_rng((self.seed, epoch)).permutation(len(images))
        history = self.network.fit(
            images[order], labels[order], self.variant.batch_size,
            verbose=0, shuffle=False, validation_data=self.splits.validation,
        ).history  # fmt: skip
        names = (LOSS, "accuracy", "loss", f"val_{LOSS}", "val_accuracy")
        loss, accuracy, with_penalty, val_loss, val_accuracy = (history[name][0] for name in names)
        return np.array([loss, accuracy, with_penalty - loss, val_loss, val_accuracy])

    def predict(self, split: Literal["all_train", "test"]) -> np.ndarray:
        """Return class probabilities, float32 [n, classes]."""
        return self.network.predict(getattr(self.splits, split)[0], verbose=0)

    def arrays(self) -> list[np.ndarray]:
        """Return the weights and the optimizer's variables."""
        return [variable.numpy() for variable in self._variables]

    def restore(self, arrays: list[np.ndarray]) -> None:
        """Go on from what `arrays` returned."""
        for variable, array in zip(self._variables, arrays, strict=True):
            variable.assign(array)

    def model(self) -> keras.Model:
        """Return the model itself."""
        return self.network

    @property
    def _variables(self) -> list[keras.Variable]:
        return [*self.network.trainable_variables, *self.network.non_trainable_variables,
                *self.network.optimizer.variables]  # fmt: skip
