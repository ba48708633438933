"""The files that a training leaves."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mnist_mlp.errors import UserError
from mnist_mlp.training import outputs
from mnist_mlp.training.splits import Splits
from tests.helpers.images import make_splits
from tests.helpers.variants import make_variant

pytestmark = pytest.mark.usefixtures("quick_to_compile")

VARIANT = make_variant(layers=["batch_norm", "flatten", {"dropout": 0.2}, {"dense": 16}], seeds=(5, 3), epochs=3)


@pytest.fixture(scope="module")
def splits() -> Splits:
    return make_splits(VARIANT)


@pytest.fixture(scope="module")
def replicates(quick_to_compile, splits) -> list[outputs.Replicate]:
    from mnist_mlp.training import trainer

    return trainer.train(VARIANT, splits)


@pytest.fixture(scope="module")
def folder(replicates, splits, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("outputs") / VARIANT.folder
    outputs.write(replicates, folder, splits.test[0])
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_model_per_seed_and_three_files_are_written(folder):
    names = sorted(contents(folder))
    assert names == ["history.csv", "metrics.json", "probabilities.npy", "seed-3.keras", "seed-5.keras"]


def test_the_history_has_a_row_per_seed_and_epoch(folder):
    history = pd.read_csv(folder / "history.csv")
    assert list(history) == ["seed", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.seed.tolist() == [3] * 3 + [5] * 3
    assert history.epoch.tolist() == [1, 2, 3] * 2


def test_metrics_are_those_of_the_probabilities(folder, splits):
    probabilities = np.load(folder / "probabilities.npy", allow_pickle=False)
    assert probabilities.dtype == np.float32
    metrics = json.loads((folder / "metrics.json").read_text())
    for row, replicate in zip(metrics["replicates"], probabilities, strict=True):
        assert row["test_accuracy"] == pytest.approx((replicate.argmax(1) == splits.test[1]).mean(), abs=1e-6)
        assert row["test_accuracy"] == row["val_accuracy"]  # validated on the test set


def test_models_load_with_keras_alone_and_predict_the_probabilities(folder, splits):
    import keras

    metrics = json.loads((folder / "metrics.json").read_text())
    for row, replicate in zip(metrics["replicates"], np.load(folder / "probabilities.npy"), strict=True):
        model = keras.saving.load_model(folder / f"seed-{row['seed']}.keras")
        assert model.count_params() == metrics["parameters"]
        np.testing.assert_allclose(model.predict(splits.test[0], verbose=0), replicate, atol=1e-5)


def test_the_same_replicates_give_the_same_bytes(folder, replicates, splits):
    before = contents(folder)
    outputs.write(replicates, folder, splits.test[0])
    assert contents(folder) == before


def test_what_a_killed_run_left_is_deleted_and_lay_outside_the_studys_folder(replicates, splits, tmp_path):
    scratch, folder = tmp_path / "models/.partial" / VARIANT.study / VARIANT.name, tmp_path / VARIANT.folder
    (scratch / f".{VARIANT.name}-killed/new").mkdir(parents=True)
    outputs.write(replicates, folder, splits.test[0])
    assert not list(scratch.iterdir())
    assert list(folder.parent.iterdir()) == [folder]


def test_a_model_whose_file_predicts_otherwise_is_refused_and_the_former_outputs_stay(folder, replicates, splits):
    before = contents(folder)
    first, *others = replicates
    altered = first.probabilities.copy()
    altered[7] = np.roll(altered[7], 1)
    with pytest.raises(UserError, match=r"^seed-3.keras: loaded again, the model doesn't repeat the predictions"):
        outputs.write([replace(first, probabilities=altered), *others], folder, splits.test[0])
    assert contents(folder) == before


def test_what_is_written_is_read_and_fits_its_variant(folder, replicates):
    read = outputs.read(folder)
    outputs.check(read, VARIANT)
    for replicate, (_, row) in zip(replicates, read.finals.iterrows(), strict=True):
        assert row.to_dict() == pytest.approx({"seed": replicate.seed} | replicate.metrics, abs=1e-6)
    curves = np.concatenate([replicate.curve for replicate in replicates])
    np.testing.assert_allclose(read.history[outputs.CURVES], curves, atol=1e-6)
