"""What a person sees in a real browser, with the network off."""

import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OFFLINE = ["--host-resolver-rules=MAP * ~NOTFOUND", "--disable-background-networking", "--disable-component-update"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: `apt-get install chromium`"),
]


def test_dvc_plots_are_drawn_without_a_network(project, tmp_path):
    """Vega marks what it has drawn; a page whose scripts did not load holds none of it."""
    project.run("dvc", "plots", "show")
    page = project.folder / "dvc_plots/index.html"
    drawn = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", *OFFLINE, f"--user-data-dir={tmp_path / 'profile'}",
         "--virtual-time-budget=20000", "--dump-dom", page.as_uri()],
        check=True, capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    assert len(re.findall(r"<(?:canvas|svg)[^>]*class=\"marks\"", drawn)) == 4
    assert "Confusion matrix of the candidate" in page.read_text()
