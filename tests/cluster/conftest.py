"""What the tests of the cluster share: the sequential run that they compare with, hosts, a remote over HTTP."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.cluster import runs, state
from tests.helpers.hosts import Hosts
from tests.helpers.project import Project


@pytest.fixture(scope="session")
def sequential(fresh_project, tmp_path_factory) -> Project:
    """A copy of the sequential run, what it holds in `.state` and `.runs`."""
    copy = Project.at(shutil.copytree(fresh_project.folder, tmp_path_factory.mktemp("sequential") / "project"))
    copy.state, copy.runs = state(copy), runs(copy)
    return copy


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Yield three hosts: hub, one, two."""
    try:
        made = Hosts(tmp_path, ["hub", "one", "two"])
    except OSError as error:
        pytest.skip(f"network namespaces are not allowed here: {error}")
    yield made
    made.close()
