"""What a variant's replicates predict on the test images."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_mlp.config import Variant
from mnist_mlp.files import misfit, read_array
from mnist_mlp.training import outputs
from mnist_mlp.training.outputs import Outputs


@dataclass(frozen=True)
class Predictions:
    """A variant's predictions, beside the numbers that its training left.

    predicted: uint8 [replicates, n_test], in the order of the variant's seeds. confidence: float32 of the same shape,
    the probability of what is predicted. fingerprint: the digest of each seed's probabilities.
    """

    variant: Variant
    outputs: Outputs
    predicted: np.ndarray
    confidence: np.ndarray
    fingerprint: frozenset[tuple[int, str]]

    @property
    def key(self) -> dict[str, str]:
        return {"study": self.variant.study, "variant": self.variant.name}


def read_labels(path: Path) -> np.ndarray:
    """Return the test images' labels: uint8 [n_test]. Raises UserError if they are missing or no labels."""
    labels = read_array(path)
    if labels.dtype != np.uint8 or labels.ndim != 1 or not labels.size:
        raise misfit(path, f"{labels.dtype} {list(labels.shape)}", "uint8 [n]")
    return labels


def read(variant: Variant, labels: np.ndarray) -> Predictions:
    """Return what `train` wrote for a variant. labels: uint8 [n_test].

    Raises UserError if a file is missing, or doesn't fit params.yaml, the labels or the other files."""
    numbers = outputs.read(variant.folder)
    outputs.check(numbers, variant)
    probabilities = outputs.read_probabilities(variant, len(labels), int(labels.max()) + 1)
    predicted = probabilities.argmax(axis=2).astype(np.uint8)
    scores = (predicted == labels).mean(axis=1)
    for seed, score, stated in zip(variant.seeds, scores, numbers.finals["test_accuracy"], strict=True):
        if not np.isclose(score, stated, rtol=0, atol=1e-6):
            path = variant.folder / "probabilities.npy"
            raise misfit(path, f"test accuracy {score:.6f} for seed {seed}", f"metrics.json's {stated}")
    digests = (hashlib.sha256(replicate.tobytes()).hexdigest() for replicate in probabilities)
    fingerprint = frozenset(zip(variant.seeds, digests, strict=True))
    return Predictions(variant, numbers, predicted, probabilities.max(axis=2), fingerprint)
