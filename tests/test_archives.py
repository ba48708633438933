"""What is packed and unpacked, by this Python's tarfile and by the oldest."""

import tarfile

import pytest

from mnist_mlp import archives


@pytest.fixture(params=["this Python's", "3.11.2's"])
def tar_module(request, monkeypatch):
    """The first releases of Python 3.11 have no filters of what is unpacked, and Debian 12's is one of them."""
    if request.param == "3.11.2's":
        ours = tarfile.TarFile.extractall

        def extractall(self, path=".", members=None, *, numeric_owner=False):
            ours(self, path, members, numeric_owner=numeric_owner)

        monkeypatch.delattr(tarfile, "data_filter", raising=False)
        monkeypatch.setattr(tarfile.TarFile, "extractall", extractall)


@pytest.mark.usefixtures("tar_module")
def test_what_is_packed_is_unpacked_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "models/study").mkdir(parents=True)
    (tmp_path / "models/study/metrics.json").write_text("{}")
    (tmp_path / "dvc.lock").write_bytes(bytes(range(256)))
    monkeypatch.chdir(tmp_path)
    content = archives.pack(["models", "dvc.lock"])
    (tmp_path / "elsewhere").mkdir()
    archives.unpack(content, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    archives.unpack(content)  # over what is there
    assert (tmp_path / "elsewhere/models/study/metrics.json").read_text() == "{}"
    assert (tmp_path / "elsewhere/dvc.lock").read_bytes() == bytes(range(256))
