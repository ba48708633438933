"""The comparison in Markdown, against the CSV files that it is made from; and what the terminal says."""

import re

import numpy as np
import pandas as pd
import pytest

from mnist_mlp import paths
from mnist_mlp.report import documents, figures, lessons, markdown, terminal
from stages import evaluate
from tests.helpers.made_outputs import TWINS, make, read_results, rows, run_main


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table(text: str) -> list[dict[str, str]]:
    """Return the first Markdown table of a text. Every line must have as many cells as its head."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines if set("".join(line)) != set(" -")]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


@pytest.fixture(scope="module")
def published(root) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["study"], row["variant"]): row for row in rows(root / paths.PUBLISHED)}


def test_study_tables_say_what_the_csv_files_do(root, comparison_md, published):
    means = {}
    for row in rows(root / "reports/results.csv"):
        means.setdefault((row["study"], row["variant"]), []).append(float(row["test_accuracy"]))
    seen = 0
    for study in ("architectures", "techniques"):
        for line in table(section(comparison_md, f"Study `{study}`")):
            key = (study, line["variant"].strip("`"))
            mean, then = np.mean(means[key]), float(published[key]["test_accuracy"])
            assert float(line["test accuracy (%)"]) == pytest.approx(100 * mean, abs=0.0051)
            assert float(line["published (%)"]) == pytest.approx(100 * then, abs=0.0051)
            assert float(line["difference (points)"]) == pytest.approx(100 * (mean - then), abs=0.0051)
            seen += 1
    assert seen == len(means) - 2  # the candidate and the penalty
    assert "512, dropout 0.25, 128, batch norm, 64" in comparison_md


def test_agreement_is_the_mean_and_largest_difference(root, comparison_md, published):
    lines = table(section(comparison_md, "Agreement with the published figures"))
    shown = {line["study"].strip("`"): line for line in lines}
    accuracies = pd.read_csv(root / "reports/variants.csv").set_index(["study", "variant"])["test_accuracy"]
    for study in ("architectures", "techniques"):
        gaps = {v: mean - float(published[study, v]["test_accuracy"]) for v, mean in accuracies[study].items()}
        worst = max(gaps, key=lambda v: abs(gaps[v]))
        expected = 100 * sum(map(abs, gaps.values())) / len(gaps)
        assert float(shown[study]["mean without sign (points)"]) == pytest.approx(expected, abs=0.0051)
        assert shown[study]["largest (points)"] == f"{100 * gaps[worst]:+.2f} (`{worst}`)"
        assert shown[study]["figures"] == str(len(gaps))
        scores = pd.read_csv(root / "reports/results.csv").query("study == @study and variant not in @TWINS")
        sd = scores.groupby("variant")["test_accuracy"].var().mean() ** 0.5  # each of two seeds, twins but once
        assert float(shown[study]["sd over seeds (points)"]) == pytest.approx(100 * sd, abs=0.0051)
        variants = pd.read_csv(root / "reports/variants.csv").query("study == @study").set_index("variant")
        inside = sum(
            variants.loc[v, "run_low"] <= float(published[study, v]["test_accuracy"]) <= variants.loc[v, "run_high"]
            for v in gaps
        )
        assert shown[study]["within"] == f"{inside} of {len(gaps)}"
        assert shown[study]["outside"].count("`") == 2 * (len(gaps) - inside)


def test_identical_models_and_the_spread_of_their_published_figures_are_listed(comparison_md):
    lines = table(section(comparison_md, "Identical models"))
    assert [line["identical"] for line in lines] == [f"`none-{a}` = `l1-{a}` = `l2-{a}`" for a in ("relu", "tanh")]
    assert lines[0]["published (%)"] == "97.53, 97.21, 97.42"
    assert lines[0]["published spread (points)"] == "0.32"
    assert f"12 variants of 3 studies are {12 - len(TWINS)} distinct models" in comparison_md


def test_contradictions_of_the_summary_table_are_listed(comparison_md):
    text = section(comparison_md, "Where the notebooks contradict themselves")
    lines = {line["variant"]: line for line in table(text)}
    assert list(lines) == [f"`architectures/model{i}`" for i in (1, 2, 3, 7)]
    assert lines["`architectures/model3`"]["test, difference (points)"] == "-0.53"
    assert lines["`architectures/model2`"]["test, difference (points)"] == ""
    assert "4 of its 9 rows" in text


def test_the_candidates_verdicts_add_up(root, comparison_md):
    verdicts = [row["verdict"] for row in rows(root / "reports/variants.csv")[:-1] if not row["identical_to"]]
    listed = section(comparison_md, "The candidate")
    for verdict, verb in markdown.VERDICTS.items():
        number = re.search(rf"^- {verb}: (\w+)", listed, re.M)[1]
        assert number.replace("none", "0") == str(verdicts.count(verdict))


def test_the_terminal_shows_the_candidates_accuracy_and_place(printed):
    interval = r"95 % interval \[\d\d\.\d\d, \d\d+\.\d\d\]"
    assert re.search(rf"^candidate: 9\d\.\d\d % of 200 test images right, {interval} \(2 seeds\)$", printed, re.M)
    possible = r"places \d+ to \d+ are possible \(chance of error: 5 % at most\)"
    place = rf"^place: \d+ of 9 distinct models by its mean; {possible}$"
    assert re.search(place, printed, re.M)
    assert "make ui" in printed and "dvc plots show" in printed


def test_effects_are_listed_with_their_power_and_the_seeds_they_need(root, comparison_md):
    effects = pd.read_csv(root / "reports/effects.csv", keep_default_na=False, na_values=[""])
    averaged = effects[effects["within"].isna()]
    lines = table(section(comparison_md, "Effects"))
    assert len(lines) >= len(averaged)
    for line, row in zip(lines, averaged.itertuples(), strict=False):
        assert line["difference (points)"] == f"{100 * row.difference:+z.2f}"
        assert line["found in 4 of 5 repetitions (points)"] == f"{100 * row.visible:.2f}"
        if row.p_family >= 0.05:
            expected = "more than 100" if np.isnan(row.seeds_needed) else f"{row.seeds_needed:.0f}"
            assert line["seeds per model to decide it"] == expected


def test_the_models_that_may_be_the_best_are_listed_with_what_would_tell_them_apart(root, comparison_md):
    variants = pd.read_csv(root / "reports/variants.csv")
    may = variants[(variants["behind_high"] > 0) & variants["identical_to"].isna()].sort_values("rank", kind="stable")
    lines = table(section(comparison_md, "Which is the best"))
    assert [line["may be the best"] for line in lines] == [f"`{row.study}/{row.variant}`" for row in may.itertuples()]
    best = lines[0]["may be the best"].strip("`").split("/")[1]
    chances = [line[f"chance that it is better than `{best}`"] for line in lines]
    assert chances[0] == ""
    assert all(0 <= int(chance.removesuffix(" %")) <= 50 for chance in chances[1:])


def test_every_figure_is_shown_and_described(comparison_md):
    pictures = re.findall(r"!\[(.+)\]\((.+)\)", comparison_md)
    names = [*markdown.FIGURES, *map(figures.map_name, ("techniques", "penalties"))]
    names.append(figures.interaction_name("techniques"))
    assert {link for _, link in pictures} == {f"figures/{name}" for name in names}


def test_results_of_the_sample_say_so_and_meet_no_published_figure(tmp_path):
    make(tmp_path, dataset="mnist-sample")
    run_main(evaluate, tmp_path)
    sample = read_results(tmp_path)
    text = markdown.markdown(sample)
    assert text.startswith("# Comparison\n\n> **ONLY A SAMPLE OF MNIST")
    assert terminal.lines(sample)[0].startswith("ONLY A SAMPLE OF MNIST")
    assert "> **ONLY A SAMPLE OF MNIST" in documents.short(sample)
    assert lessons.closing_table(sample).startswith("The results in reports/ don't show this")
    shown = table(section(text, "Study `architectures`"))[0]
    assert "published (%)" not in shown and "difference (points)" not in shown
    for title in ("Agreement with the published figures", "Where the notebooks contradict themselves"):
        assert f"## {title}" not in text
    assert "97.53" not in text
