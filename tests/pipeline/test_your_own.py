"""docs/your-own.md, run as it stands: another data set, a study of one's own."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.made_outputs import rows
from tests.helpers.params import ROOT
from tests.helpers.project import Project
from tests.helpers.variants import shrink

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shell")]

CLASSES = ("circle", "cross", "square")
_, DATA, STUDY = (ROOT / "docs/your-own.md").read_text().split("\n## ")


def blocks(section: str, kind: str) -> list[str]:
    """Return a section's code blocks of a kind: `sh` or `yaml`."""
    return re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)


def run_blocks(project: Project, section: str) -> list[str]:
    """Run a section's commands, and return what each printed. TensorFlow's warnings and tracebacks fail the test."""
    printed = [project.run(*line.split()) for block in blocks(section, "sh") for line in block.splitlines()]
    for text in printed:
        assert "WARNING:tensorflow" not in text and "retracing" not in text and "Traceback" not in text, text
    return printed


def made(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n images of 32 x 32 in three classes, each with a bright block in a place of its own."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3).astype(np.uint8)
    images = rng.integers(0, 60, (n, 32, 32)).astype(np.uint8)
    images[:, :, :2] = 0
    for image, label in zip(images, labels, strict=True):
        image[9 * label : 9 * label + 10, 4:28] += 60
    return images, labels


def write_shapes(folder: Path, train: int = 1500, test: int = 120) -> None:
    """Write the images as a folder of PNGs and as an NPZ file."""
    arrays = {}
    for split, n in (("train", train), ("test", test)):
        arrays[f"x_{split}"], arrays[f"y_{split}"] = images, labels = made(n, n)
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / "shapes" / split / CLASSES[label] / f"{i:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    np.savez(folder / "shapes.npz", **arrays)


def test_the_data_set_of_the_document_runs_through_the_whole_pipeline(tmp_path):
    project = Project(tmp_path / "project")
    project.change(lambda params: shrink(params, {"techniques": [["none"], ["relu"]]}))
    project.change(lambda params: params.update(epochs=5))
    write_shapes(tmp_path)
    pngs, npz, idx, *trained = run_blocks(project, DATA)
    assert "1,500 training and 120 test images of 32 x 32, 3 classes: 0 circle, 1 cross, 2 square" in pngs
    assert "params.yaml: shapes-npz added under datasets" in npz and "sha256" in idx
    assert project.ran(trained[0]) == ["download", "preprocess", "train-candidate"]
    assert project.ran(trained[1])[-3:] == ["evaluate", "compare", "champion"]
    assert "NOT THE NOTEBOOKS' MNIST" in trained[1]

    stored = np.load(project.folder / "models/candidate/candidate/probabilities.npy")
    assert stored.shape == (2, 120, 3)
    reports = project.folder / "reports"
    assert json.loads((reports / "metrics.json").read_text())["test_accuracy"] > 0.9
    assert list(rows(reports / "per_class.csv")[0])[3:] == ["class_0", "class_1", "class_2"]
    hardest = json.loads((reports / "hardest.json").read_text())
    assert (hardest["height"], hardest["width"]) == (32, 32)
    page = (reports / "comparison.html").read_text()
    assert "digit" not in page and "<caption>Test images by true class" in page
    store = project.store()
    version = store.client.get_model_version_by_alias("mnist-mlp", "champion")
    assert "uint8 [n, 32, 32]" in version.description


def test_the_study_of_the_document_is_trained_and_compared(project):
    entry, stage = blocks(STUDY, "yaml")
    for name, edit in {
        "params.yaml": lambda text: text + entry,
        "dvc.yaml": lambda text: text.replace("\n  evaluate:", f"\n{stage}\n  evaluate:", 1),
    }.items():
        path = project.folder / name
        path.write_text(edit(path.read_text()))
    (printed,) = run_blocks(project, STUDY)
    variants = [f"{noise}-{activation}" for noise in ("none", "dropout") for activation in ("relu", "tanh")]
    ran = project.ran(printed)
    assert sorted(ran[:4]) == sorted(f"train-noise@{variant}" for variant in variants)
    assert ran[4:6] == ["evaluate", "compare"]
    reports = project.folder / "reports"
    assert {row["variant"] for row in rows(reports / "variants.csv") if row["study"] == "noise"} == set(variants)
    assert "dropout" in {row["level"] for row in rows(reports / "effects.csv")}
    found = {run.data.tags["variant"] for run in project.runs("tags.study = 'noise' and tags.kind = 'variant'")}
    assert found == set(variants)
