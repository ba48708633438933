"""Numbers and variants as the reports write them."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from mnist_mlp.config import Variant


def percent(share: float) -> str:
    """Return a share in [0, 1] as percent; nothing for a missing one."""
    return f"{100 * share:.2f}" if pd.notna(share) else ""


def points(difference: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return f"{100 * difference:+z.2f}" if pd.notna(difference) else ""


def span(low: float, high: float, of: Callable[[float], str] = percent) -> str:
    """Return an interval."""
    return f"[{of(low)}, {of(high)}]" if pd.notna(low) else ""


def accuracy(row: pd.Series) -> str:
    """Return a variant's mean test accuracy in percent, with its 95 % interval. row: of variants.csv."""
    return " ".join(filter(None, [f"{percent(row['test_accuracy'])} %", span(row["low"], row["high"])]))


def chance(p: float) -> str:
    """Return a p-value."""
    return "p unknown" if pd.isna(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun, for example `2 seeds`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: list[str], most: int = 99) -> str:
    """Return names, each as code: `a`, `b` and `c`; beyond `most` of them only how many more there are."""
    words = [f"`{name}`" for name in names[:most]]
    if len(names) > most:
        words.append(f"{len(names) - most} more")
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def optimizer(variant: Variant) -> str:
    """Return a variant's optimizer, with the learning rate unless it is the default."""
    return variant.optimizer + ("" if variant.learning_rate == "default" else f" {variant.learning_rate:g}")


def seeds(table: pd.DataFrame) -> str:
    """Return how many seeds the variants of a table have."""
    fewest, most = table["replicates"].min(), table["replicates"].max()
    return count(most, "seed") if fewest == most else f"{fewest} to {most} seeds"


def rounds(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between two numbers, or the two themselves if there are fewer than two."""
    powers = range(int(np.floor(np.log10(low))), int(np.log10(high)) + 1)
    found = [times * 10.0**power for power in powers for times in (1, 2, 5) if low <= times * 10.0**power <= high]
    return found if len(found) > 1 else sorted({low, high})


def short(number: float) -> str:
    """Return a number with a letter for its thousands."""
    for letter, thousands in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= thousands:
            return f"{number / thousands:.3g} {letter}"
    return f"{number:.3g}"
