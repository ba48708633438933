"""The comparison as one page, reports/comparison.html: opens without a network, on a phone, in print, light and dark.

Its charts are tables whose cells are drawn in, or small SVGs, both in units of their own width; page.html.jinja has the
words and the layout, this file what they show.
"""

import base64
import io
import re
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from mnist_mlp.report import formatting, published, summary
from mnist_mlp.report.results import Results, across, costs, grids, identical, interactions, warning

TICKS = (0, 50, 70, 80, 85, 90, 93, 95, 96, 97, 97.5, 98, 98.5, 99, 99.5, 99.8, 99.9)
PALETTE = [  # of the studies, on light and on dark paper
    ("#00795a", "#2cc79b"), ("#a8467e", "#e08ab9"), ("#1f78b4", "#6db9ec"), ("#7a5c00", "#d3b34d"),
    ("#5b4bc4", "#a79bff"), ("#8a3b3b", "#ff9a8f"),
]  # fmt: skip
SIDE = 84  # pixels of the page, of one of the hardest images
CALM = 0.02  # of accuracy, that a heat map's colours span at least
NEXT = 8  # of the models that aren't the best, how many stand beside those that may be
CURVES, MATRIX = 60, 100  # how many models' curves a study shows, and how many models the matrix of all pairs
SEEN = {"undecided": "undecided", "beats": "better", "loses": "worse", "identical": "identical"}


def html(results: Results) -> str:
    """Return reports/comparison.html."""
    loader = jinja2.PackageLoader("mnist_mlp.report", ".")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "code": code,
        "percent": formatting.percent,
        "points": formatting.points,
        "chance": formatting.chance,
    }
    return environment.get_template("page.html.jinja").render(
        results=results,
        dataset=results.metrics["dataset"],
        warning=warning(results),
        opening=summary.opening(results),
        findings=summary.summary(results),
        shortfalls=_shortfalls(results),
        interactions={study: _interaction(rows) for study, rows in interactions(results).items()},
        across={study: across(results, study) for study in results.params.studies},
        duels=_duels(results),
        gaps=_gaps(results),
        costs=_costs(results),
        limits=summary.limits(results),
        variants=_variants(results),
        intervals=_intervals(results),
        effects=_effects(results.effects),
        heat={study: _heat(means) for study, means in grids(results).items()},
        shade=_shades(results),
        palette=PALETTE,
        matrix=_matrix(results),
        unbeaten=results.unbeaten,
        best=_best(results),
        hardest=_hardest(results),
        identical=[(group.to_dict("records"), reason) for group, reason in identical(results)],
        noise=published.published_noise(results),
        run_sds={study: published.run_sd(results, study) for study in published.twinned(results)},
        fidelity=published.fidelity(results).to_dict("records"),
        agreement=published.agreement(results),
        unseen=summary.unseen,
        contradictions=list(published.contradictions(results)),
        tabled=published.tabled(results).to_dict("records") if results.published is not None else [],
        curves=_curves(results),
        span=formatting.span,
        signed=lambda low, high: formatting.span(low, high, formatting.points),
    )


def code(text: str) -> Markup:
    """Return a text as markup: `x` as code, no line break before % nor in an interval, the rest escaped."""
    whole = re.sub(r"\[\S+, \S+\]", lambda found: found[0].replace(" ", "\u00a0"), str(escape(text)))
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", whole.replace(" %", "\u00a0%")))


class Scale:
    """Map values onto 0 to 100. errors: by the logarithm of 1 - value, so that 88 % and 98.5 % can both be read."""

    def __init__(self, low: float, high: float, errors: bool = False):
        self.errors, self.low, self.high = errors, 0.0, 1.0
        self.low, self.high = self._raw(low), self._raw(high)

    def _raw(self, value: float) -> float:
        return -float(np.log(max(1 - value, 5e-4))) if self.errors else value

    def __call__(self, value: float) -> float:
        share = (self._raw(value) - self.low) / ((self.high - self.low) or 1)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def ends(self, low: float, high: float) -> tuple[float, float] | None:
        """Map an interval; nothing for a missing one."""
        return (self(low), self(high)) if low == low else None

    def ticks(self, apart: float = 12) -> list[tuple[float, str]]:
        """Return accuracies in percent and their places, no two nearer than `apart`."""
        found: list[tuple[float, str]] = []
        for tick in reversed(TICKS):
            at, value = self(tick / 100), self._raw(tick / 100)
            if self.low <= value <= self.high and all(abs(at - other) >= apart for other, _ in found):
                found.append((at, f"{tick:g}"))
        return found[::-1]


def _variants(results: Results) -> list[dict[str, Any]]:
    rows = results.table.to_dict("records")
    for row in rows:
        variant = results.params.variant(row["study"], row["variant"])
        row |= {"layers": variant.describe(), "activation": variant.activation}
        row |= {"optimizer": formatting.optimizer(variant), "word": SEEN.get(row["verdict"], "")}
    return rows


def _intervals(results: Results) -> dict[str, Any]:
    """Return every variant's mean, interval, seeds and published figure, by study, the best first."""
    table = results.table
    ends = pd.concat([table["low"], table["high"], results.replicates["test_accuracy"], table["published"]]).dropna()
    scale = Scale(max(ends.min(), 0), min(ends.max() + 0.001, 0.9995), errors=True)
    scores = results.replicates.groupby(["study", "variant"])["test_accuracy"]
    studies = {}
    for study, rows in table.groupby("study", sort=False):
        studies[study] = [
            row._asdict() | {
                "dots": [scale(score) for score in scores.get_group((study, row.variant))],
                "at": scale(row.test_accuracy),
                "then": scale(row.published) if row.published == row.published else None,
                "ends": scale.ends(row.low, row.high),
            }
            for row in rows.sort_values("rank", kind="stable").itertuples()
        ]  # fmt: skip
    return {"studies": studies, "ticks": scale.ticks(), "candidate": scale(results.candidate["test_accuracy"])}


def _shortfalls(results: Results) -> dict[str, Any]:
    """Return the distinct models that may be the best, and the next ones: how far each is behind the best other."""
    shown = results.distinct.head(len(results.unbeaten) + NEXT).dropna(subset=["behind_low", "behind_high"])
    ends = shown[["behind_low", "behind_high"]].to_numpy()
    scale = Scale(min(float(ends.min(initial=-0.001)), 0), max(float(ends.max(initial=0.001)), 0))
    rows = [
        row._asdict() | {"at": scale(row.behind), "ends": scale.ends(row.behind_low, row.behind_high),
                         "may": row.behind_high > 0}
        for row in shown.itertuples()
    ]  # fmt: skip
    return {"rows": rows, "zero": scale(0)}


def _interaction(effects: pd.DataFrame) -> dict[str, Any]:
    """Return an interaction plot over 100 x 60: by level, its line, its points and their simultaneous intervals."""
    ends = effects[["family_low", "family_high", "difference"]].to_numpy(float)
    scale = Scale(min(np.nanmin(ends), -0.001), max(np.nanmax(ends), 0.001))
    where, levels = list(effects["within"].unique()), list(effects["level"].unique())
    wide, lines = 100 / len(where), []
    for number, level in enumerate(levels):
        points = []
        for row in effects[effects["level"] == level].itertuples():
            x = wide * (where.index(row.within) + 0.5 + 0.5 * ((number + 0.5) / len(levels) - 0.5))
            ends = [60 - 0.6 * end for end in scale.ends(row.family_low, row.family_high) or ()]
            points.append({"x": round(x, 2), "y": 60 - 0.6 * scale(row.difference), "ends": ends})
        lines.append({"level": level, "points": points, "shade": f"shade{number % len(PALETTE)}"})
    step = next(
        step for step in (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1) if (scale.high - scale.low) / step <= 6
    )
    first, last = int(np.ceil(scale.low / step)), int(np.floor(scale.high / step))
    ticks = [(60 - 0.6 * scale(step * i), f"{100 * step * i:+g}" if i else "0") for i in range(first, last + 1)]
    return {"lines": lines, "where": where, "zero": 60 - 0.6 * scale(0), "ticks": ticks,
            "reference": effects["reference"].iloc[0], "factor": effects["factor"].iloc[0]}  # fmt: skip


def _duels(results: Results) -> dict[str, Any]:
    """Return where the candidate's accuracy and the distinct models' are, by verdict."""
    own = results.candidate
    values = pd.concat(
        [results.distinct["test_accuracy"], own[["test_accuracy", "low", "high"]].astype(float)]
    ).dropna()
    scale = Scale(float(values.min()), min(float(values.max()) + 0.001, 0.9995), errors=True)
    models = {
        verdict: [scale(x) for x in rows["test_accuracy"]] for verdict, rows in results.distinct.groupby("verdict")
    }
    ends = scale.ends(own["low"], own["high"])
    return {"models": models, "at": scale(own["test_accuracy"]), "ends": ends, "ticks": scale.ticks(16)}


def _gaps(results: Results) -> dict[str, Any]:
    """Return our accuracies less the published ones, in points, on a scale around 0."""
    table = results.studied.dropna(subset="published")
    gaps = (table["test_accuracy"] - table["published"]).to_numpy()
    reach = max(0.001, float(np.abs(gaps).max(initial=0)))
    scale = Scale(-reach, reach)
    return {
        "dots": [(scale(gap), study) for gap, study in zip(gaps, table["study"], strict=True)],
        "reach": 100 * reach,
    }


def _costs(results: Results) -> dict[str, dict[str, Any]]:
    """Return scatter plots of accuracy against parameters and training work, over 100 x 60."""
    table = costs(results)
    accuracy = Scale(float(table["test_accuracy"].min()), float(table["test_accuracy"].max()) + 0.001, errors=True)
    drawn = {}
    for column in ("parameters", "work"):
        logs = np.log10(table[column].to_numpy())
        across = Scale(logs.min() - 0.05, logs.max() + 0.05)
        points = [
            (across(x), 60 - 0.6 * accuracy(row.test_accuracy), row.study, f"{row.study}/{row.variant}")
            for x, row in zip(logs, table.itertuples(), strict=True)
        ]
        ticks = [
            (across(np.log10(tick)), formatting.short(tick))
            for tick in formatting.rounds(10 ** logs.min(), 10 ** logs.max())
        ]
        drawn[column] = {
            "points": points,
            "ticks": ticks,
            "rows": [(60 - 0.6 * y, text) for y, text in accuracy.ticks()],
        }
    return drawn


def _shades(results: Results) -> dict[str, str]:
    """Return each study's class on the page, which has its colour."""
    studies = {study: f"shade{i % len(PALETTE)}" for i, study in enumerate(results.params.studies)}
    return studies | {"candidate": "candidate"}


def _effects(effects: pd.DataFrame) -> dict[str, dict[str, dict[bool, list[dict[str, Any]]]]]:
    """Return the effects by study, by factor, and by whether they are seen within levels of the other factors.

    Either kind is drawn on a scale of its own, around zero, which a study's factors share."""
    tables: dict[str, dict[str, dict[bool, list[dict[str, Any]]]]] = {}
    within = effects["within"].notna()
    for (_, study), rows in effects.groupby([within, "study"], sort=False):
        reach = max([0.001, *rows[["family_low", "family_high", "difference"]].astype(float).abs().max().dropna()])
        scale = Scale(-reach, reach)
        for row in rows.itertuples():
            ends = scale.ends(row.family_low, row.family_high)
            drawn = {"at": scale(row.difference), "ends": ends, "reach": reach}
            kinds = tables.setdefault(study, {}).setdefault(row.factor, {False: [], True: []})
            kinds[isinstance(row.within, str)].append(row._asdict() | drawn)
    return tables


def _heat(means: pd.DataFrame) -> dict[str, Any]:
    values = means.to_numpy()
    most = float(np.nanmax(values))
    scale = Scale(min(float(np.nanmin(values)), most - CALM), most)
    rows = [
        (level, [(value, scale(value)) if value == value else None for value in row])
        for level, row in zip(means.index, values, strict=True)
    ]
    return {"down": means.index.name, "across": means.columns.name, "columns": list(means.columns), "rows": rows}


def _matrix(results: Results) -> dict[str, Any]:
    """Return the distinct models, the best first, and the cells in which the row's model is better, or worse.

    all: how many models there are; those that aren't among the best MATRIX are not drawn."""
    ranked = results.table[results.table["identical_to"].isna()].sort_values("rank", kind="stable")
    distinct = ranked.head(MATRIX)
    names = [f"{row.study}/{row.variant}" for row in distinct.itertuples()]
    models = [(row.study, row.variant) for row in distinct.itertuples()]
    place = {name: i for i, name in enumerate(names)}
    paths: dict[str, list[tuple[int, int]]] = {"better": [], "worse": []}
    decided = results.pairs[results.pairs["verdict"] != "undecided"]
    for row in decided.itertuples():
        i, j = (place.get(name) for name in (f"{row.study}/{row.variant}", f"{row.other_study}/{row.other_variant}"))
        if i is None or j is None:
            continue
        first, second = ("better", "worse") if row.verdict == "better" else ("worse", "better")
        paths[first].append((i, j))
        paths[second].append((j, i))
    drawn = {word: "".join(f"M{j} {i}h1v1h-1z" for i, j in sorted(cells)) for word, cells in paths.items()}
    return {"models": models, "all": len(ranked), "paths": drawn, "decided": len(decided), "pairs": len(results.pairs)}


def _best(results: Results) -> dict[str, Any]:
    """Return how often the studies' best and the candidate are right, by confidence, and what they mix up."""
    chosen, classes = {}, int(results.confusion[["true", "predicted"]].to_numpy().max()) + 1
    for row in (results.best, results.candidate):
        key = (row["study"], row["variant"])
        bins, cells = (
            table[(table["study"] == key[0]) & (table["variant"] == key[1])]
            for table in (results.calibration, results.confusion)
        )
        counts = cells.pivot(index="true", columns="predicted", values="count")
        counts = counts.reindex(index=range(classes), columns=range(classes)).fillna(0).astype(int)
        wrong = counts.to_numpy() * (1 - np.eye(classes, dtype=int))
        chosen["/".join(dict.fromkeys(key))] = {
            "bins": bins.assign(size=1 + np.log10(bins["count"])).to_dict("records"),
            "confusion": counts.to_numpy().tolist(), "most": max(int(wrong.max()), 1),
            "replicates": int(row["replicates"]),
        }  # fmt: skip
    return chosen


def _hardest(results: Results) -> dict[str, Any]:
    """Return the hardest images as PNGs, and the size at which they are drawn: the longer side SIDE."""
    from PIL import Image  # matplotlib's

    size, shown = (results.hardest["width"], results.hardest["height"]), []
    for image in results.hardest["images"]:
        file = io.BytesIO()
        Image.frombytes("L", size, base64.b64decode(image["pixels"])).save(file, "PNG", optimize=True)
        shown.append(image | {"png": base64.b64encode(file.getvalue()).decode()})
    width, height = (max(1, round(SIDE * length / max(size))) for length in size)
    return {"runs": results.hardest["runs"], "shown": shown, "width": width, "height": height}


def _curves(results: Results) -> dict[str, dict[str, Any]]:
    """Return each study's distinct models' curves, as SVG polylines over 100 x 60.

    all: how many a study has; of more than CURVES, the best are drawn."""
    distinct = results.table[results.table["identical_to"].isna()]
    histories = dict(list(results.history.groupby(["study", "variant"])))
    then = {} if results.published is None else results.published.set_index(["study", "variant"]).to_dict("index")
    curves: dict[str, dict[str, Any]] = {}
    for study, rows in distinct.groupby("study", sort=False):
        table = results.history[results.history["study"] == study]
        last = int(table["epoch"].max())
        accuracy = Scale(*_range(table, "accuracy"), errors=True)
        low, high = _range(table, "loss")
        loss = Scale(0, max(high, 1e-9) if low < 0 else high)
        across = Scale(min(1, last - 1), last)
        curves[study] = {"all": len(rows), "models": []}
        for row in rows[rows["rank"].rank(method="first") <= CURVES].itertuples():
            figure = then.get((study, row.variant), {})
            drawn = {
                metric: _lines(histories[study, row.variant], metric, across, scale)
                for metric, scale in (("accuracy", accuracy), ("loss", loss))
            }
            marks = {split: 60 - 0.6 * accuracy(figure[f"{split}_accuracy"]) for split in ("train", "test") if figure}
            curves[study]["models"].append({
                "variant": row.variant, "accuracy": formatting.accuracy(pd.Series(row._asdict())), "last": last,
                "lines": drawn, "ticks": [(60 - 0.6 * at, text) for at, text in accuracy.ticks()], "most": high,
                "marks": marks, "published": figure,
            })  # fmt: skip
    return curves


def _range(table: pd.DataFrame, metric: str) -> tuple[float, float]:
    """Return the range of train and validation; of losses, up to what 98 % of the epochs stay below."""
    values = table[[metric, f"val_{metric}"]].to_numpy()
    return float(values.min()), float(values.max() if metric == "accuracy" else np.quantile(values, 0.98))


def _lines(history: pd.DataFrame, metric: str, across: Scale, scale: Scale) -> dict[str, list[str]]:
    """Return for train and validation each seed's polyline; a single point stands twice, as a dot."""
    columns = {"train": metric, "validation": f"val_{metric}"}
    lines: dict[str, list[str]] = {"train": [], "validation": []}
    for _, seed in history.groupby("seed"):
        at = [across(epoch) for epoch in seed["epoch"]]
        for name, column in columns.items():
            points = [f"{x:g},{60 - 0.6 * scale(value):.1f}" for x, value in zip(at, seed[column], strict=True)]
            lines[name].append(" ".join(points * (2 if len(points) == 1 else 1)))
    return lines
