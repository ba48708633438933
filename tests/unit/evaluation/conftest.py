"""A made project, evaluated once. Tests that change it work on a copy."""

import shutil
from pathlib import Path

import pytest

from stages import evaluate
from tests.helpers.made_outputs import make, run_main


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("evaluated")
    make(root)
    assert run_main(evaluate, root) == ""
    return root


@pytest.fixture
def trained(evaluated, tmp_path) -> Path:
    """A copy to change, in which evaluate is still to run."""
    root = tmp_path / "project"
    shutil.copytree(evaluated, root, ignore=lambda folder, _: ["reports"] if Path(folder) == evaluated else [])
    return root
