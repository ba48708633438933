"""Every figure of the project, by matplotlib's objects alone: without pyplot or a user's style, safe in threads.

Nine inches wide make a figure whose text reads well at the 900 pixels that a README gives it.
"""

import contextlib
import threading
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mnist_mlp import files
from mnist_mlp.report.formatting import rounds, short

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, DPI = 9.0, 150
# Okabe and Ito's palette, told apart by the colour-blind: the same colour for the same thing in every figure.
TRAIN, VALIDATION = "#0072B2", "#E69F00"
STUDIES, CANDIDATE = ("#009E73", "#CC79A7", "#56B4E9", "#0072B2", "#E69F00", "#999999"), "#D55E00"
COLUMNS = 6  # of the hardest images
SEEN = 0.05  # percent of a class that a confusion matrix writes at least
MOST = 60  # of a study's variants, that are drawn
CALM = 2.0  # points that a heat map's colours span at least
INK, FAINT = "#333333", "#DDDDDD"
LABEL = {"loss": "cross-entropy (nats)", "accuracy": "accuracy (%)"}
TICKS = (0, 20, 40, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97, 97.5, 98, 98.5, 99, 99.2, 99.5, 99.7, 99.9)
_drawing = threading.Lock()


@contextlib.contextmanager
def _alone_with_defaults() -> Iterator[None]:
    """Draw one figure at a time, with matplotlib's defaults: its settings are global to the process."""
    import matplotlib

    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    with _drawing, matplotlib.rc_context(defaults):
        yield


def map_name(study: str) -> str:
    """Return the file name of a study's heat map."""
    return f"grid-{study}.png"


def interaction_name(study: str) -> str:
    """Return the file name of a study's interaction plot."""
    return f"interaction-{study}.png"


def study_colours(studies: list[str]) -> dict[str, str]:
    """Return each study's colour, and the candidate's. studies: in the order of params.yaml."""
    return dict(zip(studies, cycle(STUDIES))) | {"candidate": CANDIDATE}


@_alone_with_defaults()
def learning_curves(history: "pd.DataFrame", metric: Literal["loss", "accuracy"], title: str) -> "Figure":
    """Draw what the notebooks draw: a metric by epoch, train and validation; thin: each replicate, thick: their mean.

    history: columns seed, epoch (from 1), loss, accuracy, val_loss, val_accuracy; losses in nats, accuracies in [0, 1].
    """
    figure, axes = _figure(6, 4, layout=None)  # a third less time to draw; the margins are all alike
    figure.subplots_adjust(left=0.14, right=0.98, bottom=0.12, top=0.92)
    seeds = history["seed"].nunique()
    for column, what, colour in ((metric, "train", TRAIN), (f"val_{metric}", "validation", VALIDATION)):
        label = f"{what}, mean of {seeds} seeds" if seeds > 1 else what
        _curve(axes, history, column, colour, label)
    if seeds > 1:
        axes.plot([], [], color=INK, linewidth=0.7, label="each seed")
    axes.set(title=title, xlabel="epoch", ylabel=LABEL[metric])
    axes.legend(frameon=False)
    return figure


@_alone_with_defaults()
def accuracies(
    results: "pd.DataFrame", intervals: "pd.DataFrame", published: "pd.DataFrame | None", title: str
) -> "Figure":
    """Draw every variant's test accuracy, by study, the best on top; first the candidate, and a line down from it.

    A study of more than MOST variants has the best of them drawn; its heading says so.

    results: columns study, variant, seed, test_accuracy in [0, 1], the candidate last; intervals: study, variant, low,
    high; published: study, variant, test_accuracy, or None. The scale is logarithmic in the error, so that both 88 %
    and 98.5 % can be read.
    """
    from matplotlib.lines import Line2D

    scores = results.assign(percent=100 * results["test_accuracy"]).groupby(["study", "variant"], sort=False)["percent"]
    means, ends = scores.mean(), 100 * intervals.set_index(["study", "variant"])[["low", "high"]]
    *studies, candidate = means.index.unique("study")
    numbers = {study: len(means[study]) for study in means.index.unique("study")}
    drawn = sum(min(number, MOST) for number in numbers.values())
    figure, axes = _figure(WIDTH, 1.5 + 0.2 * (drawn + 1.5 * len(studies)))
    rows, y = {0.0: (candidate, candidate)}, 1.5  # y: (study, variant or None for a heading)
    colours = study_colours(studies)
    for study in studies:
        rows[y] = (study, None)
        for variant in means[study].sort_values(ascending=False, kind="stable").index[:MOST]:
            y += 1
            rows[y] = (study, variant)
        y += 1.5
    for y, (study, variant) in rows.items():
        if variant is not None:
            dots, colour = scores.get_group((study, variant)), colours[study]
            axes.plot(ends.loc[study, variant], [y, y], color=colour, linewidth=5, alpha=0.3, solid_capstyle="butt")
            axes.plot(dots, [y] * len(dots), "o", color=colour, markersize=4, alpha=0.6, markeredgewidth=0)
            axes.plot(dots.mean(), y, "|", color=colour, markersize=11, markeredgewidth=2.5)
    legend = [
        Line2D([], [], color=INK, linewidth=5, alpha=0.3, label="95 % interval"),
        Line2D(
            [], [], color=INK, marker="o", markersize=4, alpha=0.6, linestyle="", markeredgewidth=0, label="each seed"
        ),
        Line2D([], [], color=INK, marker="|", markersize=11, markeredgewidth=2.5, linestyle="", label="mean"),
    ]
    if published is not None:
        then = published.set_index(["study", "variant"])["test_accuracy"].reindex(list(rows.values())) * 100
        legend += axes.plot(then, list(rows), "D", color=INK, fillstyle="none", markersize=5, label="published")
    middle, colour = means[candidate].iloc[0], colours[candidate]
    line = axes.axvline(middle, zorder=0.5, color=colour, linewidth=1, linestyle="--", label="candidate's mean")
    legend.append(line)

    _error_scale(axes, "x")
    headings = {s: s if number <= MOST else f"{s}, best {MOST} of {number:,}" for s, number in numbers.items()}
    axes.set_yticks(list(rows), [variant or headings[study] for study, variant in rows.values()], fontsize=9)
    for tick, (study, variant) in zip(axes.get_yticklabels(), rows.values(), strict=True):
        if variant in (None, candidate):
            tick.set(fontweight="bold", color=colours[study])
    axes.tick_params(axis="y", length=0)
    axes.set(ylim=(max(rows) + 0.8, -0.8), xlabel="test accuracy (%), on a scale of the error's logarithm")
    axes.set_title(title)
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False)
    return figure


@_alone_with_defaults()
def heat_map(means: "pd.DataFrame", title: str) -> "Figure":
    """Draw mean test accuracy in [0, 1] by the levels of two factors: the index's, down, and the columns', across.

    The colours span 2 points or more, so that hundredths of a point don't shout."""
    figure, axes = _figure(WIDTH, 1.4 + 0.42 * len(means))
    percent = 100 * means.to_numpy()
    most = np.nanmax(percent)
    picture = axes.imshow(percent, cmap="viridis", aspect="auto", vmin=min(np.nanmin(percent), most - CALM), vmax=most)
    light = np.asarray(picture.norm(percent))
    for (i, j), value in np.ndenumerate(percent):
        if np.isfinite(value):
            colour = "black" if light[i, j] > 0.6 else "white"
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xticks(range(means.shape[1]), means.columns)
    axes.set_yticks(range(len(means)), means.index)
    axes.tick_params(length=0)
    axes.set(title=title, xlabel=means.columns.name, ylabel=means.index.name)
    figure.colorbar(picture, label="test accuracy (%)", pad=0.01).outline.set_visible(False)
    return figure


@_alone_with_defaults()
def interaction(effects: "pd.DataFrame", across: str, title: str) -> "Figure":
    """Draw what each level does, against its factor's reference, with each level of the other factors.

    effects: level, reference, within, and in [-1, 1] difference, family_low, family_high; across: what
    within is called."""
    figure, axes = _figure(WIDTH, 4.0)
    places = {which: x for x, which in enumerate(effects["within"].unique())}
    levels = effects["level"].unique()
    for number, (level, colour) in enumerate(zip(levels, cycle(STUDIES))):
        rows = effects[effects["level"] == level]
        x = rows["within"].map(places) + 0.5 * (number + 0.5 - len(levels) / 2) / max(len(levels), 1)
        values = 100 * rows["difference"]
        reach = np.abs(100 * rows[["family_low", "family_high"]].sub(rows["difference"], axis=0)).fillna(0.0).T
        faint = (*_rgb(colour), 0.4)
        axes.errorbar(x, values, reach, color=colour, marker="o", linewidth=1, elinewidth=3, ecolor=faint, label=level)
    axes.axhline(0, color=INK, linewidth=1, linestyle="--")
    axes.set_xticks(list(places.values()), list(places))
    axes.set(title=title, xlabel=across, ylabel=f"less {effects['reference'].iloc[0]} (points of test accuracy)")
    words = "bars: 95 % intervals, all at once"
    figure.legend(loc="outside lower center", ncols=len(levels), frameon=False, title=words)
    return figure


@_alone_with_defaults()
def costs(table: "pd.DataFrame", title: str) -> "Figure":
    """Draw test accuracy in [0, 1] against what it costs. table: study, test_accuracy, parameters, work (the number of
    multiply-adds that each training image costs over all epochs), the candidate last."""
    figure, axes = _figure(WIDTH, 4.0, number=2)
    colours = study_colours([study for study in table["study"].unique() if study != "candidate"])
    words = ("parameters", "multiply-adds per training image, over all epochs")
    for one, column, label in zip(axes, ("parameters", "work"), words, strict=True):
        for study, rows in table.groupby("study", sort=False):
            style = {"marker": "D", "markersize": 7} if study == "candidate" else {"marker": "o", "markersize": 5}
            style |= {"linestyle": "", "color": colours[study], "alpha": 0.7, "markeredgewidth": 0}
            one.plot(rows[column], 100 * rows["test_accuracy"], label=study, **style)
        one.set_xscale("log")
        ticks = rounds(table[column].min(), table[column].max())
        one.set_xticks(ticks, [short(tick) for tick in ticks])
        one.minorticks_off()
        _error_scale(one, "y")
        one.set(xlabel=label, ylabel="test accuracy (%)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title)
    return figure


@_alone_with_defaults()
def validation_curves(curves: "dict[str, tuple[str, pd.DataFrame]]", title: str) -> "Figure":
    """Draw validation accuracy by epoch. curves: label -> (study, history), in the legend's order."""
    figure, axes = _figure(WIDTH, 4.5)
    (candidate, _), *studied = curves.values()
    colours = study_colours([study for study, _ in studied]) | {candidate: CANDIDATE}
    for label, (study, history) in curves.items():
        _curve(axes, history, "val_accuracy", colours[study], label)
    _error_scale(axes, "y")
    axes.set(title=title, xlabel="epoch")
    axes.set_ylabel("validation accuracy (%), on a scale\nof the error's logarithm")
    axes.legend(frameon=False, title="thick: mean; thin: each seed", alignment="left")
    return figure


@_alone_with_defaults()
def errors(confusion: np.ndarray, images: np.ndarray, names: list[str], title: str) -> "Figure":
    """Draw what a variant gets wrong: the confusion matrix and, beside it, its hardest test images.

    confusion: [classes, classes], the share of each class's images, down, that is taken for each class, across; images:
    [n, height, width] in [0, 1], at least one; names: what is written under each image."""
    figure, (matrix, gallery) = _figure(WIDTH, 4.5, layout=None, number=2)
    matrix.set_position((0.06, 0.1, 0.43, 0.76))
    gallery.set_position((0.53, 0.05, 0.46, 0.81))
    matrix.grid(visible=False)
    matrix.spines[:].set_visible(False)
    wrong = 100 * confusion * (1 - np.eye(len(confusion)))
    matrix.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(wrong.max(), 0.1))
    for (i, j), share in np.ndenumerate(100 * confusion):
        if i == j or share >= SEEN:
            dark = wrong[i, j] > 0.6 * wrong.max()
            words = {"ha": "center", "va": "center", "fontsize": 7, "color": "white" if i != j and dark else INK}
            matrix.text(j, i, f"{share:.1f}", **words)
    matrix.set_xticks(range(len(confusion)))
    matrix.set_yticks(range(len(confusion)))
    matrix.tick_params(length=0, labelsize=8)
    matrix.set(title="percent of each class", xlabel="class predicted", ylabel="class shown")
    rows, columns = -(-len(images) // COLUMNS), COLUMNS
    _, height, width = images.shape
    down, across = height + height // 3, width + width // 7  # with room for a line of text
    picture = np.ones((rows * down, columns * across))
    for i, (image, name) in enumerate(zip(images, names, strict=True)):
        y, x = i // columns * down, i % columns * across
        picture[y : y + height, x : x + width] = 1 - image
        gallery.text(x + width / 2, y + height, name, ha="center", va="top", fontsize=8, color=INK)
    gallery.imshow(picture, cmap="gray", vmin=0, vmax=1)
    gallery.set_axis_off()
    gallery.set_title("the hardest test images: class shown, as predicted")
    figure.suptitle(title)
    return figure


@_alone_with_defaults()
def save(figure: "Figure", path: Path) -> None:
    """Write a PNG whose bytes follow from the figure alone, whole or not at all."""
    with files.replaced_file(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})


def _figure(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained", number: int = 1
) -> tuple["Figure", Any]:
    """Return a figure and its axes, a list of several."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(1, number, i + 1) for i in range(number)]
    for axes in panels:
        axes.grid(color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels if number > 1 else panels[0]


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def _curve(axes: "Axes", history: "pd.DataFrame", column: str, colour: str, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    table = history.pivot(index="epoch", columns="seed", values=column) * (100 if "accuracy" in column else 1)
    marker = "o" if len(table) == 1 else None
    if table.shape[1] > 1:
        axes.plot(table.index, table, color=colour, linewidth=0.7, alpha=0.6, marker=marker)
    axes.plot(table.index, table.mean(axis=1), color=colour, linewidth=2, marker=marker, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def _error_scale(axes: "Axes", which: Literal["x", "y"]) -> None:
    """Set a scale of percents that is logarithmic in 100 less them; above 99.95 is drawn as 99.95."""
    scale = {"functions": (lambda percent: -np.log(np.maximum(100 - percent, 0.05)), lambda y: 100 - np.exp(-y))}
    getattr(axes, f"set_{which}scale")("function", **scale)
    axes.autoscale()
    axis = getattr(axes, f"{which}axis")
    low, high = axis.get_view_interval()
    axis.set_ticks(
        [tick for tick in TICKS if low <= tick <= high], [f"{tick:g}" for tick in TICKS if low <= tick <= high]
    )
