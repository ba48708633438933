"""The five sentences at the top of both reports."""

import copy
import dataclasses
import html
import re
from typing import Any

import numpy as np

from mnist_mlp.report.results import Results
from mnist_mlp.report.summary import summary


def plain(text: str) -> str:
    """Return a sentence without Markdown's or HTML's marks."""
    return html.unescape(re.sub(r"<[^>]+>", "", text)).replace("`", "").replace("\u00a0", " ")


def test_both_reports_open_with_the_same_five_sentences(comparison_md, comparison_html, results):
    lines = summary(results)
    assert len(lines) == 5
    listed = re.search(r"^- .*?\n\n", comparison_md, re.MULTILINE | re.DOTALL)[0].splitlines()
    assert [line.removeprefix("- ") for line in listed if line] == lines
    shown = re.findall(r"<li>(.*?)</li>", re.search(r'<ul id="summary">(.*?)</ul>', comparison_html, re.DOTALL)[1])
    assert [plain(line) for line in shown] == [plain(line) for line in lines]


def test_the_sentences_are_true_of_the_numbers(results):
    variants, best, effects, published, candidate = summary(results)
    table = results.table.iloc[:-1]
    assert f"{len(table)} variants of 3 studies" in variants
    assert f"; {table['identical_to'].notna().sum()} of the {len(table)} are, to the bit" in variants
    first = table.loc[table["test_accuracy"].idxmax()]
    assert f"`{first['study']}/{first['variant']}`, which gets {100 * first['test_accuracy']:.2f} ±" in best
    assert f"[{100 * first['low']:.2f}, {100 * first['high']:.2f}]" in best
    gaps = (table["test_accuracy"] - table["published"]).dropna()
    inside = ((table["run_low"] <= table["published"]) & (table["published"] <= table["run_high"])).sum()
    assert f"The {len(gaps)} published figures are {100 * gaps.abs().mean():.2f} points away" in published
    assert f"at most {100 * gaps.abs().max():.2f}" in published
    assert f"; {inside} of them lie" in published
    own = results.table.iloc[-1]
    assert (
        f"{100 * own['test_accuracy']:.2f} ± {100 * own['test_accuracy_sd']:.2f} % right: place {own['rank']}"
        in candidate
    )
    assert "`techniques`, technique against `none`: no difference beyond chance" in effects
    assert "`penalties`, penalty against `none`: " in effects


def changed(results: Results, which: str, column: str, value: Any, row: int | slice = slice(None)) -> Results:
    table = getattr(results, which).copy()
    table.loc[table.index[row], column] = value
    return dataclasses.replace(results, **{which: table})


def test_the_sentences_change_with_the_numbers(results):
    lines = summary(results)

    def differ(other: Results) -> list[int]:
        return [i for i, (a, b) in enumerate(zip(lines, summary(other), strict=True)) if a != b]

    assert 0 in differ(changed(results, "table", "identical_to", None))
    assert 1 in differ(changed(results, "table", "low", 0.5))
    joint = {study: dict.fromkeys(p, 0.01) for study, p in results.statistics["joint_p"].items()}
    sure = dataclasses.replace(results, statistics=results.statistics | {"joint_p": joint})
    told = changed(sure, "effects", "p_holm", 0.01)
    assert differ(told) == [2]
    row = results.effects.iloc[0]
    assert f"`batchnorm` {100 * row['difference']:+.2f} points [" in summary(told)[2]
    far = changed(results, "table", "published", 0.1)
    assert differ(far) == [3]
    assert "; 0 of them lie" in summary(far)[3]
    assert differ(changed(results, "table", "test_accuracy", 0.5, -1)) == [4]


def test_what_was_not_tried_or_published_is_said(results):
    few = dataclasses.replace(results, effects=results.effects.iloc[:0])
    assert "No study is a grid of factors" in summary(few)[2]
    none = dataclasses.replace(results, published=None, table=results.table.assign(published=np.nan))
    assert summary(none)[3] == "No published figure is compared."


def test_an_average_over_what_differs_is_told_as_one(results):
    joint = copy.deepcopy(results.statistics["joint_p"])
    joint["techniques"] |= {"technique": 0.001, "technique x activation": 0.001}
    told = summary(dataclasses.replace(results, statistics=results.statistics | {"joint_p": joint}))[2]
    assert ", but not alike with every activation; `techniques`, activation against" in told
    assert "not alike" not in summary(results)[2]
