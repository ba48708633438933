"""Predictions -> loss and accuracy."""

import numpy as np


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log p(label) in nats. probabilities: float32 [n, classes]; labels: integers [n]."""
    likelihoods = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(likelihoods, np.finfo(np.float32).tiny)).mean())


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose most probable class is the label. probabilities: [n, classes]; labels: [n]."""
    return float((probabilities.argmax(axis=1) == labels).mean())
