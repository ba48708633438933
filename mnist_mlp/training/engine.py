"""What the trainer asks of whatever runs the epochs. `compiled` fills it for speed; plain Keras could.

A test fills it with `model.fit`, and holds the compiled engine to that.
"""

from typing import Any, Literal, Protocol

import numpy as np


class EngineReplicate(Protocol):
    """One seed's network on its way."""

    def run_epoch(self, epoch: int) -> np.ndarray:
        """Train for an epoch, counted from 1.

        Returns float64 [5]: training loss, training accuracy, penalty, validation loss, validation accuracy. The
        training's are running means over the epoch. The order of the images follows from seed and epoch."""

    def predict(self, split: Literal["all_train", "test"]) -> np.ndarray:
        """Return class probabilities, float32 [n, classes]."""

    def arrays(self) -> list[np.ndarray]:
        """Return all that the training goes on from."""

    def restore(self, arrays: list[np.ndarray]) -> None:
        """Go on from what `arrays` returned."""

    def model(self) -> Any:
        """Return a model of Keras's own layers with the weights as they are."""


class Engine(Protocol):
    """What trains the replicates of one variant, several at once in threads of their own."""

    def replicate(self, seed: int) -> EngineReplicate:
        """Return a replicate as its seed starts it."""
