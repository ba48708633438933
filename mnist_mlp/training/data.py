"""What a variant trains on and is measured by, off the arrays that preprocess wrote."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_mlp import UserError
from mnist_mlp.config import Variant

PREPARED = Path("data/prepared")


@dataclass(frozen=True)
class Data:
    """A variant's images and labels. images: float32 [n, 28, 28], scaled; labels: uint8 [n]. train: the first ones of
    all_train; validation: the rest of these, or test itself."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    all_train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def load(variant: Variant, folder: Path = PREPARED) -> Data:
    """Map the prepared arrays into memory, unread and uncopied, and split them by the variant's protocol.

    Raises UserError where they are missing, or fewer than a batch."""
    try:
        (train, train_labels), test = (
            tuple(np.load(folder / part / f"{split}.npy", mmap_mode="r") for part in (variant.scaling, "labels"))
            for split in ("train", "test")
        )
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no prepared images ({error}); run `dvc repro preprocess`") from None
    kept = len(train) - len(train) // 10 if variant.validation == "held_out" else len(train)
    if variant.batch_size > kept:
        raise UserError(
            f"params.yaml: batch_size of {variant.study}/{variant.name}: found {variant.batch_size}; "
            f"allowed: at most {kept}, the number of training images"
        )
    held_out = (train[kept:], train_labels[kept:]) if variant.validation == "held_out" else test
    return Data((train[:kept], train_labels[:kept]), held_out, (train, train_labels), test)
