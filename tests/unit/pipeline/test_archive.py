"""Files packed and unpacked, by this Python's tarfile and by the oldest that the project allows."""

import tarfile

import pytest

from mnist_mlp.pipeline import archive


@pytest.fixture(params=["this Python's", "3.11.2's"])
def tar_module(request, monkeypatch) -> None:
    """Have tarfile be as in the first releases of Python 3.11, Debian 12's for example: without filters."""
    if request.param == "3.11.2's":
        ours = tarfile.TarFile.extractall

        def extractall(self, path=".", members=None, *, numeric_owner=False):
            ours(self, path, members, numeric_owner=numeric_owner)

        monkeypatch.delattr(tarfile, "data_filter", raising=False)
        monkeypatch.setattr(tarfile.TarFile, "extractall", extractall)


@pytest.mark.usefixtures("tar_module")
def test_packed_files_are_unpacked_elsewhere_and_over_existing_ones(tmp_path, monkeypatch):
    (tmp_path / "models/study").mkdir(parents=True)
    (tmp_path / "models/study/metrics.json").write_text("{}")
    (tmp_path / "dvc.lock").write_bytes(bytes(range(256)))
    monkeypatch.chdir(tmp_path)
    content = archive.pack(["models", "dvc.lock"])
    (tmp_path / "elsewhere").mkdir()
    archive.unpack(content, tmp_path / "elsewhere")
    (tmp_path / "elsewhere/models/former").mkdir()
    (tmp_path / "elsewhere/kept").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    archive.unpack(content)
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["dvc.lock", "kept", "models"]
    assert [path.name for path in (tmp_path / "elsewhere/models").iterdir()] == ["study"]
    assert (tmp_path / "elsewhere/models/study/metrics.json").read_text() == "{}"
    assert (tmp_path / "elsewhere/dvc.lock").read_bytes() == bytes(range(256))
