"""What `dvc plots show` draws in a real browser, with the network off."""

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from tests.helpers.browser import NEEDS_BROWSER, open_browser

pytestmark = [*NEEDS_BROWSER, pytest.mark.slow]
DRAWN = "return document.querySelectorAll('canvas.marks, svg.marks').length"  # Vega marks what it has drawn


def test_dvc_plots_are_drawn_without_a_network(project, tmp_path):
    project.run("dvc", "plots", "show")
    page = project.folder / "dvc_plots/index.html"
    with open_browser(tmp_path) as browser:
        browser.get(page.as_uri())
        WebDriverWait(browser, 60, 0.2).until(lambda driver: driver.execute_script(DRAWN) == 4, "not all are drawn")
    assert "Confusion matrix of the candidate" in page.read_text()
