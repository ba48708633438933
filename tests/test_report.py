"""The comparison: its figures' bytes, its tables against the CSV files, the sample's note, README.md's block."""

import os
import re
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from test_scoring import ROOT, TWINS, make, rows, stage

from mnist_mlp import UserError, figures, findings, report

README = "# Project\n\nBefore.\n\n<!-- results -->\nold\n<!-- /results -->\n\nAfter.\n"


def compared(root, **options):
    make(root, **options)
    for name in ("stages.evaluate", "stages.compare"):
        done = stage(name, root)
        assert (done.returncode, done.stderr) == (0, "")
    return root, done.stdout


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    return compared(tmp_path_factory.mktemp("mnist"))


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return compared(tmp_path_factory.mktemp("sample"), dataset="mnist-sample")


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table(text: str) -> list[dict[str, str]]:
    """The first Markdown table of a text; every line must have as many cells as its head."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines if set("".join(line)) != set(" -")]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def text_of(root) -> str:
    return (root / "reports/comparison.md").read_text(encoding="utf-8")


def published() -> dict[tuple[str, str], dict[str, str]]:
    return {(row["study"], row["variant"]): row for row in rows(ROOT / "reports/published.csv")}


def test_published_figures_are_those_of_the_notebooks():
    figures_then = published()
    assert len(figures_then) == 41
    assert figures_then["architectures", "model8"]["test_accuracy"] == "0.9855"
    assert figures_then["techniques", "dropout-batchnorm-relu"]["test_loss"] == "0.1047"
    from mnist_mlp import config

    variants = config.load(ROOT / "params.yaml").variants[:-1]
    assert list(figures_then) == [(v.study, v.name) for v in variants if v.study != "penalties"]


def test_study_tables_say_what_the_csv_files_do(mnist):
    root, _ = mnist
    means = {}
    for row in rows(root / "reports/results.csv"):
        means.setdefault((row["study"], row["variant"]), []).append(float(row["test_accuracy"]))
    seen = 0
    for study in ("architectures", "techniques"):
        for line in table(section(text_of(root), f"Study `{study}`")):
            key = (study, line["variant"].strip("`"))
            mean, then = np.mean(means[key]), float(published()[key]["test_accuracy"])
            shown, sd = line["test accuracy (%)"].split(" ± ")
            assert float(shown) == pytest.approx(100 * mean, abs=0.0051)
            assert float(sd) == pytest.approx(100 * np.std(means[key], ddof=1), abs=0.0051)
            assert float(line["published (%)"]) == pytest.approx(100 * then, abs=0.0051)
            assert float(line["difference (points)"]) == pytest.approx(100 * (mean - then), abs=0.0051)
            seen += 1
    assert seen == len(means) - 2  # the candidate and the penalty
    assert "512, dropout 0.25, 128, batch norm, 64" in text_of(root)


def test_agreement_is_the_mean_and_largest_difference(mnist):
    root, _ = mnist
    lines = table(section(text_of(root), "Agreement with the published figures"))
    shown = {line["study"].strip("`"): line for line in lines}
    accuracies = pd.read_csv(root / "reports/variants.csv").set_index(["study", "variant"])["test_accuracy"]
    for study in ("architectures", "techniques"):
        gaps = {v: mean - float(published()[study, v]["test_accuracy"]) for v, mean in accuracies[study].items()}
        worst = max(gaps, key=lambda v: abs(gaps[v]))
        expected = 100 * sum(map(abs, gaps.values())) / len(gaps)
        assert float(shown[study]["mean, unsigned (points)"]) == pytest.approx(expected, abs=0.0051)
        assert shown[study]["largest (points)"] == f"{100 * gaps[worst]:+.2f} (`{worst}`)"
        assert shown[study]["figures"] == str(len(gaps))
        scores = pd.read_csv(root / "reports/results.csv").query("study == @study and variant not in @TWINS")
        sd = scores.groupby("variant")["test_accuracy"].var().mean() ** 0.5  # each of two seeds, twins but once
        assert float(shown[study]["sd over seeds (points)"]) == pytest.approx(100 * sd, abs=0.0051)
        variants = pd.read_csv(root / "reports/variants.csv").query("study == @study").set_index("variant")
        inside = sum(
            variants.loc[v, "run_low"] <= float(published()[study, v]["test_accuracy"]) <= variants.loc[v, "run_high"]
            for v in gaps
        )
        assert shown[study]["within"] == f"{inside} of {len(gaps)}"
        assert shown[study]["outside"].count("`") == 2 * (len(gaps) - inside)


def test_identical_models_and_the_spread_of_their_published_figures(mnist):
    root, _ = mnist
    lines = table(section(text_of(root), "Identical models"))
    assert [line["identical"] for line in lines] == [f"`none-{a}` = `l1-{a}` = `l2-{a}`" for a in ("relu", "tanh")]
    assert lines[0]["published (%)"] == "97.53, 97.21, 97.42"
    assert lines[0]["published spread (points)"] == "0.32"
    assert f"{len(TWINS)} of the 12 are, to the bit" in text_of(root)


def test_contradictions_of_the_summary_table_are_listed(mnist):
    root, _ = mnist
    text = section(text_of(root), "What the notebooks contradict themselves in")
    lines = {line["variant"]: line for line in table(text)}
    assert list(lines) == [f"`architectures/model{i}`" for i in (1, 2, 3, 7)]
    assert lines["`architectures/model3`"]["test, difference (points)"] == "-0.53"
    assert lines["`architectures/model2`"]["test, difference (points)"] == ""
    assert "4 of its 9 rows" in text


def test_what_the_candidate_beats_adds_up(mnist):
    root, said = mnist
    duels = [row["verdict"] for row in rows(root / "reports/variants.csv")][:-1]
    listed = section(text_of(root), "The candidate")
    for verdict, verb in report.VERDICTS.items():
        found = re.search(rf"^- {verb}: (\w+)", listed, re.M)[1]
        assert found.replace("none", "0") == str(duels.count(verdict))
    accuracy = r"^candidate: 9\d\.\d\d ± \d\.\d\d % of 200 test images right \(mean ± sd of 2 seeds\)$"
    assert re.search(accuracy, said, re.M)
    assert re.search(r"^place: \d+ of 13 by its mean \(\d+ to \d+ beyond doubt\)$", said, re.M)
    assert "make ui" in said and "dvc plots show" in said


def test_pictures_are_there_described_and_sized_for_a_readme(mnist):
    root, _ = mnist
    links = re.findall(r"!\[(.+)\]\((.+)\)", text_of(root))
    assert {link for _, link in links} == {f"figures/{name}" for name in report.FIGURES}
    from PIL import Image

    for _, link in links:
        with Image.open(root / "reports" / link) as picture:
            assert picture.format == "PNG"
            assert 1300 <= picture.width <= 1400
            assert np.unique(np.asarray(picture.convert("L"))).size > 20


def test_the_same_reports_give_the_same_bytes(mnist):
    root, _ = mnist

    def content():
        return {path: path.read_bytes() for path in sorted((root / "reports").rglob("*")) if path.is_file()}

    before = content()
    (root / "matplotlibrc").write_text("font.size: 25\nfigure.facecolor: black\n")
    again = stage("stages.compare", root, PYTHONHASHSEED="3", TZ="Asia/Tokyo", LC_ALL="C", PYTHONUTF8="1")
    assert (again.returncode, again.stderr) == (0, "")
    assert content() == before


def test_the_sample_is_said_at_the_top_and_meets_no_published_figure(sample):
    root, said = sample
    text = text_of(root)
    assert text.startswith("# Comparison\n\n> **ONLY A SAMPLE OF MNIST")
    assert said.startswith("ONLY A SAMPLE OF MNIST")
    shown = table(section(text, "Study `architectures`"))[0]
    assert "published (%)" not in shown and "difference (points)" not in shown
    for title in ("Agreement with the published figures", "What the notebooks contradict themselves in"):
        assert f"## {title}" not in text
    assert "97.53" not in text
    assert "> **ONLY A SAMPLE OF MNIST" in readme_block(root)


def readme_block(root) -> str:
    (root / "README.md").write_text(README)
    done = stage("mnist_mlp.report", root)
    assert (done.returncode, done.stderr) == (0, "")
    return (root / "README.md").read_text(encoding="utf-8")


def test_the_readme_block_is_rewritten_and_nothing_else(mnist):
    root, _ = mnist
    text = readme_block(root)
    before, _, rest = text.partition("<!-- results -->\n\n")
    block, _, after = rest.partition("\n\n<!-- /results -->")
    assert before == README.partition("<!-- results -->")[0]
    assert after == README.partition("<!-- /results -->")[2]
    assert "old" not in block and "SAMPLE" not in block
    for link in re.findall(r"\]\((.+?)\)", block):
        assert (root / link).is_file()
    assert stage("mnist_mlp.report", root).returncode == 0
    assert (root / "README.md").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("content", [None, "no markers", "<!-- /results --> <!-- results -->"])
def test_a_readme_without_the_block_is_left_alone(content, tmp_path):
    readme = tmp_path / "README.md"
    if content is not None:
        readme.write_text(content)
    with pytest.raises(UserError, match=r"README\.md: (No such file|no block to rewrite)"):
        report.rewrite(readme, "new")
    assert not readme.exists() or readme.read_text() == content


@pytest.mark.parametrize(
    "missing",
    ["results.csv", "variants.csv", "history.csv", "metrics.json", "published.csv", "pairs.csv", "hardest.json"],
)
def test_a_report_that_is_missing_is_named(missing, mnist, tmp_path, monkeypatch):
    root, _ = mnist
    monkeypatch.chdir(root)
    monkeypatch.setattr(findings, "REPORTS", tmp_path)
    for path in (root / "reports").glob("*.*"):
        if path.name != missing:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    from mnist_mlp import config

    remedy = "git checkout" if missing == "published.csv" else "dvc repro"
    with pytest.raises(UserError, match=f"{missing}: .*run `{remedy}"):
        findings.read(config.load())


def test_reports_of_other_seeds_are_refused(mnist, tmp_path):
    root, _ = mnist
    for name in ("reports", "data"):
        os.symlink(root / name, tmp_path / name)
    text = (root / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace('"seeds": [0, 1]', '"seeds": [0, 2]', 1))
    done = stage("stages.compare", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: reports/results.csv: other variants or seeds than params.yaml's; run `dvc repro`"
    )


def history(epochs: int = 5, seeds: tuple[int, ...] = (3, 1)) -> pd.DataFrame:
    lines = [(seed, epoch, 1 / epoch, 0.9, 2 / epoch, 0.8) for seed in seeds for epoch in range(1, epochs + 1)]
    return pd.DataFrame(lines, columns=["seed", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"])


def test_learning_curves_hold_each_replicate_and_their_mean(tmp_path):
    made = history()
    made.loc[made["seed"] == 1, "val_accuracy"] = 0.9
    axes = figures.learning_curves(made, "accuracy", "a title").axes[0]
    thick = {line.get_label(): line.get_ydata() for line in axes.lines if line.get_linewidth() == 2}
    assert set(thick) == {"train, mean of 2 seeds", "validation, mean of 2 seeds"}
    assert np.allclose(thick["validation, mean of 2 seeds"], 85)
    assert sum(line.get_linewidth() == 0.7 and len(line.get_xdata()) == 5 for line in axes.lines) == 4
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("a title", "epoch", "accuracy (%)")
    figures.save(figures.learning_curves(history(1, (0,)), "loss", "one point"), tmp_path / "one.png")


def test_drawing_from_threads_gives_the_same_bytes_and_leaves_pyplot_alone(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)

    def draw(i: int) -> None:
        figures.save(figures.learning_curves(history(), "loss", "title"), tmp_path / f"{i}.png")

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(tmp_path / f"{i}.png").read_bytes() for i in range(6)}) == 1
    assert len(list(tmp_path.iterdir())) == 6
    assert dict(matplotlib.rcParams) == before


def test_a_useless_candidate_can_still_be_drawn(tmp_path):
    results = pd.DataFrame(
        [("architectures", "a", 0, 0.98), ("techniques", "b", 0, 1.0), ("candidate", "candidate", 0, 0.1)],
        columns=["study", "variant", "seed", "test_accuracy"],
    )
    figures.save(figures.accuracies(results, None, "title"), tmp_path / "a.png")
    grid = pd.DataFrame([[0.9, np.nan]], index=["none"], columns=["relu", "tanh"])
    figures.save(figures.technique_map(grid, "title"), tmp_path / "b.png")


def test_figures_come_without_matplotlib_until_drawn_and_stages_without_tensorflow():
    code = (
        "import sys, stages.evaluate, stages.compare\n"
        "print(*sorted({'matplotlib', 'tensorflow', 'keras', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
