"""Every command of the documents, run as it stands there, in a clone whose outputs are in the cache."""

import re
import sys
from pathlib import Path

import pytest

from tests.helpers import documents
from tests.helpers.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shell")]
ELSEWHERE = "your-own.md"  # has a test of its own, which brings the images
RUN = [path for path in documents.DOCUMENTS if path.name != ELSEWHERE and documents.blocks(path)]


def install(project: Project) -> None:
    """Have the project's `make setup` find this environment in .venv, so that it has nothing to install."""
    folder = project.folder / ".venv"
    folder.mkdir()
    for path in Path(sys.prefix).iterdir():
        (folder / path.name).symlink_to(path)
    (folder / ".installed").unlink(missing_ok=True)
    (folder / ".installed").touch()
    project.git("config", "user.name", "test")
    project.git("config", "user.email", "test@localhost")


@pytest.mark.parametrize("document", RUN, ids=lambda path: path.name)
def test_the_commands_of_a_document_run_as_they_stand(document, project, tmp_path):
    install(project)
    environment = documents.environment_of(project.folder, project.environment | project.shared)
    for block in documents.blocks(document):
        printed = documents.run(block, project.folder, environment, tmp_path / "server.log")
        assert not re.search("^(error: |Traceback|WARNING:tensorflow)", printed, re.MULTILINE), printed
