"""`mnist-mlp dataset`: what it writes, prints and adds; nothing is left half done."""

import os
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from mnist_mlp import config
from mnist_mlp.commands import dataset
from mnist_mlp.config.choices import IDX_FILES
from mnist_mlp.data import datasets
from mnist_mlp.errors import UserError
from tests.helpers.params import PARAMS_FILE
from tests.helpers.sources import TINY, described, write_folder


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    """Be in a project with params.yaml in the form that DVC writes, and with shapes.npz."""
    monkeypatch.chdir(tmp_path)
    yaml = YAML()
    yaml.default_flow_style = False
    with Path("params.yaml").open("w") as file:
        yaml.dump(yaml.load(PARAMS_FILE.read_text()), file)
    images = np.random.default_rng(0).integers(1, 256, (132, 6, 4)).astype(np.uint8)
    labels = np.arange(132, dtype=np.uint8) % 3
    np.savez("shapes.npz", x_train=images[:120], y_train=labels[:120], x_test=images[120:], y_test=labels[120:])


def test_the_printed_entry_is_ready_to_paste(capsys):
    dataset.main("shapes.npz", "shapes", "idx", add=False)
    out = capsys.readouterr().out
    assert out.startswith("idx: 120 training and 12 test images of 6 x 4, 3 classes: 0, 1, 2\n")
    assert out.endswith("next: `dvc exp run -S dataset=shapes` trains all variants on it\n")
    block = out.split("\n\n")[1]
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(params.replace("\ndatasets:\n", f"\ndatasets:\n{block}\n"))
    found = config.load().datasets["shapes"]
    contents = {name: Path("idx", name).read_bytes() for name in IDX_FILES}
    assert found.sources == ("idx",)
    assert {name: file.model_dump() for name, file in found.files.items()} == described(contents)
    assert len(datasets.load(Path("idx"))[0][0]) == 120


def test_an_added_entry_changes_no_other_line(capsys):
    before = Path("params.yaml").read_text().splitlines()
    dataset.main("shapes.npz", "shapes", None, add=True)
    assert "params.yaml: shapes added under datasets" in capsys.readouterr().out
    after = Path("params.yaml").read_text().splitlines()
    start = after.index("  shapes:")
    assert after[start - 1] == "datasets:"
    assert after[:start] + after[start + 16 :] == before
    assert config.load().datasets["shapes"].sources == ("data/shapes",)


def test_idx_files_stay_where_they_are(capsys):
    write_folder("images", TINY)
    dataset.main("images", "noise", None, add=True)
    assert config.load().datasets["noise"].sources == ("images",)
    assert {name: file.model_dump() for name, file in config.load().datasets["noise"].files.items()} == described(TINY)
    assert sorted(path.name for path in Path().iterdir()) == ["images", "params.yaml", "shapes.npz"]


def test_a_class_whose_name_holds_signs_for_the_terminal_is_printed_as_text(capsys):
    from PIL import Image

    for split, number in (("train", 60), ("test", 6)):
        for grey, name in enumerate((b"line\nbreak", b"\x1b[31mred \xe9"), start=1):
            folder = Path("pictures", split, os.fsdecode(name))
            folder.mkdir(parents=True)
            for i in range(number):
                Image.fromarray(np.full((4, 4), grey, np.uint8)).save(folder / f"{i}.png")
    dataset.main("pictures", "pictures", None, add=True)
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith(r"2 classes: 0 \x1b[31mred \udce9, 1 line\nbreak")


def test_a_link_to_params_yaml_stays_one(tmp_path):
    kept = Path("params.yaml").rename("kept.yaml")
    Path("params.yaml").symlink_to(kept)
    dataset.main("shapes.npz", "shapes", None, add=True)
    assert Path("params.yaml").is_symlink()
    assert "shapes" in config.load(kept).datasets


def test_a_folder_of_its_own_is_written_again():
    dataset.main("shapes.npz", "shapes", "idx", add=False)
    before = {path.name: path.read_bytes() for path in Path("idx").iterdir()}
    dataset.main("shapes.npz", "shapes", "idx", add=False)
    assert {path.name: path.read_bytes() for path in Path("idx").iterdir()} == before


FAULTS = {
    "name": (("shapes.npz", "A b", None, False), "--name: found 'A b'; allowed: a-z, 0-9, _ and -,"),
    "sample": (("shapes.npz", "mnist-sample", None, False), "--name: found 'mnist-sample'; allowed: "),
    "known": (
        ("shapes.npz", "mnist", None, True),
        "params.yaml: found an entry mnist under datasets; allowed: a new name;",
    ),
    "source": (("nowhere", "shapes", None, False), "nowhere: not there; allowed: a folder of PNGs, an NPZ file, or"),
    "to": (
        ("images", "noise", "idx", False),
        "--to: found idx; allowed: none, for the IDX files of images stay there;",
    ),
    "others": (
        ("shapes.npz", "shapes", "full", False),
        "full: found notes.txt; allowed: a new or empty folder, or IDX files",
    ),
    "file": (("shapes.npz", "shapes", "params.yaml", False), "params.yaml: found a file; allowed: a new folder;"),
    "pipeline": (
        ("shapes.npz", "shapes", "data/raw", False),
        "data/raw: found a folder of the pipeline; allowed: any other;",
    ),
    "inside": (
        ("shapes.npz", "shapes", "data/raw/shapes", False),
        "data/raw/shapes: found a folder of the pipeline; allowed: any other;",
    ),
    "models": (("shapes.npz", "shapes", "models", False), "models: found a folder of the pipeline; allowed: any "),
    "replaced": (
        ("data/raw", "noise", None, False),
        "data/raw: found a folder of the pipeline; allowed: any other, for a data set that replaces it would remove",
    ),
}


@pytest.mark.parametrize(("arguments", "fault"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_work_changes_nothing(arguments, fault):
    write_folder("images", TINY)
    write_folder("full", {"notes.txt": b"mine"})
    Path("data").mkdir()
    write_folder("data/raw", TINY)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    with pytest.raises(UserError) as error:
        dataset.main(*arguments)
    assert str(error.value).startswith(fault) and "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
