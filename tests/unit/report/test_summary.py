"""The findings at the top of both reports, and the limits."""

import copy
import dataclasses
import html
import re
from typing import Any

import numpy as np
import pytest

from mnist_mlp.report.results import Results
from mnist_mlp.report.summary import limits, opening, summary


def texts(results: Results) -> list[str]:
    return [f"{finding.line} {finding.text}" for finding in summary(results)]


def plain(text: str) -> str:
    """Return a sentence without Markdown's or HTML's marks."""
    return html.unescape(re.sub(r"<[^>]+>", "", text)).replace("`", "").replace("\u00a0", " ")


def test_both_reports_open_with_the_same_five_lines(comparison_md, comparison_html, results):
    lines = texts(results)
    assert len(lines) == 5
    listed = re.search(r"^- .*?\n\n", comparison_md, re.MULTILINE | re.DOTALL)[0].splitlines()
    assert [line.removeprefix("- ").replace("**", "") for line in listed if line] == lines
    block = re.search(r'<ol id="summary">(.*?)</ol>', comparison_html, re.DOTALL)[1]
    shown = re.findall(r'<li><p><strong>(.*?)</strong></p>\s*<p class="behind">(.*?)</p>', block)
    assert [plain(" ".join(parts)) for parts in shown] == [plain(line) for line in lines]
    assert all("<svg" in item for item in block.split("<li>")[1:])  # a picture each


def test_the_sentences_are_true_of_the_numbers(results):
    best, techniques, penalties, published, candidate = texts(results)
    table = results.table.iloc[:-1]
    distinct = table["identical_to"].isna().sum()
    assert f"{len(table)} variants of 3 studies are {distinct} distinct models" in opening(results)
    first = table.loc[table["test_accuracy"].idxmax()]
    interval = f"[{100 * first['low']:.2f}, {100 * first['high']:.2f}]"
    assert (
        f"`{first['study']}/{first['variant']}` has the highest mean, {100 * first['test_accuracy']:.2f} % {interval}"
        in best
    )
    assert f"gets {100 * results.statistics['best_apart']:.2f} % on the other half" in best
    may = table[table["identical_to"].isna() & (table["behind_high"] > 0)]
    assert " may be the best." in best
    assert all(f"`{row.variant}`" in best for row in may.sort_values("rank").head(2).itertuples())
    gaps = (table["test_accuracy"] - table["published"]).dropna()
    inside = ((table["run_low"] <= table["published"]) & (table["published"] <= table["run_high"])).sum()
    assert f"{100 * gaps.abs().mean():.2f} points on average" in published
    assert f"{100 * gaps.abs().max():.2f} at most" in published
    assert published.startswith(
        f"{inside} of {len(gaps)} published accuracies lie where we expect a new run (95 % prediction interval)."
    )
    assert f"{0.95 * len(gaps):.0f} are expected" in published
    assert (
        f"our accuracies are {100 * abs(gaps.mean()):.2f} points {'higher' if gaps.mean() > 0 else 'lower'}"
        in published
    )
    assert re.search(r"our test losses are \d+\.\d\d % (higher|lower) \(p [=<] \d\.\d+\)\.", published)
    own = results.table.iloc[-1]
    interval = f"[{100 * own['low']:.2f}, {100 * own['high']:.2f}]"
    assert re.match(
        rf"The candidate is in place {own['rank']} of {distinct + 1}(; places \d+ to \d+ are possible)?\. ", candidate
    )
    assert f"Its mean is {100 * own['test_accuracy']:.2f} % {interval}." in candidate
    counted = table[table["identical_to"].isna()]["verdict"].value_counts()
    assert re.search(
        rf"better than {counted.get('beats', 0)} models? and worse than {counted.get('loses') or 'none'}\.", candidate
    )
    assert techniques.startswith("`techniques`, compared with `none`: ")
    assert penalties.startswith("`penalties`, compared with `none`: ")
    assert "±" not in " ".join(texts(results))


def changed(results: Results, which: str, column: str, value: Any, row: int | slice = slice(None)) -> Results:
    table = getattr(results, which).copy()
    table.loc[table.index[row], column] = value
    return dataclasses.replace(results, **{which: table})


def test_the_sentences_change_with_the_numbers(results):
    lines = texts(results)

    def differ(other: Results) -> list[int]:
        return [i for i, (a, b) in enumerate(zip(lines, texts(other), strict=True)) if a != b]

    assert opening(changed(results, "table", "identical_to", None)) != opening(results)
    assert 0 in differ(changed(results, "table", "low", 0.5))
    certain = changed(results, "table", "behind_high", 0.0)
    certain.table.loc[results.best.name, "behind_high"] = 0.01
    assert texts(certain)[0].startswith(f"`{results.best['study']}/{results.best['variant']}` is the best. ")
    far = changed(results, "table", "published", 0.1)
    assert differ(far) == [3]
    assert texts(far)[3].startswith(f"0 of {len(far.studied)} published accuracies lie")
    assert differ(changed(results, "table", "test_accuracy", 0.5, -1)) == [4]


def test_no_effect_is_called_none_and_each_shows_its_interval(results):
    row = results.effects.iloc[0]
    numbers = (
        f"`batchnorm` {100 * row['difference']:+.2f} [{100 * row['family_low']:+.2f}, {100 * row['family_high']:+.2f}]"
    )
    undecided = changed(results, "effects", "p_family", 0.5)
    told = texts(undecided)[1]
    assert (
        f"undecided: {numbers} (an effect of {100 * row['visible']:.2f} points would be found in 4 of 5 repetitions)"
        in told
    )
    decided = texts(changed(results, "effects", "p_family", 0.01))[1]
    assert numbers in decided
    assert "undecided" not in decided.partition("Whether")[0]
    assert "`batchnorm` hurts" in decided or "`batchnorm` helps" in decided
    assert "`batchnorm` is undecided" in told
    assert "no difference" not in told + decided


def test_a_large_p_never_stands_without_what_the_design_could_have_seen(results, comparison_md, comparison_html):
    for text in (*texts(results), *comparison_md.splitlines(), plain(comparison_html)):
        for p in re.finditer(r"(?:technique|activation|penalty)\S* p = (0\.\d+)", text):
            if float(p[1]) >= 0.05:
                assert text[p.end() :].startswith(", and an effect of "), text[p.start() :][:80]


def test_an_effect_that_differs_by_another_factor_is_told_by_it(results):
    alike = changed(results, "effects", "p_alike", 0.5)
    told = texts(changed(alike, "effects", "p_alike", 0.001, 0))[1]
    assert "`batchnorm` undecided with relu, tanh" in told
    row = results.effects[(results.effects["level"] == "batchnorm") & (results.effects["within"] == "relu")].iloc[0]
    sure = changed(changed(alike, "effects", "p_alike", 0.001, 0), "effects", "p_family", 0.01, row.name)
    numbers = f"{100 * row['difference']:+.2f} [{100 * row['family_low']:+.2f}, {100 * row['family_high']:+.2f}]"
    assert f"`batchnorm` {numbers} with relu, undecided with the others" in texts(sure)[1]
    assert "the effect of `batchnorm` depends on activation." in told
    assert f"`batchnorm` {100 * results.effects.iloc[0]['difference']:+.2f} [" not in told
    joint = copy.deepcopy(results.statistics["joint"])
    joint["techniques"]["technique x activation"]["p"] = 0.001
    told = texts(dataclasses.replace(alike, statistics=results.statistics | {"joint": joint}))[1]
    assert "Taken together, these effects depend on activation (p = 0.001)." in told
    joint["techniques"]["technique x activation"]["p"] = 0.6
    told = texts(dataclasses.replace(alike, statistics=results.statistics | {"joint": joint}))[1]
    assert "Whether these effects depend on activation is undecided (p = 0.60, and an effect of " in told


def test_what_was_not_tried_or_published_is_said(results):
    few = dataclasses.replace(results, effects=results.effects.iloc[:0])
    assert [finding.picture for finding in summary(few)] == ["best", "published", "candidate"]
    none = dataclasses.replace(results, published=None, table=results.table.assign(published=np.nan))
    assert texts(none)[3] == "No published accuracy is compared. "


def test_the_limits_say_what_the_tests_could_see_and_what_was_not_asked(results):
    lines = " ".join(limits(results))
    assert "is found with 80 % power" in lines
    assert "one data set and one set of training images" in lines
    assert "No network is tuned" in lines
    studies = copy.deepcopy(results.statistics["studies"])
    studies["techniques"] |= {"bartlett_p": 0.5, "bartlett_power": 0.39}
    lines = limits(dataclasses.replace(results, statistics=results.statistics | {"studies": studies}))
    (line,) = (line for line in lines if "Bartlett's test" in line and "`techniques`" in line)
    assert "would notice one model with 6 times the others' standard deviation in 39 % of cases" in line


@pytest.mark.parametrize(("last", "said"), [(0.5, True), (0.95, False)])
def test_a_model_that_was_still_learning_is_named(last, said, results):
    history = results.history.copy()
    own = (history["study"] == "architectures") & (history["variant"] == "model1")
    epochs = history.loc[own, "epoch"]
    history["val_loss"] = 1.0
    history.loc[own & (history["epoch"] == epochs.max()), "val_loss"] = last
    lines = limits(dataclasses.replace(results, history=history))
    assert any(line.startswith("`architectures/model1` had not finished learning") for line in lines) == said
