"""comparison.html: whole without a network, in a real browser, on a phone; and the five sentences at its top."""

import dataclasses
import re
import shutil
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from test_report import compared, text_of
from test_scoring import make

from mnist_mlp import config, findings, page, sentences
from stages import compare, evaluate

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


class Page(HTMLParser):
    """The tags of a page with their attributes, and its words."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.words = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return compared(tmp_path_factory.mktemp("page"))[0]


@pytest.fixture(scope="module")
def found(root) -> findings.Findings:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return findings.read(config.load())


@pytest.fixture(scope="module")
def text(root) -> str:
    return (root / "reports/comparison.html").read_text(encoding="utf-8")


def test_the_page_holds_all_it_needs(text):
    assert len(text.encode()) < 1_000_000
    parsed = Page(text)
    for tag, attributes in parsed.tags:
        for name in ("src", "href", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert "url(" not in text and "@import" not in text
    ids = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    for link in parsed.all("a"):
        assert link["href"][1:] in ids


def shrink(params: dict) -> None:
    params["techniques"]["variants"].pop("batchnorm-tanh")
    params["architectures"]["variants"]["unpublished"] = params["architectures"]["variants"]["model8"]


def one_seed(params: dict) -> None:
    params["seeds"] = [0]
    for study in config.STUDIES:
        params[study]["protocol"]["seeds"] = [0]


def one_epoch(params: dict) -> None:
    params["epochs"] = 1
    for study in config.STUDIES:
        params[study]["protocol"]["epochs"] = 1


def one_each(params: dict) -> None:
    for study in config.STUDIES:
        params[study]["variants"] = dict(list(params[study]["variants"].items())[:1])


@pytest.mark.parametrize("error", [None, 0.0], ids=["some errors", "no error"])
@pytest.mark.parametrize("edit", [shrink, one_seed, one_epoch, one_each])
def test_odd_projects_are_reported_too(edit, error, tmp_path, monkeypatch):
    """No warning, no number that isn't one."""
    make(tmp_path, edit=edit, error=error)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate.main()
        compare.main()
    for name in ("comparison.html", "comparison.md", "variants.csv", "statistics.json"):
        text = re.sub(r"<(style|script)>.*?</\1>", "", (tmp_path / "reports" / name).read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(nan|NaN|inf|Infinity|None)\b(?!: no)", text), name


def test_what_is_drawn_has_words(text):
    parsed = Page(text)
    assert len(parsed.all("img")) == 24
    assert all(re.match(r"Test image \d+: shows a \d, read as \d", image["alt"]) for image in parsed.all("img"))
    for drawing in parsed.all("svg"):
        assert drawing.get("aria-hidden") or drawing.get("aria-label") or "x" in drawing
    scopes = [cell.get("scope") for cell in parsed.all("th")]
    assert scopes.count(None) <= 2  # the empty corner of a confusion matrix
    assert all("aria-label" in attributes for _, attributes in parsed.tags if attributes.get("role") == "region")


def test_every_variant_is_in_the_table_with_its_numbers(text, root):
    table = pd.read_csv(root / "reports/variants.csv")
    rows = re.findall(r'<tr><th scope="row" class="(\w+)">([\w-]+)</th>(.*?)</tr>', text)
    assert [(study, name) for study, name, _ in rows] == list(zip(table["study"], table["variant"], strict=True))
    for (_, _, cells), row in zip(rows, table.itertuples(), strict=True):
        shown = re.findall(r">([^<>]*)</td>", cells)
        assert shown[1] == f"{100 * row.test_accuracy:.2f}"
        assert shown[2] == f"[{100 * row.low:.2f}, {100 * row.high:.2f}]"
        assert shown[3:6] == [f"{100 * x:.2f}" for x in (row.error_seeds, row.error_images, row.test_accuracy_sd)]
        assert shown[6:8] == [str(row.rank), f"{row.rank_low} to {row.rank_high}"]


def test_markup_in_a_name_is_shown_and_not_obeyed(found):
    spoiled = dataclasses.replace(found, metrics=found.metrics | {"dataset": "<script>alert(1)</script>"})
    made = page.html(spoiled)
    assert "<script>alert" not in made
    assert "&lt;script&gt;alert(1)" in made


def plain(text: str) -> str:
    return text.replace("`", "").replace("\u00a0", " ")


def test_both_reports_open_with_the_same_five_sentences(text, root, found):
    lines = sentences.summary(found)
    assert len(lines) == 5
    listed = re.search(r"^- .*?\n\n", text_of(root), re.MULTILINE | re.DOTALL)[0].splitlines()
    assert [line.removeprefix("- ") for line in listed if line] == lines
    shown = re.findall(r"<li>(.*?)</li>", re.search(r'<ul id="summary">(.*?)</ul>', text, re.DOTALL)[1])
    assert [plain(Page(line).words) for line in shown] == [plain(line) for line in lines]


def test_the_sentences_are_true_of_the_numbers(found):
    variants, best, effects, published, candidate = sentences.summary(found)
    table = found.table.iloc[:-1]
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
    own = found.table.iloc[-1]
    assert (
        f"{100 * own['test_accuracy']:.2f} ± {100 * own['test_accuracy_sd']:.2f} % right: place {own['rank']}"
        in candidate
    )
    assert "no difference beyond chance for `batchnorm`" in effects


def changed(found: findings.Findings, which: str, column: str, value, row=slice(None)) -> findings.Findings:
    table = getattr(found, which).copy()
    table.loc[table.index[row], column] = value
    return dataclasses.replace(found, **{which: table})


def test_the_sentences_change_with_the_numbers(found):
    lines = sentences.summary(found)

    def differ(other: findings.Findings) -> list[int]:
        return [i for i, (a, b) in enumerate(zip(lines, sentences.summary(other), strict=True)) if a != b]

    assert 0 in differ(changed(found, "table", "identical_to", None))
    assert 1 in differ(changed(found, "table", "low", 0.5))
    told = changed(found, "effects", "p_holm", 0.01)
    assert differ(told) == [2]
    row = found.effects.iloc[0]
    assert f"`batchnorm` {100 * row['difference']:+.2f} points [" in sentences.summary(told)[2]
    assert differ(changed(found, "table", "published", 0.1)) == [3]
    assert "; 0 of them lie" in sentences.summary(changed(found, "table", "published", 0.1))[3]
    assert differ(changed(found, "table", "test_accuracy", 0.5, -1)) == [4]
    few = dataclasses.replace(found, effects=found.effects.iloc[:0])
    assert "No technique was tried with every activation" in sentences.summary(few)[2]
    none = dataclasses.replace(found, published=None, table=found.table.assign(published=np.nan))
    assert sentences.summary(none)[3] == "No published figure is compared."


def test_who_may_be_the_best_are_those_that_none_is_better_than(found):
    distinct = found.studied[found.studied["identical_to"].isna()]
    assert found.best["variant"] in set(found.unbeaten["variant"])
    certain = changed(found, "pairs", "p", 1e-9)
    assert certain.unbeaten["variant"].tolist() == [found.best["variant"]]
    assert "beyond doubt, no other may be as good." in sentences.summary(certain)[1]
    assert len(changed(found, "pairs", "p", 0.9).unbeaten) == len(distinct)


@pytest.fixture
def browser(tmp_path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
                 "--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def column(driver: webdriver.Chrome, number: int) -> list[str]:
    script = "return [...document.querySelectorAll('#variants tbody tr')].map(r => r.cells[arguments[0]].textContent)"
    return driver.execute_script(script, number)


@pytest.mark.browser
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium here: `apt-get install chromium chromium-driver`")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_works_offline_in_a_browser(width, root, browser):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    browser.get((root / "reports/comparison.html").as_uri())
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
