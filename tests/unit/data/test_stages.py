"""The stages download and preprocess, whole: in this process, as processes, and through DVC."""

import os
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from mnist_mlp.data import datasets, scaling
from mnist_mlp.pipeline.stage import errors_as_lines
from stages import download, preprocess
from tests.helpers.params import ROOT
from tests.helpers.sources import (
    FIRST,
    HTML,
    PLAIN,
    TINY,
    ZIPPED,
    closed_address,
    redirect_in_circles,
    send_without_end,
    stall,
    write_folder,
    write_params,
)


def run(*command: str) -> subprocess.CompletedProcess:
    """Return what a command of this Python's environment did in this folder, its streams as one."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )


def repro(stage: str, kilobytes: int | None = None) -> subprocess.CompletedProcess:
    """Run `dvc repro` in this folder, made a project. kilobytes: the data that each process may hold in memory."""
    shutil.copy2(ROOT / "dvc.yaml", "dvc.yaml")
    for name in ("mnist_mlp", "stages"):
        shutil.copytree(ROOT / name, name, ignore=shutil.ignore_patterns("__pycache__"))
    assert run("dvc", "init", "--quiet", "--no-scm").returncode == 0
    limit = f"ulimit -d {kilobytes} && " if kilobytes else ""
    return run("sh", "-c", f"{limit} exec dvc repro {stage}")


def zeros_as_gzip(size: int) -> bytes:
    packer, block = zlib.compressobj(1, wbits=31), bytes(2**20)
    return b"".join([*(packer.compress(block) for _ in range(size // 2**20)), packer.flush()])


@pytest.mark.slow
def test_dvc_repro_skips_every_hostile_source_in_bounded_time_and_memory(serve):
    """Each is skipped in one line, then the good source serves. A bomb of 2 GB passes within 600 MB, a server that
    stalls within its 10 s."""
    flipped = bytearray(TINY[FIRST])
    flipped[5000] ^= 1
    hostile = {
        serve(PLAIN | {f"/{FIRST}": TINY[FIRST][:-1]}): "truncated: 78,415 of 78,416 bytes",
        serve(PLAIN | {f"/{FIRST}": bytes(flipped)}): "other content: SHA-256",
        serve({"*": HTML}): "not gzip and not an IDX file (an HTML page?)",
        serve(ZIPPED | {f"/{FIRST}.gz": zeros_as_gzip(2 * 10**9)}): "more than the expected 78,416 bytes",
        serve({"*": redirect_in_circles}): "more than 5 redirects",
        serve({"*": send_without_end}): "more than the expected 78,416 bytes",
        serve({"*": lambda handler: stall(handler, 60)}): "timed out",
        serve({"*": lambda handler: time.sleep(60)}): "no answer within 10 s",
    }
    good = serve(ZIPPED)
    write_params(*hostile, good)
    start = time.monotonic()
    done = repro("download", kilobytes=600_000)
    assert done.returncode == 0, done.stdout
    assert time.monotonic() - start < 60
    lines = [line for line in done.stdout.splitlines() if line.startswith(("skipped", "mnist:"))]
    assert len(lines) == len(hostile) + 1 and lines[-1] == f"mnist: taken from {good}"
    for line, (address, reason) in zip(lines, hostile.items(), strict=False):
        assert line.startswith(f"skipped {address}: {FIRST}: ") and reason in line
    assert {path.name: path.read_bytes() for path in Path("data/raw").iterdir() if path.name != "dataset.json"} == TINY


@pytest.mark.slow
def test_dvc_repro_refuses_files_whose_digests_are_right_and_content_is_not():
    contents = TINY | {FIRST: b"\0\0\x08\x03" + b"\xff" * 12}
    write_params(write_folder("folder", contents), contents=contents)
    done = repro("download")
    assert done.returncode != 0
    (line,) = [line for line in done.stdout.splitlines() if "4294967295 x 4294967295 x 4294967295" in line]
    assert FIRST in line and "Traceback" not in done.stdout
    assert not Path("data/raw").exists() and not Path("dvc.lock").exists()


def contents_of(folder: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*.*")}


def test_both_stages_run_as_processes_and_write_the_same_bytes_again():
    write_params(closed_address(), dataset="auto")
    for stage in ("stages.download", "stages.preprocess"):
        done = run(sys.executable, "-m", stage)
        assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("data/prepared: 4,000 training and 1,000 test images")
    before = contents_of("data")
    download.main()
    preprocess.main()
    assert contents_of("data") == before


def test_preprocess_writes_the_images_in_both_scalings():
    write_params("nowhere", dataset="mnist-sample")
    download.main()
    preprocess.main()
    arrays = {str(path.relative_to("data/prepared")): np.load(path) for path in Path("data/prepared").rglob("*.npy")}
    train, train_labels, test, test_labels = datasets.sample()
    expected = {
        "labels/train.npy": train_labels, "labels/test.npy": test_labels,
        "pixels/train.npy": scaling.pixels(train), "pixels/test.npy": scaling.pixels(test),
        "unit_columns/train.npy": scaling.unit_columns(train), "unit_columns/test.npy": scaling.unit_columns(test),
    }  # fmt: skip
    assert arrays.keys() == expected.keys()
    assert all(np.array_equal(arrays[name], array) for name, array in expected.items())


def test_preprocess_without_data_says_what_to_run(capsys):
    with pytest.raises(SystemExit) as ended, errors_as_lines():
        preprocess.main()
    assert ended.value.code == 1
    assert capsys.readouterr() == (
        "", f"error: data/raw/{FIRST}: can't be read (No such file or directory); run `dvc repro --force download`\n"
    )  # fmt: skip
    assert not Path("data").exists()


def test_preprocess_replaces_the_old_content_whole():
    Path("data/prepared/pixels").mkdir(parents=True)
    Path("data/prepared/pixels/old.npy").touch()
    write_params("nowhere", dataset="mnist-sample")
    download.main()
    preprocess.main()
    assert len([*Path("data/prepared").rglob("*.npy")]) == 6
    assert Path("data/prepared/dataset.json").read_bytes() == Path("data/raw/dataset.json").read_bytes()
