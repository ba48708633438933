"""The MLflow UI as `mnist-mlp ui` opens it on a fresh clone, in a real browser: every variant, from the reports in git.

The reports are made up, unless `SCREENSHOTS=docs/images python -m pytest -n0 tests/browser/test_mlflow_ui.py` makes
README's pictures anew: of the checkout's own reports.
"""

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from mnist_mlp.tracking.runs import training
from tests.helpers.browser import NEEDS_BROWSER, open_browser, open_ui, wait_for
from tests.helpers.params import PARAMS, PARAMS_FILE, ROOT
from tests.helpers.project import Project, copy_checkout, work_in
from tests.helpers.tracked import DATASET, SOFTWARE, write_lock, write_outputs, write_reports

pytestmark = NEEDS_BROWSER
SCREENSHOTS = os.environ.get("SCREENSHOTS")
RUNS = """[...document.querySelectorAll('[role=gridcell] a')].filter(a => a.href.includes('/runs/'))
    .map(a => [a.textContent.trim(), a.href])"""
CELLS = "[...document.querySelectorAll('[role=gridcell]')].map(cell => cell.textContent.trim())"
HEADERS = "[...document.querySelectorAll('[role=columnheader]')].map(header => header.textContent.trim())"
CURVES = "[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.data.map(trace => trace.y?.length ?? 0))"
FIGURES = "[...document.querySelectorAll('img')].map(image => image.naturalWidth).filter(width => width > 300)"
ASSISTANT = "[data-component-id*='assistant'][data-component-id*='close']"


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Project:
    """Return what git would hold, and nothing else: no data, no models, no store."""
    folder = tmp_path_factory.mktemp("clone")
    copy_checkout(folder)
    if not SCREENSHOTS:
        shutil.copy2(PARAMS_FILE, folder / "params.yaml")
        shutil.rmtree(folder / "reports", ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:
            work_in(patch, folder)
            Path("data/prepared").mkdir(parents=True)
            for variant in PARAMS.variants:
                write_outputs(variant)
            write_reports(PARAMS.variants)
            write_lock(PARAMS.variants)
            for name in ("data", "models"):
                shutil.rmtree(name)
    clone = Project.at(folder)
    clone.git("init", "--quiet")
    clone.commit()
    return clone


@pytest.fixture(scope="module")
def means(clone) -> "pd.Series[float]":
    """Return each variant's mean test accuracy, by study and variant, as the reports have them."""
    return pd.read_csv(clone.folder / "reports/results.csv").groupby(["study", "variant"])["test_accuracy"].mean()


@pytest.fixture(scope="module")
def links(clone) -> Iterator[dict[str, str]]:
    """Yield the links that `mnist-mlp ui` prints, by their names."""
    with open_ui(clone) as links:
        yield links


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Chrome]:
    with open_browser(tmp_path_factory.mktemp("browser"), "--window-size=1500,1000") as browser:
        yield browser


def shoot(browser: Chrome, name: str) -> None:
    """Save a picture, if SCREENSHOTS asks for them."""
    if SCREENSHOTS:
        for panel in browser.find_elements(By.CSS_SELECTOR, ASSISTANT):
            panel.click()
        path = Path(ROOT, SCREENSHOTS, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        picture.quantize(128).save(path, optimize=True)


def test_the_table_shows_every_variant_the_best_first(means, links, browser):
    browser.get(links["all variants, the best first"])
    wait_for(browser, "document.body.textContent", lambda text: f"{len(means)} matching runs" in text)
    best = {variant for _, variant in means[means.round(9) == means.round(9).max()].index}
    name, _ = wait_for(browser, RUNS)[0]
    assert name.startswith(tuple(best))  # a candidate's name goes on
    headers = wait_for(browser, HEADERS)
    shoot(browser, "runs.png")
    assert {"test_accuracy", "dataset", "layers", "activation", "optimizer"} <= set(headers)
    assert wait_for(browser, CELLS, lambda cells: any(cell.startswith("512, dropout 0.25, 128") for cell in cells))


def test_the_charts_draw_every_variants_curve(means, links, browser):
    def complete(plots: list[list[int]]) -> bool:
        return sum(sum(points > 10 for points in plot) >= len(means) for plot in plots) >= 2

    browser.get(links["their curves"])
    wait_for(browser, CURVES, complete)
    shoot(browser, "curves.png")


def test_a_curve_grows_while_it_trains(clone, links, browser, monkeypatch):
    work_in(monkeypatch, clone.folder)
    with training(PARAMS.candidate, DATASET, SOFTWARE) as log:
        for epoch in (1, 2, 3):
            for seed in PARAMS.candidate.seeds:
                log.epoch(seed, epoch, [0.5, 0.75, 0.25, 1.0])
            if epoch == 1:
                browser.get(links["what trains now"])
            wait_for(browser, CURVES, lambda plots: len(plots) == 4 and all(epoch in plot for plot in plots))  # noqa: B023


def test_a_runs_figures_open(links, browser):
    browser.get(links["all variants, the best first"])
    _, link = wait_for(browser, RUNS)[0]
    browser.get(f"{link}/artifacts/figures/accuracy.png?workflowType=machine_learning")
    wait_for(browser, FIGURES)
    shoot(browser, "figure.png")
