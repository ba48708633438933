"""Start a real browser that reaches no network but this machine, and MLflow's UI for it."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from tests.helpers.project import Project

PATIENCE = 120  # seconds

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
# For a module of such tests: `pytestmark = NEEDS_BROWSER`.
NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no chromium here: `apt-get install chromium chromium-driver`"
    ),
]


@contextmanager
def open_browser(folder: Path, *flags: str) -> Iterator[webdriver.Chrome]:
    """Yield a browser with FLAGS and these flags, its profile in a new folder below `folder`; it logs its console."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def open_ui(project: Project) -> Iterator[dict[str, str]]:
    """Run `mnist-mlp ui` in a project; yield the links that it prints, by their names."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mnist_mlp", "ui"], cwd=project.folder, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.STDOUT, env=project.environment | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Ctrl-C"):
            break
    assert process.poll() is None, "".join(lines)
    yield dict(re.findall(r"^(.*): (http://\S+)$", "".join(lines), re.MULTILINE))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0


def wait_for(browser: webdriver.Chrome, script: str, condition: Callable[[Any], Any] = bool) -> Any:
    """Return what a script returns, as soon as the condition holds for it."""
    found = None

    def look(driver: webdriver.Chrome) -> bool:
        nonlocal found
        found = driver.execute_script(f"return {script}")
        return condition(found)

    WebDriverWait(browser, PATIENCE, 0.5).until(look, f"the page never showed: {script}")
    return found
