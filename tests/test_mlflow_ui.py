"""The MLflow UI as `make ui` opens it on a fresh clone, in a real browser: every variant, from the reports in git.

`SCREENSHOTS=docs/images python -m pytest -n0 tests/test_mlflow_ui.py` makes README's pictures anew.
"""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Project
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1500,1000",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
PATIENCE = 120  # seconds

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no chromium here: `apt-get install chromium chromium-driver`"
    ),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Project:
    """What git holds, and nothing else: no data, no models, no store."""
    copy = Project.at(tmp_path_factory.mktemp("clone"))
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy.folder / name)
    copy.git("init", "--quiet")
    copy.commit()
    return copy


@pytest.fixture(scope="module")
def links(clone) -> Iterator[dict[str, str]]:
    """The links that `make ui` prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.ui"], cwd=clone.folder, env=clone.environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ctrl-C"):
            break
    assert process.poll() is None, "".join(said)
    yield dict(re.findall(r"^(.*): (http://\S+)$", "".join(said), re.MULTILINE))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0


@pytest.fixture
def browser(tmp_path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def seen(browser: webdriver.Chrome, script: str, *values, condition=bool):
    """What a script returns, once the condition holds of it."""
    found = None

    def look(driver: webdriver.Chrome) -> bool:
        nonlocal found
        found = driver.execute_script(f"return {script}", *values)
        return condition(found)

    WebDriverWait(browser, PATIENCE, 0.5).until(look, f"never saw what is sought of: {script}")
    return found


def shoot(browser: webdriver.Chrome, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        for panel in browser.find_elements(
            By.CSS_SELECTOR, "[data-component-id*='assistant'][data-component-id*='close']"
        ):
            panel.click()
        path = Path(ROOT, folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        picture.quantize(128).save(path, optimize=True)


RUNS = """[...document.querySelectorAll('[role=gridcell] a')].filter(a => a.href.includes('/runs/'))
    .map(a => [a.textContent.trim(), a.href])"""
TEXTS = "[...document.querySelectorAll(arguments[0])].map(element => element.textContent)"


def test_the_table_shows_every_variant_the_best_first(clone, links, browser):
    variants = pd.read_csv(clone.folder / "reports/variants.csv")
    browser.get(links["all variants, the best first"])
    said = f"{len(variants)} matching runs"
    seen(browser, "document.body.textContent", condition=lambda text: said in text)
    names = [name for name, _ in seen(browser, RUNS)]
    best = variants.loc[variants["rank"].idxmin()]
    assert names[0].startswith(best["variant"])  # a candidate's name goes on
    headers = seen(browser, TEXTS, "[role=columnheader]")
    shoot(browser, "runs.png")
    assert {"test_accuracy", "activation", "optimizer"} <= {header.strip() for header in headers}


def test_the_charts_draw_every_variants_curve(clone, links, browser):
    variants = pd.read_csv(clone.folder / "reports/variants.csv")
    browser.get(links["their curves"])
    seen(
        browser,
        "[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.data.map(trace => trace.y?.length ?? 0))",
        condition=lambda plots: sum(sum(points > 10 for points in plot) >= len(variants) for plot in plots) >= 2,
    )
    shoot(browser, "curves.png")


def test_a_runs_figures_open(clone, links, browser):
    browser.get(links["all variants, the best first"])
    (link, *_) = seen(
        browser,
        "[...document.querySelectorAll('[role=gridcell] a')].map(a => a.href).filter(a => a.includes('/runs/'))",
    )
    browser.get(f"{link}/artifacts/figures/accuracy.png?workflowType=machine_learning")
    size = seen(browser, "[...document.querySelectorAll('img')].map(i => i.naturalWidth).filter(w => w > 300)")
    shoot(browser, "figure.png")
    assert size


def test_another_program_at_the_port_is_not_taken_for_the_ui():
    """Two `make ui` at once choose the same port: the second must not print links to the first one's runs."""
    from stages import ui

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer((ui.HOST, 0), Handler) as other:
        threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(2)"]) as server:
            assert not ui._answers(server, other.server_port)
        other.shutdown()
