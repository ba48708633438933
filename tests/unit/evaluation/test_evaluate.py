"""The stage evaluate: as a process, and with outputs that do not fit."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mnist_mlp.pipeline.stage import errors_as_lines
from stages import evaluate
from tests.helpers.made_outputs import HEAVY, contents, make, run_main, run_stage

MODEL = Path("models/architectures/model4")


@pytest.fixture(scope="module")
def process(tmp_path_factory) -> tuple[Path, str, set[str]]:
    """A project in which `python -m stages.evaluate` ran, what that printed, and the packages that it imported."""
    root = tmp_path_factory.mktemp("process")
    make(root)
    return root, *run_stage("evaluate", root, PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C")


def test_a_process_with_other_settings_writes_the_same_bytes(process, evaluated):
    root, printed, _ = process
    written = contents(root / "reports")
    assert printed == ""
    assert written == contents(evaluated / "reports")
    assert not any(b"\r" in data or b"NaN" in data for data in written.values())


def test_evaluate_imports_no_tensorflow_keras_or_mlflow(process):
    _, _, imported = process
    assert "pandas" in imported
    assert not imported & HEAVY


def delete(root: Path, name: Path | str) -> None:
    (root / name).unlink()


def replace(root: Path, name: Path, old: str, new: str) -> None:
    content = (root / name).read_text()
    assert old in content
    (root / name).write_text(content.replace(old, new))


def drop_the_last_row(root: Path) -> None:
    lines = (root / MODEL / "history.csv").read_text().splitlines()
    (root / MODEL / "history.csv").write_text("\n".join([*lines[:-1], ""]))


def drop_an_image(root: Path) -> None:
    path = root / MODEL / "probabilities.npy"
    np.save(path, np.load(path)[:, :-1])


def drop_a_class(root: Path) -> None:
    path = root / MODEL / "probabilities.npy"
    np.save(path, np.load(path)[:, :, :-1])


def cut_short(root: Path) -> None:
    content = (root / MODEL / "probabilities.npy").read_bytes()
    (root / MODEL / "probabilities.npy").write_bytes(content[: len(content) // 2])


def shift_the_labels(root: Path) -> None:
    path = root / "data/prepared/labels/test.npy"
    np.save(path, (np.load(path) + 1) % 10)


FAULTS = {
    "no metrics": (lambda root: delete(root, MODEL / "metrics.json"), "model4/metrics.json: No such file"),
    "no history": (lambda root: delete(root, MODEL / "history.csv"), "model4/history.csv: No such file"),
    "no probabilities": (
        lambda root: delete(root, MODEL / "probabilities.npy"),
        "model4/probabilities.npy: No such file",
    ),
    "no data set": (
        lambda root: delete(root, "data/prepared/dataset.json"),
        "data/prepared/dataset.json: No such file",
    ),
    "other seeds": (
        lambda root: replace(root, MODEL / "metrics.json", '"seed": 1,', '"seed": 5,'),
        r"model4/metrics.json: found seeds \[0, 5\]; allowed: \[0, 1\]",
    ),
    "no JSON": (
        lambda root: (root / MODEL / "metrics.json").write_text("{"),
        "model4/metrics.json: found something else; allowed: a valid JSON file",
    ),
    "a missing metric": (
        lambda root: replace(root, MODEL / "metrics.json", "val_loss", "loss"),
        "model4/metrics.json: found KeyError .*val_loss",
    ),
    "an epoch missing": (
        drop_the_last_row,
        r"model4/history.csv: found 5 rows; allowed: 3 epochs of each of the seeds \[0, 1\]",
    ),
    "an image missing": (
        drop_an_image,
        r"model4/probabilities.npy: found float32 \[2, 199, 10\]; allowed: float32 \[2, 200, at least 10\]",
    ),
    "a class missing": (
        drop_a_class,
        r"model4/probabilities.npy: found float32 \[2, 200, 9\]; allowed: float32 \[2, 200, at least 10\]",
    ),
    "half a file": (cut_short, "model4/probabilities.npy: found something else; allowed: a valid NumPy array file"),
    "other labels": (
        shift_the_labels,
        "model1/probabilities.npy: found test accuracy 0.0[0-9]+ for seed 0; allowed: metrics.json's 0.9",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), FAULTS.values(), ids=FAULTS)
def test_outputs_that_do_not_fit_are_named_and_nothing_is_written(
    spoil: Callable[[Path], object], message: str, trained, capsys
):
    spoil(trained)
    with pytest.raises(SystemExit) as ended, errors_as_lines():
        run_main(evaluate, trained)
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert re.match(f"error: .*{message}", printed)
    assert printed.count("\n") == 1
    assert "run `dvc repro`" in printed
    assert not (trained / "reports").exists()
