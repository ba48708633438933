"""A made project, evaluated and compared once. Tests that change it work on a copy."""

from pathlib import Path

import pytest

from mnist_mlp.report.results import Results
from stages import compare, evaluate
from tests.helpers.made_outputs import make, read_results, run_main


@pytest.fixture(scope="session")
def compared(tmp_path_factory) -> tuple[Path, str]:
    """A project, and what compare printed in it."""
    root = tmp_path_factory.mktemp("compared")
    make(root)
    run_main(evaluate, root)
    return root, run_main(compare, root)


@pytest.fixture(scope="session")
def root(compared) -> Path:
    return compared[0]


@pytest.fixture(scope="session")
def printed(compared) -> str:
    return compared[1]


@pytest.fixture(scope="session")
def results(root) -> Results:
    return read_results(root)


@pytest.fixture(scope="session")
def comparison_md(root) -> str:
    return (root / "reports/comparison.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def comparison_html(root) -> str:
    return (root / "reports/comparison.html").read_text(encoding="utf-8")
