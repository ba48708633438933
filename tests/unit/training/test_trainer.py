"""A variant's replicates: every variant trains, an interruption costs nothing, the same bytes come from any machine."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnist_mlp.config import Variant
from mnist_mlp.config.choices import ACTIVATIONS
from mnist_mlp.errors import UserError
from mnist_mlp.training import outputs
from tests.helpers.environment import COMPILING
from tests.helpers.images import make_splits, sparse_splits
from tests.helpers.params import PARAMS, ROOT
from tests.helpers.variants import make_variant

pytestmark = pytest.mark.usefixtures("quick_to_compile")


@pytest.fixture(scope="module")
def trainer():
    from mnist_mlp.training import trainer

    return trainer


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def one_of_each_network() -> list[Variant]:
    """Return the variants without those that differ from another one in the activation alone, each kept in turn."""
    alike: dict[tuple[str, str], list[Variant]] = {}
    for variant in PARAMS.variants:
        alike.setdefault((variant.study, variant.name.removesuffix(f"-{variant.activation}")), []).append(variant)
    return [variants[number % len(variants)] for number, variants in enumerate(alike.values())]


@pytest.mark.slow
@pytest.mark.parametrize("variant", one_of_each_network(), ids=lambda v: v.label)
def test_every_network_of_the_studies_trains_for_a_step(variant, trainer):
    variant = variant.model_copy(update={"epochs": 1, "batch_size": 99, "seeds": (0,)})
    n = 110 if variant.validation == "held_out" else 99
    (replicate,) = trainer.train(variant, make_splits(variant, n, n_test=n))  # as many, to compile one function fewer
    assert np.isfinite(replicate.curve).all()
    assert replicate.probabilities.shape == (n, 10)
    np.testing.assert_allclose(replicate.probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_trains(activation, trainer):
    variant = make_variant(
        activation=activation, epochs=1, seeds=[0], optimizer="sgd", learning_rate=1e-4, batch_size=50
    )
    assert np.isfinite(trainer.train(variant, make_splits(variant))[0].curve).all()


@pytest.mark.slow
def test_input_penalties_change_nothing_but_the_penalty_reported(trainer):
    plain, penalized = make_variant(), make_variant(layers=[{"activity_l1": 0.01}, {"dense": 16}])
    splits = make_splits(plain)
    expected = 0.01 * np.abs(splits.train[0]).sum() / len(splits.train[0])
    for one, other in zip(trainer.train(plain, splits), trainer.train(penalized, splits), strict=True):
        assert one.probabilities.tobytes() == other.probabilities.tobytes()
        assert one.curve.tobytes() == other.curve.tobytes()
        assert one.metrics["penalty"] == 0
        assert other.metrics["penalty"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_weight_penalties_shrink_the_weights(trainer):
    def norm(units: object) -> float:
        variant = make_variant(layers=[{"dense": units}], epochs=5, seeds=[0])
        return np.linalg.norm(trainer.train(variant, make_splits(variant))[0].model.get_layer("dense_1").kernel)

    assert norm({"units": 16, "l2": 0.1}) < 0.9 * norm(16)


def test_a_loss_that_is_not_finite_ends_the_training(trainer):
    variant = make_variant(optimizer="sgd", learning_rate=1000.0, activation="exponential", epochs=3)
    with pytest.raises(UserError, match="no longer finite"):
        trainer.train(variant, make_splits(variant))


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "first"), [("sgd", ["batch_norm", "flatten"]), ("adam", [])])
def test_an_interrupted_training_goes_on_and_ends_with_the_same_bytes(optimizer, first, tmp_path, trainer):
    variant = make_variant(layers=[*first, {"dropout": 0.2}, {"dense": 16}], epochs=6, optimizer=optimizer)
    splits, checkpoint_dir, seen = sparse_splits(), tmp_path / "checkpoints", []
    outputs.write(trainer.train(variant, splits), tmp_path / "whole" / variant.folder, splits.test[0])

    def stop(seed: int, epoch: int, row: np.ndarray) -> None:
        if epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(variant, splits, stop, checkpoint_dir, checkpoint_seconds=0)
    torn = checkpoint_dir / "seed-1.npz"
    torn.write_bytes(torn.read_bytes()[:-100])  # as a full disk or a power cut may leave it
    resumed = trainer.train(variant, splits, lambda *state: seen.append(state[:2]), checkpoint_dir)
    assert min(epoch for seed, epoch in seen if seed == 0) == 4
    assert min(epoch for seed, epoch in seen if seed == 1) == 1
    outputs.write(resumed, tmp_path / "resumed" / variant.folder, splits.test[0])
    assert digests(tmp_path / "resumed" / variant.folder) == digests(tmp_path / "whole" / variant.folder)


@pytest.mark.slow
def test_bytes_do_not_depend_on_cores_order_company_user_locale_or_time_zone(tmp_path):
    def run(cores: int, *runs: str, start: tuple[str, ...] = (), **environment: str) -> None:
        command = [*start, sys.executable, "-m", "tests.helpers.sameness", str(cores), str(tmp_path), *runs]
        subprocess.run(command, check=True, cwd=ROOT, env=os.environ | environment | COMPILING)

    user = ("unshare", "--user", "--map-user=12345")
    another = user if subprocess.run([*user, "true"], capture_output=True).returncode == 0 else ()
    elsewhere = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "1", "HOME": str(tmp_path), "USER": "another"}
    run(2, "alone=1", "three=2,1,0")
    run(1, "one=0,1", start=(*another, "taskset", "-c", "0"), **elsewhere)
    run(16, "many=1,0")
    names, folder = ("alone", "three", "one", "many"), make_variant().folder
    alone, three, one, many = (digests(tmp_path / name / folder) for name in names)
    assert one == many
    for seed, found in ((0, (three, one)), (1, (three, one, alone))):
        assert len({files[f"seed-{seed}.keras"] for files in found}) == 1, seed
