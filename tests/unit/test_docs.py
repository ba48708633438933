"""What the documents name is there, and their commands are where a test runs them."""

import importlib.util
import re
from pathlib import Path

import pytest

from mnist_mlp.commands import cli
from tests.helpers.documents import DOCUMENTS, fences
from tests.helpers.made_outputs import rows
from tests.helpers.params import ROOT

NAMED = re.findall(r"`([\w/]+\.py)?(?:::)?(test_\w+?)(?:_?\.\.\.)?`", (ROOT / "docs/robustness.md").read_text())
COMMANDS = r"(?:[A-Z_]+=\S+ )*(?:make|dvc|git|mnist-mlp|mlflow|dask|python|pip|cmp|grep)"
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
BY_NAME = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_every_test_that_robustness_names_is_there(file, name):
    text = (ROOT / "tests" / (file or "pipeline/test_robustness.py")).read_text()
    assert re.search(rf"^def {name}", text, re.MULTILINE)


def test_every_file_that_contributing_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    packages = r"`((?:commands|config|data|evaluation|report|serving|tracking|training)/[\w/]+\.(?:py|html\.jinja))"
    for name in re.findall(packages, text):
        assert (ROOT / "mnist_mlp" / name).exists(), name
    for name in re.findall(r"`((?:tests|stages)/[\w/]+\.\w+)`", text):
        assert (ROOT / name).exists(), name


@BY_NAME
def test_what_a_document_links_to_is_there(document):
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text()):
        assert link.startswith("http") or (document.parent / link).exists(), link


@BY_NAME
def test_commands_stand_in_blocks_that_a_test_runs_or_that_say_not_run(document):
    kinds = {kind for kind, _ in fences(document)}
    assert kinds <= {"sh", "sh not-run", "text", "yaml", "python", "dockerfile"}
    without = re.sub(r"^```.*\n(?:.*\n)*?```$", "", document.read_text(), flags=re.MULTILINE)
    assert not re.findall(rf"^    {COMMANDS} .*", without, re.MULTILINE)


@BY_NAME
def test_what_a_document_has_people_type_exists(document):
    text = document.read_text()
    assert set(re.findall(r"[`\n]make ([a-z-]+)", text)) <= set(TARGETS)
    assert set(re.findall(r"[`\n]mnist-mlp ([a-z]+)", text)) <= set(cli.COMMANDS)
    for module in re.findall(r"python -m ((?:benchmarks|stages|mnist_mlp)[\w.]*)", text):
        assert importlib.util.find_spec(module), module


def test_the_readme_is_a_page_of_two_minutes():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_index_has_every_document():
    text = (ROOT / "docs/README.md").read_text()
    assert not [path.name for path in (ROOT / "docs").glob("*.md") if path.name not in text]


def test_every_picture_is_shown():
    text = "".join(path.read_text() for path in DOCUMENTS)
    assert not [path.name for path in (ROOT / "docs/images").iterdir() if f"images/{path.name})" not in text]


def columns(name: str) -> list[str]:
    """Return the columns of a report as docs/columns.md describes them: of its own section."""
    section = (ROOT / "docs/columns.md").read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return [column for cell in cells for column in re.findall(r"`(\w+)`", cell)]


@pytest.mark.parametrize("path", sorted((ROOT / "reports").glob("*.csv")), ids=lambda path: path.name)
def test_every_column_of_the_reports_is_described(path: Path):
    found = [column for column in rows(path)[0] if not re.fullmatch(r"class_\d+", column)]
    described = [column for column in columns(path.name) if not re.fullmatch(r"class_\d+", column)]
    common = ["study", "variant"] if found[:2] == ["study", "variant"] else ["study"] if found[0] == "study" else []
    assert [*common, *described] == found
