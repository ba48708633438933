"""What DVC refuses, in a line."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from mnist_mlp.cluster import plan
from mnist_mlp.errors import UserError


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("stages:\n<<<<<<< HEAD\n  a:\n", "could not find expected ':'"),
        ("stagez: {}\n", "extra keys not allowed"),
        ("stages: {}  # \udcff\n", "is not valid utf-8"),
    ],
    ids=["a merge's markers", "an unknown key", "no text"],
)
def test_a_dvc_yaml_that_cannot_be_read_is_named(tmp_path, monkeypatch, content, fault):
    monkeypatch.chdir(tmp_path)
    Repo.init(no_scm=True).close()
    Path("dvc.yaml").write_text(content, errors="surrogateescape")
    with pytest.raises(UserError, match=r"dvc\.yaml") as caught, plan.repository() as repo:
        assert repo.index.stages
    assert fault in str(caught.value) and "\n" not in str(caught.value)
