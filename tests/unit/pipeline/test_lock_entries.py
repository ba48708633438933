"""dvc.lock as texts of entries, put together in DVC's order."""

import pytest
from dvc.utils.serialize import dumps_yaml
from ruamel.yaml import YAML

from mnist_mlp import paths
from mnist_mlp.pipeline import lock_entries
from mnist_mlp.pipeline.lock_entries import Entries
from tests.helpers.params import ROOT

ORDER = ["download", "train-techniques@none-relu", "evaluate"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def text(name: str, command: str = "true") -> str:
    return f"  {name}:\n    cmd: {command}\n"


def names() -> list[str]:
    return list(YAML(typ="safe").load(paths.LOCKFILE.read_text())["stages"])


def test_a_file_that_dvc_wrote_is_read_and_written_to_the_byte():
    content = (ROOT / paths.LOCKFILE).read_bytes()
    paths.LOCKFILE.write_bytes(content)
    entries = lock_entries.read()
    assert list(entries) == names()
    lock_entries.write(entries)
    assert paths.LOCKFILE.read_bytes() == content


@pytest.mark.parametrize("length", [100, 110, 120, 240])
def test_a_name_of_any_length_is_read_as_dvc_wrote_it(length):
    """DVC's YAML spells a key of 118 signs and more in another form."""
    name = "train-a@" + length * "x"
    stages = {stage: {"cmd": "true", "outs": [{"path": "o", "md5": stage[:3]}]} for stage in ("a", name, "evaluate")}
    content = dumps_yaml({"schema": "2.0", "stages": stages})
    paths.LOCKFILE.write_text(content)
    entries = lock_entries.read()
    assert list(entries) == list(stages)
    assert lock_entries.digests(name) == {"o": "tra"}
    lock_entries.write(entries)
    assert paths.LOCKFILE.read_text() == content


@pytest.mark.parametrize(
    "content",
    ["# mine\nschema: '2.0'\nstages: {download: {cmd: 'true'}}\n", "stages: {download: {cmd: a}}\nschema: '2.0'\n"],
    ids=["a remark", "another order"],
)
def test_a_file_edited_by_hand_is_read_and_written_in_dvcs_form(content):
    paths.LOCKFILE.write_text(content)
    entries = lock_entries.read()
    assert entries.keys() == {"download"}
    lock_entries.write(entries)
    assert paths.LOCKFILE.read_text().startswith(f"{lock_entries.HEAD}  download:\n    cmd: ")


def test_no_entries_are_no_file():
    assert lock_entries.read() == {}
    lock_entries.write({"download": text("download")})
    lock_entries.write({})
    assert not paths.LOCKFILE.exists()


def test_new_entries_come_in_dvcs_order_whatever_ends_first():
    entries = Entries(ORDER)
    for name in reversed(ORDER):
        entries.add(name, text(name))
    assert names() == ORDER


def test_old_entries_keep_their_places():
    lock_entries.write({name: text(name) for name in ("evaluate", "download")})
    entries = Entries(ORDER)
    entries.add("train-techniques@none-relu", text("train-techniques@none-relu"))
    entries.add("download", text("download", "false"))
    assert names() == ["evaluate", "download", "train-techniques@none-relu"]
    assert "cmd: false" in entries.of(["download"])["download"]


def test_an_unfinished_run_goes_on_in_the_same_order():
    Entries(ORDER).add("evaluate", text("evaluate"))
    entries = Entries(ORDER)
    entries.add("download", text("download"))
    assert names() == ["download", "evaluate"]
    entries.close()
    assert not lock_entries.NEW.exists()
