"""comparison.html: whole without a network, described in words, every variant with its numbers."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser

import pandas as pd
from PIL import Image

from mnist_mlp.report import html


class Page(HTMLParser):
    """Hold a page's tags with their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_needs_no_other_file(comparison_html):
    assert len(comparison_html.encode()) < 1_000_000
    page = Page(comparison_html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "data", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert "url(" not in comparison_html and "@import" not in comparison_html
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for link in page.all("a"):
        assert link["href"][1:] in ids


def test_images_drawings_and_tables_are_described(comparison_html):
    page = Page(comparison_html)
    assert len(page.all("img")) == 24
    assert all(re.match(r"Test image \d+: shows class \d, predicted as \d", image["alt"]) for image in page.all("img"))
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") or drawing.get("aria-label") or "x" in drawing
    scopes = [cell.get("scope") for cell in page.all("th")]
    assert scopes.count(None) <= 2  # the empty corner of a confusion matrix
    assert all("aria-label" in attributes for _, attributes in page.tags if attributes.get("role") == "region")


def test_every_variant_is_in_the_table_with_its_numbers(comparison_html, root):
    table = pd.read_csv(root / "reports/variants.csv")
    rows = re.findall(r'<tr><th scope="row" class="(\w+)">([\w-]+)</th>(.*?)</tr>', comparison_html)
    shades = {"architectures": "shade0", "techniques": "shade1", "penalties": "shade2", "candidate": "candidate"}
    expected = [(shades[study], name) for study, name in zip(table["study"], table["variant"], strict=True)]
    assert [(shade, name) for shade, name, _ in rows] == expected
    for (_, _, cells), row in zip(rows, table.itertuples(), strict=True):
        shown = re.findall(r">([^<>]*)</td>", cells)
        assert shown[1] == f"{100 * row.test_accuracy:.2f}"
        assert shown[2] == f"[{100 * row.low:.2f}, {100 * row.high:.2f}]"
        assert shown[3:6] == [f"{100 * x:.2f}" for x in (row.error_seeds, row.error_images, row.run_sd)]
        assert shown[6:8] == [str(row.rank), f"{row.rank_low} to {row.rank_high}"]
        assert shown[8:10] == [str(row.beats), str(row.beaten_by)]


def test_markup_in_a_name_is_escaped(results):
    made = html.html(dataclasses.replace(results, metrics=results.metrics | {"dataset": "<script>alert(1)</script>"}))
    assert "<script>alert" not in made
    assert "&lt;script&gt;alert(1)" in made


def test_the_hardest_images_are_drawn_in_their_own_proportions(results):
    pixels = base64.b64encode(bytes(32 * 16)).decode()
    image = {"index": 5, "label": 11, "wrong": 1, "predicted": 2, "pixels": pixels}
    hardest = {"runs": 2, "height": 32, "width": 16, "images": [image]}
    (shown,) = Page(html.html(dataclasses.replace(results, hardest=hardest))).all("img")
    assert (shown["width"], shown["height"]) == ("42", "84")
    png = base64.b64decode(shown["src"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(png)).size == (16, 32)


def test_confusions_are_of_as_many_classes_as_there_are(results):
    few = results.confusion[(results.confusion[["true", "predicted"]] < 3).all(axis=1)]
    many = pd.concat([results.confusion, results.confusion.tail(1).assign(true=11, predicted=12)])
    for confusion, classes in ((few, 3), (many, 13)):
        made = html.html(dataclasses.replace(results, confusion=confusion))
        header = re.search(r"<caption>Test images by true class.*?</thead>", made, re.DOTALL).group()
        assert re.findall(r'scope="col">(\d+)<', header) == [str(i) for i in range(classes)]


def test_a_data_set_that_no_model_gets_wrong_has_no_hardest_images(results):
    made = html.html(dataclasses.replace(results, hardest=results.hardest | {"images": []}))
    assert "No image is misread." in made and not Page(made).all("img")


def test_of_many_models_the_best_are_drawn_and_all_are_in_the_table(results, root, monkeypatch):
    monkeypatch.setattr(html, "CURVES", 2)
    monkeypatch.setattr(html, "MATRIX", 3)
    page = html.html(results)
    (matrix,) = re.findall(r'<svg class="matrix".*?</svg>', page, re.S)
    ranked = results.table[results.table["identical_to"].isna()].sort_values("rank", kind="stable")
    assert re.findall(r'text-anchor="end">\d+ (.*?)</text>', matrix) == list(ranked["variant"])[:3]
    assert f"pairs of the {len(ranked)} distinct models differ" in page
    assert "The best 3 are drawn." in page
    assert "architectures: the best 2 of 3 models</h3>" in page
    assert "penalties</h3>" in page
