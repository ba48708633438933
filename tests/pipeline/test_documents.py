"""Every command of the documents, run as it stands there, in a clean clone whose outputs are in the cache."""

import sys
from pathlib import Path

import pytest

from tests.helpers import documents
from tests.helpers.project import Project

pytestmark = pytest.mark.slow
ELSEWHERE = "your-own.md"  # has a test of its own, which brings the images
RUN = [path for path in documents.DOCUMENTS if path.name != ELSEWHERE and documents.blocks(path)]


def install(project: Project) -> None:
    """Have the project's `make setup` find this environment in .venv, so that it has nothing to install."""
    (project.folder / ".venv").mkdir()
    (project.folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (project.folder / ".venv/.installed").touch()
    project.git("config", "user.name", "test")
    project.git("config", "user.email", "test@localhost")


@pytest.mark.parametrize("document", RUN, ids=lambda path: path.name)
def test_the_commands_of_a_document_run_as_they_stand(document, project, tmp_path):
    install(project)
    environment = documents.environment_of(project.folder, project.environment)
    for block in documents.blocks(document):
        done = documents.run(block, project.folder, environment, tmp_path / "server.log")
        assert done.returncode == 0, f"{block.commands}\n{done.stdout}"
        assert not [word for word in ("Traceback", "error: ", "WARNING:tensorflow") if word in done.stdout], done.stdout
