"""Predictions -> loss and accuracy."""

import numpy as np


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log p(label) in nats. probabilities: float32 [n, 10]; labels: integers [n] in 0..9."""
    likelihoods = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(likelihoods, np.finfo(np.float32).tiny)).mean())


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose most probable class is the label. probabilities: [n, 10]; labels: [n]."""
    return float((probabilities.argmax(axis=1) == labels).mean())
