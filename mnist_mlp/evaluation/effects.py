"""The studies' factors: what a technique, an activation or a weight penalty does to test accuracy, over a grid.

Techniques that are one and the same model with every activation are one technique: no average counts them twice.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from mnist_mlp.config import Params
from mnist_mlp.evaluation import statistics
from mnist_mlp.evaluation.comparisons import Comparison

GRID, PENALTIES, PLAIN = "techniques", "penalties", "none"
COLUMNS = ["factor", "level", "reference", "within", "difference", "error_images", "error_seeds", "low", "high", "p",
           "p_holm"]  # fmt: skip

Cells = dict[tuple[str, str], int]  # (level, activation) -> which distinct model


def effects(params: Params, comparison: Comparison) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return one row per effect, and the p of all effects of a factor: `technique`, `activation`, `interaction`.

    factor: `technique`, `activation` or `penalty`; level against reference; within: the activation that it is seen
    with, or missing, where it is an average over the grid; difference in mean test accuracy, its standard errors by
    images and by seeds, its 95 % interval, p, and Holm's p over the factor's rows that are, or aren't, averages.
    """
    rows: list[Row] = []
    joint: dict[str, float] = {}
    grid, plain = _cells(params, comparison, GRID), {}
    techniques, activations = _axes(grid)
    if PLAIN in techniques:
        plain = {activation: grid[PLAIN, activation] for activation in activations}
        rows += list(_levels("technique", grid, plain, [t for t in techniques if t != PLAIN]))
    if len(activations) > 1 and techniques:
        rows += list(_activations(grid, techniques, activations))
    if params.penalties.protocol == params.techniques.protocol:
        cells = _cells(params, comparison, PENALTIES)
        shared = {key: model for key, model in cells.items() if key[1] in plain}
        rows += list(_levels("penalty", shared, plain, _axes(shared)[0]))
    if not rows:
        return pd.DataFrame(columns=COLUMNS), joint
    weights = np.zeros((len(rows), len(comparison.estimates.accuracy)))
    for line, (*_, terms) in zip(weights, rows, strict=True):
        _add(line, terms)
    contrasts = statistics.contrasts(comparison.estimates, weights)
    low, high = contrasts.interval()
    table = pd.DataFrame([row[:4] for row in rows], columns=COLUMNS[:4]).assign(
        difference=contrasts.value, error_images=contrasts.error_images, error_seeds=contrasts.error_seeds,
        low=low, high=high, p=contrasts.p,
    )  # fmt: skip
    averaged = table["within"].isna()
    family = table["factor"] + averaged.astype(str)
    table["p_holm"] = table.groupby(family)["p"].transform(lambda p: statistics.holm(p.to_numpy()))
    for factor in ("technique", "activation"):
        if (chosen := (averaged & (table["factor"] == factor)).to_numpy()).any():
            joint[factor] = statistics.joint_p(comparison.estimates, weights[chosen])
    if plain and len(techniques) > 1 and len(activations) > 1:
        joint["interaction"] = _interaction(comparison, grid, techniques, activations)
    return table, joint


def _cells(params: Params, comparison: Comparison, study: str) -> Cells:
    """Return a study's models by level (its variants' names without the activation) and activation."""
    cells = {}
    for one, model in zip(comparison.predictions, comparison.model.tolist(), strict=True):
        variant = one.variant
        if variant.study == study and variant.name.endswith(f"-{variant.activation}"):
            cells[variant.name.removesuffix(f"-{variant.activation}"), variant.activation] = model
    return cells


def _axes(cells: Cells) -> tuple[list[str], list[str]]:
    """Return the distinct levels that were tried with every activation, and the activations."""
    activations = list(dict.fromkeys(activation for _, activation in cells))
    distinct: dict[tuple[int, ...], str] = {}
    for level in dict.fromkeys(level for level, _ in cells):
        if all((level, activation) in cells for activation in activations):
            distinct.setdefault(tuple(cells[level, activation] for activation in activations), level)
    return list(distinct.values()), activations


Row = tuple[str, str, str, str | None, list[tuple[int, float]]]


def _levels(factor: str, cells: Cells, plain: dict[str, int], levels: list[str]) -> Iterator[Row]:
    """Yield each level less the plain model: averaged over the activations, then within each."""
    activations = [activation for activation in plain if all((level, activation) in cells for level in levels)]
    for level in levels:
        terms = {a: [(cells[level, a], 1.0), (plain[a], -1.0)] for a in activations}
        if len(activations) > 1:
            averaged = [(model, sign / len(terms)) for pair in terms.values() for model, sign in pair]
            yield factor, level, PLAIN, None, averaged
        for activation, pair in terms.items():
            yield factor, level, PLAIN, activation, pair


def _activations(cells: Cells, techniques: list[str], activations: list[str]) -> Iterator[Row]:
    """Yield each activation less the first, averaged over the techniques."""
    reference, *others = activations
    for activation in others:
        terms = [
            (cells[technique, which], sign / len(techniques))
            for technique in techniques
            for which, sign in ((activation, 1.0), (reference, -1.0))
        ]
        yield "activation", activation, reference, None, terms


def _interaction(comparison: Comparison, cells: Cells, techniques: list[str], activations: list[str]) -> float:
    """Return the p that every technique does the same with every activation."""
    lines = []
    others = [technique for technique in techniques if technique != PLAIN]
    for technique, activation in product(others, activations[1:]):
        lines.append(np.zeros(len(comparison.estimates.accuracy)))
        _add(lines[-1], [
            (cells[technique, activation], 1.0), (cells[PLAIN, activation], -1.0),
            (cells[technique, activations[0]], -1.0), (cells[PLAIN, activations[0]], 1.0),
        ])  # fmt: skip
    return statistics.joint_p(comparison.estimates, np.array(lines))


def _add(line: np.ndarray, terms: list[tuple[int, float]]) -> None:
    for model, weight in terms:
        line[model] += weight
