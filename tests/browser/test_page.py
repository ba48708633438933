"""comparison.html in a real browser: on a screen and on a phone, without a network or a mouse."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from mnist_mlp.report import html
from stages import evaluate
from tests.helpers.browser import NEEDS_BROWSER, open_browser
from tests.helpers.made_outputs import make, read_results, run_main

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("page")
    make(root)
    run_main(evaluate, root)
    (root / "comparison.html").write_text(html.html(read_results(root)), encoding="utf-8")
    return root / "comparison.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[webdriver.Chrome]:
    with open_browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


def column(driver: webdriver.Chrome, number: int) -> list[str]:
    script = "return [...document.querySelectorAll('#variants tbody tr')].map(r => r.cells[arguments[0]].textContent)"
    return driver.execute_script(script, number)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_offline_in_a_browser(width, page, browser):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get(page.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    button = browser.find_elements(By.CSS_SELECTOR, "#variants th button")[2]
    for direction, ordered in (("descending", lambda x: sorted(x, reverse=True)), ("ascending", sorted)):
        button.send_keys(Keys.ENTER)  # no mouse
        heads = browser.find_elements(By.CSS_SELECTOR, "#variants thead th[aria-sort]")
        assert [head.get_attribute("aria-sort") for head in heads] == [direction]
        shown = column(browser, 2)
        assert shown == ordered(shown) and len(set(shown)) > 1
    names = column(browser, 0)
    browser.find_elements(By.CSS_SELECTOR, "#variants th button")[0].send_keys(Keys.SPACE)
    assert sorted(names) == sorted(column(browser, 0)) != names
    assert browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    summary = browser.find_element(By.CSS_SELECTOR, "#curves summary")
    summary.send_keys(Keys.ENTER)
    assert browser.find_element(By.CSS_SELECTOR, "#curves figure").size["width"] > 200
    assert browser.execute_script("return [...document.images].every(image => image.naturalWidth === 28)")
    assert browser.get_log("browser") == []
