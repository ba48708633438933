"""What the factors of a study do to test accuracy, over its grid: each level against its factor's reference.

Levels that are one and the same model whatever the other factors are one level: no average counts them twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd

from mnist_mlp.config import Params
from mnist_mlp.evaluation import statistics
from mnist_mlp.evaluation.comparisons import Comparison

COLUMNS = ["study", "factor", "level", "reference", "within"]
ESTIMATES = ["difference", "error_images", "error_seeds", "low", "high", "p", "p_holm"]


def effects(params: Params, comparison: Comparison) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    """Return one row per effect, and by study the p of all effects of a factor, or of two factors' interaction.

    level against reference; within: the levels of the other factors that it is seen with, or missing, where it is an
    average over the grid; difference in mean test accuracy, its standard errors by images and by seeds, its 95 %
    interval, p, and Holm's p over the factor's rows that are, or aren't, averages. Joint p: by `<factor>`, and
    `<factor> x <factor>`.
    """
    tables, joint = [pd.DataFrame(columns=[*COLUMNS, *ESTIMATES])], {}
    models = len(comparison.estimates.accuracy)
    for study in params.studies:
        grid = grid_of(params, comparison, study)
        if grid is None:
            continue
        rows = [(study, *row) for factor in range(len(grid.factors)) for row in grid.effects(factor, models)]
        if rows:
            tables.append(_table(rows, comparison))
        joint[study] = {
            name: statistics.joint_p(comparison.estimates, np.array(lines))
            for name, lines in grid.joint(models)
            if lines
        }
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True), joint


@dataclass(frozen=True)
class Grid:
    """A study's distinct levels, and which distinct model each combination of them is.

    factors: its levels by factor, the reference first. cells: [levels of the first, levels of the second, ...]."""

    factors: dict[str, list[str]]
    cells: np.ndarray

    def effects(self, factor: int, models: int) -> Iterator[tuple[str, str, str, str | None, np.ndarray]]:
        """Yield factor, level, reference, within and weights [models]: averaged, then with each of the other levels."""
        name, (reference, *levels) = list(self.factors.items())[factor]
        others = [names for other, names in self.factors.items() if other != name]
        for number, level in enumerate(levels, start=1):
            lines = self._contrast({factor: number}, models)
            yield name, level, reference, None, lines.mean(axis=0)
            if len(lines) > 1:
                for which, line in zip(product(*others), lines, strict=True):
                    yield name, level, reference, "-".join(which), line

    def joint(self, models: int) -> Iterator[tuple[str, list[np.ndarray]]]:
        """Yield each factor and each two factors, and the contrasts that are nothing if they do nothing."""
        sizes = dict(enumerate(self.cells.shape))
        for number in (1, 2):
            for chosen in combinations(sizes, number):
                levels = product(*(range(1, sizes[factor]) for factor in chosen))
                lines = [self._contrast(dict(zip(chosen, those, strict=True)), models).mean(axis=0) for those in levels]
                yield " x ".join(list(self.factors)[factor] for factor in chosen), lines

    def _contrast(self, levels: dict[int, int], models: int) -> np.ndarray:
        """Return level less reference, of several factors the difference of such differences.

        levels: by factor. Returns weights [combinations of the other factors' levels, models]."""
        cells, signs = np.moveaxis(self.cells, list(levels), range(len(levels))), (1.0, -1.0)
        lines = 0.0
        for which in product((0, 1), repeat=len(levels)):
            place = tuple(0 if reference else level for reference, level in zip(which, levels.values(), strict=True))
            sign = np.prod([signs[reference] for reference in which])
            lines = lines + sign * np.eye(models)[cells[place].ravel()]
        return np.asarray(lines)


def grid_of(params: Params, comparison: Comparison, study: str) -> Grid | None:
    """Return a study's grid, or None if it has no factors.

    The reference of another study, if one is named and can be compared, is the first level of the first factor."""
    body = params.studies[study]
    if not body.factors:
        return None
    models = {(one.variant.study, one.variant.name): int(model)
              for one, model in zip(comparison.predictions, comparison.model, strict=True)}  # fmt: skip
    factors = {name: list(levels) for name, levels in body.factors.items()}
    cells = np.array([models[study, "-".join(names)] for names in product(*factors.values())])
    cells = cells.reshape([len(levels) for levels in factors.values()])
    if found := reference(params, study):
        first, *others = factors
        added = [models[found[0], "-".join([found[1], *names])] for names in product(*(factors[o] for o in others))]
        cells = np.concatenate([np.array(added).reshape(1, *cells.shape[1:]), cells])
        factors[first] = [found[1], *factors[first]]
    for axis, (name, levels) in enumerate(factors.items()):
        columns = np.moveaxis(cells, axis, 0).reshape(len(levels), -1)
        kept = np.sort(np.unique(columns, axis=0, return_index=True)[1])
        cells, factors[name] = np.take(cells, kept, axis), [levels[i] for i in kept]
    return Grid(factors, cells)


def reference(params: Params, study: str) -> tuple[str, str] | None:
    """Return the study and the level that a study names as its reference, or None if it doesn't, or they can't be.

    They can't unless the other study has that level with every level of this one's other factors, and its protocol."""
    body = params.studies[study]
    other, _, level = (body.reference or "").partition("/")
    if other not in params.studies or params.studies[other].protocol != body.protocol or other == study:
        return None
    known = {variant.name for variant in params.variants if variant.study == other}
    _, *rest = body.factors.values()
    needed = {"-".join([level, *names]) for names in product(*rest)}
    taken = level in next(iter(body.factors.values()))
    return (other, level) if needed <= known and not taken else None


def _table(rows: list[tuple], comparison: Comparison) -> pd.DataFrame:
    contrasts = statistics.contrasts(comparison.estimates, np.array([row[-1] for row in rows]))
    low, high = contrasts.interval()
    table = pd.DataFrame([row[:-1] for row in rows], columns=COLUMNS).assign(
        difference=contrasts.value, error_images=contrasts.error_images, error_seeds=contrasts.error_seeds,
        low=low, high=high, p=contrasts.p,
    )  # fmt: skip
    family = table["factor"] + table["within"].isna().astype(str)
    return table.assign(p_holm=table.groupby(family)["p"].transform(lambda p: statistics.holm(p.to_numpy())))
