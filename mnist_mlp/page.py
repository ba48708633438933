"""The comparison as one page, reports/comparison.html: opens without a network, on a phone, in print, light and dark.

Its charts are tables whose cells are drawn in, or small SVGs, both in units of their own width; page.html.jinja has the
words and the layout, this file what they show.
"""

import base64
import io
import re
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from mnist_mlp import notebooks, sentences, wording
from mnist_mlp.findings import Findings, grid, identical, warning

TICKS = (0, 50, 70, 80, 85, 90, 93, 95, 96, 97, 97.5, 98, 98.5, 99, 99.5, 99.8, 99.9)
WORDS = {"better": "better", "worse": "worse", "undecided": "undecided", "beats": "beats", "loses": "loses to",
         "identical": "identical to"}  # fmt: skip


def html(findings: Findings) -> str:
    """reports/comparison.html."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "code": code,
        "percent": wording.percent,
        "points": wording.points,
        "chance": wording.chance,
    }
    return environment.get_template("page.html.jinja").render(
        findings=findings,
        dataset=findings.metrics["dataset"],
        warning=warning(findings),
        summary=sentences.summary(findings),
        limits=sentences.limits(findings),
        variants=_variants(findings),
        intervals=_intervals(findings),
        effects=_effects(findings.effects),
        heat=_heat(findings),
        matrix=_matrix(findings),
        unbeaten=findings.unbeaten,
        best=_best(findings),
        digits=_digits(findings),
        identical=[(group.to_dict("records"), reason) for group, reason in identical(findings)],
        noise=notebooks.published_noise(findings),
        run_sd=notebooks.run_sd(findings, "techniques"),
        fidelity=notebooks.fidelity(findings).to_dict("records"),
        agreement=notebooks.agreement(findings),
        contradictions=list(notebooks.contradictions(findings)),
        tabled=notebooks.tabled(findings).to_dict("records") if findings.published is not None else [],
        curves=_curves(findings),
        span=wording.span,
        signed=lambda low, high: wording.span(low, high, wording.points),
    )


def code(text: str) -> Markup:
    """`x` as code, no line broken ahead of %; the rest escaped."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text)).replace(" %", "\u00a0%")))


class Scale:
    """Values onto 0 to 100, logarithmic in the error where `errors`: 88 % and 98.5 % can both be read."""

    def __init__(self, low: float, high: float, errors: bool = False):
        self.errors, self.low, self.high = errors, 0.0, 1.0
        self.low, self.high = self._raw(low), self._raw(high)

    def _raw(self, value: float) -> float:
        return -float(np.log(max(1 - value, 5e-4))) if self.errors else value

    def __call__(self, value: float) -> float:
        share = (self._raw(value) - self.low) / ((self.high - self.low) or 1)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    def ticks(self, apart: float = 12) -> list[tuple[float, str]]:
        """Accuracies in percent and where they are, no two nearer than `apart`."""
        found = []
        for tick in reversed(TICKS):
            at, value = self(tick / 100), self._raw(tick / 100)
            if self.low <= value <= self.high and all(abs(at - other) >= apart for other, _ in found):
                found.append((at, f"{tick:g}"))
        return found[::-1]


def _variants(findings: Findings) -> list[dict[str, Any]]:
    rows = findings.table.to_dict("records")
    counts = findings.calibration.assign(
        gap=(findings.calibration["accuracy"] - findings.calibration["confidence"]).abs()
        * findings.calibration["count"]
    )
    sums = counts.groupby(["study", "variant"])[["gap", "count"]].sum()
    error = sums["gap"] / sums["count"]
    for row in rows:
        variant = findings.params.variant(row["study"], row["variant"])
        row |= {"layers": wording.layers(variant), "activation": variant.activation}
        row |= {"optimizer": wording.optimizer(variant), "calibration": error[row["study"], row["variant"]]}
        row["word"] = WORDS.get(row["verdict"], "")
    return rows


def _intervals(findings: Findings) -> dict[str, Any]:
    """Every variant's mean, interval, seeds and published figure, study by study, the best first."""
    table = findings.table
    ends = pd.concat([table["low"], table["high"], findings.results["test_accuracy"], table["published"]]).dropna()
    scale = Scale(max(ends.min(), 0), min(ends.max() + 0.001, 0.9995), errors=True)
    scores = findings.results.groupby(["study", "variant"])["test_accuracy"]
    studies = {}
    for study, rows in table.groupby("study", sort=False):
        studies[study] = [
            row._asdict() | {
                "dots": [scale(score) for score in scores.get_group((study, row.variant))],
                "at": scale(row.test_accuracy),
                "then": scale(row.published) if row.published == row.published else None,
                "ends": (scale(row.low), scale(row.high)) if row.low == row.low else None,
            }
            for row in rows.sort_values("rank", kind="stable").itertuples()
        ]  # fmt: skip
    return {"studies": studies, "ticks": scale.ticks(), "candidate": scale(findings.candidate["test_accuracy"])}


def _effects(effects: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The averaged effects of every factor, and those within each activation as `<factor>, within`.

    Either kind is drawn on a scale of its own, around zero, which techniques and activations share."""
    tables, within = {}, effects["within"].notna()
    for _, rows in effects.groupby([within, effects["factor"] == "penalty"], sort=False):
        reach = max([0.001, *rows[["low", "high", "difference"]].astype(float).abs().max().dropna()])
        scale = Scale(-reach, reach)
        for row in rows.itertuples():
            ends = (scale(row.low), scale(row.high)) if row.low == row.low else None
            drawn = {"at": scale(row.difference), "ends": ends, "reach": reach}
            kind = ", within" if isinstance(row.within, str) else ""
            tables.setdefault(row.factor + kind, []).append(row._asdict() | drawn)
    return tables


def _heat(findings: Findings) -> dict[str, Any]:
    table = grid(findings)
    values = table.to_numpy()
    scale = Scale(float(np.nanmin(values)), float(np.nanmax(values)))
    rows = [
        (technique, [(value, scale(value)) if value == value else None for value in row])
        for technique, row in zip(table.index, values, strict=True)
    ]
    return {"activations": list(table.columns), "rows": rows}


def _matrix(findings: Findings) -> dict[str, Any]:
    """All distinct models, the best first; a cell of row and column is filled where the row's is better, or worse."""
    distinct = findings.table[findings.table["identical_to"].isna()].sort_values("rank", kind="stable")
    names = [f"{row.study}/{row.variant}" for row in distinct.itertuples()]
    models = [(row.study, row.variant) for row in distinct.itertuples()]
    place, paths = {name: i for i, name in enumerate(names)}, {"better": [], "worse": []}
    for row in findings.pairs[findings.pairs["verdict"] != "undecided"].itertuples():
        i, j = place[f"{row.study}/{row.variant}"], place[f"{row.other_study}/{row.other_variant}"]
        first, second = ("better", "worse") if row.verdict == "better" else ("worse", "better")
        paths[first].append((i, j))
        paths[second].append((j, i))
    drawn = {word: "".join(f"M{j} {i}h1v1h-1z" for i, j in sorted(cells)) for word, cells in paths.items()}
    return {"models": models, "paths": drawn, "decided": len(paths["better"]), "pairs": len(findings.pairs)}


def _best(findings: Findings) -> dict[str, Any]:
    """The studies' best and the candidate: how often they are right where they are so sure, and what they mix up."""
    chosen = {}
    for row in (findings.best, findings.candidate):
        key = (row["study"], row["variant"])
        bins, cells = (
            table[(table["study"] == key[0]) & (table["variant"] == key[1])]
            for table in (findings.calibration, findings.confusion)
        )
        counts = cells.pivot(index="true", columns="predicted", values="count")
        counts = counts.reindex(index=range(10), columns=range(10)).fillna(0).astype(int)
        wrong = counts.to_numpy() * (1 - np.eye(10, dtype=int))
        chosen["/".join(dict.fromkeys(key))] = {
            "bins": bins.assign(size=1 + np.log10(bins["count"])).to_dict("records"),
            "confusion": counts.to_numpy().tolist(), "most": max(int(wrong.max()), 1),
            "replicates": int(row["replicates"]),
        }  # fmt: skip
    return chosen


def _digits(findings: Findings) -> dict[str, Any]:
    from PIL import Image  # matplotlib's

    shown = []
    for digit in findings.hardest["digits"]:
        file = io.BytesIO()
        Image.frombytes("L", (28, 28), base64.b64decode(digit["pixels"])).save(file, "PNG", optimize=True)
        shown.append(digit | {"png": base64.b64encode(file.getvalue()).decode()})
    return {"runs": findings.hardest["runs"], "shown": shown}


def _curves(findings: Findings) -> dict[str, list[dict[str, Any]]]:
    """Study -> its distinct models' curves, as SVG polylines over 100 x 60."""
    distinct = findings.table[findings.table["identical_to"].isna()]
    histories = dict(list(findings.history.groupby(["study", "variant"])))
    then = {} if findings.published is None else findings.published.set_index(["study", "variant"]).to_dict("index")
    curves = {}
    for study, rows in distinct.groupby("study", sort=False):
        table = findings.history[findings.history["study"] == study]
        last = int(table["epoch"].max())
        accuracy = Scale(*_range(table, "accuracy"), errors=True)
        low, high = _range(table, "loss")
        loss = Scale(0, max(high, 1e-9) if low < 0 else high)
        across = Scale(min(1, last - 1), last)
        for row in rows.itertuples():
            figure = then.get((study, row.variant), {})
            drawn = {
                metric: _lines(histories[study, row.variant], metric, across, scale)
                for metric, scale in (("accuracy", accuracy), ("loss", loss))
            }
            marks = {split: 60 - 0.6 * accuracy(figure[f"{split}_accuracy"]) for split in ("train", "test") if figure}
            curves.setdefault(study, []).append({
                "variant": row.variant, "accuracy": wording.accuracy(pd.Series(row._asdict())), "last": last,
                "lines": drawn, "ticks": [(60 - 0.6 * at, text) for at, text in accuracy.ticks()], "most": high,
                "marks": marks, "published": figure,
            })  # fmt: skip
    return curves


def _range(table: pd.DataFrame, metric: str) -> tuple[float, float]:
    """Of train and validation; losses up to what 98 % of the epochs stay below."""
    values = table[[metric, f"val_{metric}"]].to_numpy()
    return float(values.min()), float(values.max() if metric == "accuracy" else np.quantile(values, 0.98))


def _lines(history: pd.DataFrame, metric: str, across: Scale, scale: Scale) -> dict[str, list[str]]:
    """train and validation -> for each seed the points of its polyline; a single one twice, as a dot."""
    columns, lines = {"train": metric, "validation": f"val_{metric}"}, {"train": [], "validation": []}
    for _, seed in history.groupby("seed"):
        at = [across(epoch) for epoch in seed["epoch"]]
        for name, column in columns.items():
            points = [f"{x:g},{60 - 0.6 * scale(value):.1f}" for x, value in zip(at, seed[column], strict=True)]
            lines[name].append(" ".join(points * (2 if len(points) == 1 else 1)))
    return lines
