"""What the documents name is there."""

import re

import pytest

from tests.helpers.params import ROOT

NAMED = re.findall(r"`([\w/]+\.py)?(?:::)?(test_\w+?)(?:_?\.\.\.)?`", (ROOT / "docs/robustness.md").read_text())


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_every_test_that_robustness_names_is_there(file, name):
    text = (ROOT / "tests" / (file or "pipeline/test_robustness.py")).read_text()
    assert re.search(rf"^def {name}", text, re.MULTILINE)


@pytest.mark.parametrize("file", ["README.md", "docs/your-own.md", "docs/scaling.md"])
def test_python_in_the_docs_runs_as_it_stands_in_the_file(file):
    for program in re.findall(r'python -c "(.*?)"$', (ROOT / file).read_text(), re.DOTALL | re.MULTILINE):
        compile(program, file, "exec")


def test_every_file_that_contributing_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    packages = r"`((?:commands|config|data|evaluation|report|serving|tracking|training)/[\w/]+\.(?:py|html\.jinja))"
    for name in re.findall(packages, text):
        assert (ROOT / "mnist_mlp" / name).exists(), name
    for name in re.findall(r"`((?:tests|stages)/[\w/]+\.\w+)`", text):
        assert (ROOT / name).exists(), name
