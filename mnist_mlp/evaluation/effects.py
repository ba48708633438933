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
ESTIMATES = ["difference", "error_images", "error_seeds", "low", "high", "p", "family_low", "family_high", "p_family",
             "p_alike", "visible", "seeds_needed"]  # fmt: skip
Joint = dict[str, dict[str, tuple[float, float]]]


def effects(params: Params, comparison: Comparison) -> tuple[pd.DataFrame, Joint]:
    """Return one row per effect, and by study what can be said of all effects of a factor or an interaction at once.

    level against reference; within: the levels of the other factors that it is seen with, or missing, where it is an
    average over the grid; difference in mean test accuracy, its standard errors by images and by seeds, its own 95 %
    interval and p; the simultaneous 95 % interval and p of all averages of all studies as one family, or of all others
    as another; of averages p_alike, that the effect is the same with all of the other levels (Holm, over all of
    them); visible: how large an effect the family finds with 80 % power; seeds_needed: with which this one would be,
    if it is as large as it looks, missing where 100 aren't enough. At once: by `<factor>` and `<factor> x <factor>`, p
    and the single effect that it finds with 80 % power.
    """
    rows, joint = [], {}
    models = len(comparison.estimates.accuracy)
    for study in params.studies:
        grid = grid_of(params, comparison, study)
        if grid is None:
            continue
        rows += [(study, *row) for factor in range(len(grid.factors)) for row in grid.effects(factor, models)]
        joint[study] = {
            name: statistics.joint(comparison.estimates, np.array(lines)) for name, lines in grid.joint(models) if lines
        }
    return _table(rows, comparison), joint


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
    table = pd.DataFrame([row[:-1] for row in rows], columns=COLUMNS)
    if table.empty:
        return table.reindex(columns=[*COLUMNS, *ESTIMATES])
    estimates, weights = comparison.estimates, np.array([row[-1] for row in rows])
    contrasts = statistics.contrasts(estimates, weights)
    low, high = contrasts.interval()
    table = table.assign(
        difference=contrasts.value, error_images=contrasts.error_images, error_seeds=contrasts.error_seeds,
        low=low, high=high, p=contrasts.p, p_alike=_alike(table, estimates, weights),
    )  # fmt: skip
    for members in (table["within"].isna().to_numpy(), table["within"].notna().to_numpy()):
        number = int(members.sum())
        if number:
            own = statistics.family(estimates, weights[members])
            visible = statistics.visible(contrasts.freedom[members], contrasts.error[members], number)
            needed = statistics.seeds_needed(estimates, weights[members], number)
            table.loc[members, ["family_low", "family_high", "p_family"]] = np.column_stack(own)
            table.loc[members, ["visible", "seeds_needed"]] = np.column_stack([visible, needed])
    return table.astype({"seeds_needed": "Int64"})[[*COLUMNS, *ESTIMATES]]


def _alike(table: pd.DataFrame, estimates: statistics.Estimates, weights: np.ndarray) -> pd.Series:
    """Return, of averages, Holm's p that the effect is the same with every level of the other factors."""
    p = pd.Series(np.nan, table.index)
    for _, group in table.groupby(["study", "factor", "level"], sort=False):
        average, within = group.index[group["within"].isna()], group.index[group["within"].notna()]
        if len(within) > 1:
            lines = weights[within[1:]] - weights[within[0]]
            p[average] = statistics.joint(estimates, _independent(lines))[0]
    return pd.Series(statistics.holm(p.to_numpy()), table.index)


def _independent(lines: np.ndarray) -> np.ndarray:
    """Return the first of the lines that no earlier ones make up: identical models leave some."""
    kept: list[np.ndarray] = []
    for line in lines:
        if np.linalg.matrix_rank(np.array([*kept, line])) > len(kept):
            kept.append(line)
    return np.array(kept).reshape(len(kept), lines.shape[1])
