"""The images that a variant trains on and is measured by, from the arrays that preprocess wrote."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_mlp import paths
from mnist_mlp.config import Variant
from mnist_mlp.errors import UserError


@dataclass(frozen=True)
class Splits:
    """A variant's images and labels. images: float32 [n, height, width], scaled; labels: uint8 [n].

    train: the first ones of all_train; validation: the rest of all_train, or test itself."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    all_train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]

    @property
    def image(self) -> tuple[int, int]:
        """The height and width of an image."""
        _, height, width = self.all_train[0].shape
        return height, width

    @property
    def classes(self) -> int:
        """The number of classes: the training images show each of 0, 1, ... up to the last."""
        return int(self.all_train[1].max()) + 1


def load(variant: Variant, folder: Path = paths.PREPARED) -> Splits:
    """Map the prepared arrays into memory, unread and uncopied, and split them by the variant's protocol.

    Raises UserError if they are missing, or fewer than a batch."""
    try:
        (train, train_labels), test = (
            (
                np.load(folder / variant.scaling / f"{split}.npy", mmap_mode="r"),
                np.load(folder / "labels" / f"{split}.npy", mmap_mode="r"),
            )
            for split in ("train", "test")
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no prepared images ({error}); run `dvc repro preprocess`") from None
    held_out = variant.validation == "held_out"
    kept = len(train) - len(train) // 10 if held_out else len(train)
    if variant.batch_size > kept:
        raise UserError(
            f"params.yaml: batch_size of {variant.label}: found {variant.batch_size}; "
            f"allowed: at most {kept}, the number of training images"
        )
    validation = (train[kept:], train_labels[kept:]) if held_out else test
    return Splits((train[:kept], train_labels[:kept]), validation, (train, train_labels), test)
