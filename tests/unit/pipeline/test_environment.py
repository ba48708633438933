"""What the user's environment would change, settled."""

import os

import pytest

from mnist_mlp import paths
from mnist_mlp.pipeline import environment


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Be in a project's folder, with variables that are put back afterwards."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.delenv(environment.VERIFY, raising=False)
    (tmp_path / "project" / paths.DVC_TMP / "exps" / "copy").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("root", ["other", ""], ids=["beside it", "around it"])
def test_the_root_of_another_projects_dvc_is_forgotten(tmp_path, root):
    """DVC keeps a DVC_ROOT that is set: the store and the replicates of `dvc repro` would be that project's."""
    os.environ["DVC_ROOT"] = str(tmp_path / root)
    environment.settle()
    assert "DVC_ROOT" not in os.environ


@pytest.mark.parametrize("folder", [".", paths.DVC_TMP / "exps" / "copy"], ids=["itself", "a copy that DVC made"])
def test_the_root_of_this_project_stays(project, monkeypatch, folder):
    monkeypatch.chdir(folder)
    os.environ["DVC_ROOT"] = str(project)
    environment.settle()
    assert os.environ["DVC_ROOT"] == str(project)
