"""The compiled epoch: Keras's semantics, the same bytes whatever runs beside it, outputs that load."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import COMPILING

from mnist_mlp import UserError, config
from mnist_mlp.training import saving
from mnist_mlp.training.data import Data, load

ROOT = Path(__file__).parents[1]
PARAMS = config.load()
pytestmark = pytest.mark.usefixtures("quick_to_compile")


def digits(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Digits that can be learned: a bright block whose place tells the class. float32 [n, 28, 28], uint8 [n].

    As in MNIST, some pixels (here two columns) are dark in every image."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n).astype(np.uint8)
    images = rng.uniform(0, 0.5, (n, 28, 28)).astype(np.float32)
    images[:, :, [0, 27]] = 0
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 6, 3:25] += 0.4
    return images, labels


def made(variant: config.Variant, n: int = 100, n_test: int = 30):
    images, labels = digits(n)
    test = digits(n_test, seed=1)
    kept = n - n // 10
    validation = (images[kept:], labels[kept:]) if variant.validation == "held_out" else test
    first = kept if variant.validation == "held_out" else n
    return Data((images[:first], labels[:first]), validation, (images, labels), test)


def shrunk(study: str, name: str, **changes) -> config.Variant:
    return PARAMS.variant(study, name).model_copy(update={"epochs": 1, "seeds": (0,)} | changes)


def wide(**changes) -> config.Variant:
    """A variant of its own, with every kind of thing that `changes` asks for."""
    own = {"study": "candidate", "name": "candidate", "scaling": "pixels", "validation": "test", "batch_size": 32,
           "epochs": 2, "train_metrics": "last_epoch", "seeds": (0, 1), "activation": "relu", "optimizer": "adam",
           "layers": [{"dense": 16}]}  # fmt: skip
    return config.Variant(**own | changes)


@pytest.mark.slow
@pytest.mark.parametrize("variant", PARAMS.variants, ids=lambda v: f"{v.study}-{v.name}")
def test_every_variant_trains_for_a_step(variant):
    from mnist_mlp.training import trainer

    variant = variant.model_copy(update={"epochs": 1, "batch_size": 99, "seeds": (0,)})
    n = 110 if variant.validation == "held_out" else 99
    (replicate,) = trainer.train(variant, made(variant, n, n_test=n))  # as many, to compile one function fewer
    assert np.isfinite(replicate.curve).all()
    assert replicate.probabilities.shape == (n, 10)
    np.testing.assert_allclose(replicate.probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    "layers",
    [
        ["batch_norm", "flatten", {"dense": 16}],
        ["batch_norm", {"dense": 16}],
        ["batch_norm", "batch_norm", {"dense": 16}],
        [{"dense": 192}, {"dense": 16}, "batch_norm", {"dense": 8}],
    ],
    ids=["on-images", "on-pixels", "twice", "on-units-after-a-wide-layer"],
)
def test_the_compiled_epoch_is_model_fit(optimizer, layers):
    """Same order, weights and seed, no dropout, batch norm, a last batch of 4: Keras's own loop to float32 rounding."""
    variant = wide(layers=layers, optimizer=optimizer, epochs=2, seeds=(7,))
    check_against_fit(variant, made(variant))


def check_against_fit(variant: config.Variant, data: Data) -> None:
    from mnist_mlp.training import networks, trainer

    (replicate,) = trainer.train(variant, data)
    model = networks.build(variant, 7)
    model.compile(variant.optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = []
    for epoch in (1, 2):
        order = np.random.default_rng((7, epoch)).permutation(len(data.train[0]))
        images, labels = (part[order] for part in data.train)
        fitted = model.fit(images, labels, 32, verbose=0, shuffle=False, validation_data=data.validation).history
        history.append([fitted[name][0] for name in ("loss", "accuracy", "val_loss", "val_accuracy")])
    np.testing.assert_allclose(replicate.curve, history, rtol=2e-4)
    ours, theirs = (np.concatenate([w.ravel() for w in m.get_weights()]) for m in (replicate.model, model))
    apart = np.abs(ours - theirs)
    assert np.quantile(apart, 0.999) < 1e-4
    assert apart.max() < 2e-3  # Adam divides by a gradient's size, and so turns rounding around zero into a step
    np.testing.assert_allclose(replicate.probabilities, model.predict(data.test[0], verbose=0), atol=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [*config.OPTIMIZERS, "l2"])
def test_pixels_dark_in_every_image_may_be_left_out_of_the_first_product(optimizer, monkeypatch):
    """By every optimizer the same training to rounding with them and without, and their weights as they began; else
    they aren't left out.

    One pixel is lit in a test image alone: it counts there, with the weights it began with."""
    from mnist_mlp.training import networks, program, trainer

    first = {"dense": {"units": 16, "l2": 0.01} if optimizer == "l2" else 16}
    variant = wide(optimizer="sgd" if optimizer == "l2" else optimizer, layers=[first], seeds=(0,), batch_size=25)
    data = made(variant)
    data.test[0][0, 14, 0] = 1.0
    (replicate,) = trainer.train(variant, data)
    left_out = optimizer in program.ELEMENTWISE
    pixels = program.pixels_for(variant, data)
    assert (pixels is not None) == left_out
    start = networks.build(variant, 0).get_weights()[0].reshape(28, 28, 16)
    assert (replicate.model.get_weights()[0].reshape(28, 28, 16) != start)[:, 1:27].any(axis=(0, 2)).all()
    if left_out:
        assert sorted(pixels.order) == [i for i in range(784) if i % 28 not in (0, 27) or i == 14 * 28]
        monkeypatch.setattr(program, "ELEMENTWISE", ())
        (whole,) = trainer.train(variant, data)
        np.testing.assert_allclose(replicate.curve, whole.curve, rtol=1e-4)
        np.testing.assert_allclose(replicate.probabilities, whole.probabilities, atol=1e-4)
        kernels = [one.model.get_weights()[0].reshape(28, 28, 16) for one in (replicate, whole)]
        np.testing.assert_allclose(*kernels, atol=1e-3)
        for kernel in kernels:
            np.testing.assert_array_equal(kernel[:, [0, 27]], start[:, [0, 27]])


def sparse(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Digits as sparse as MNIST's: of 400 pixels every image lights half, of 300 few images light some."""
    images, labels = digits(n, seed)
    flat, rng = images.reshape(n, -1), np.random.default_rng(seed)
    flat[:, 400:700] *= (rng.random((n, 1)) < 0.3) & (rng.random((n, 300)) < 0.03)
    flat[:, 700:] = 0
    return images, labels


@pytest.mark.parametrize("ahead", [[], ["batch_norm", "flatten"]], ids=["images", "normalized"])
@pytest.mark.parametrize(("optimizer", "at_a_time"), [("adam", 200), ("sgd", 8)], ids=["at-once", "in-parts"])
def test_pixels_lit_in_few_images_are_taken_one_by_one(optimizer, at_a_time, ahead, monkeypatch):
    """Keras's own loop to float32 rounding, where all that are lit in a batch are taken at once and where they aren't;
    and behind a batch normalization of the images, where pixels dark in all images count as well."""
    from mnist_mlp.training import batches, program

    monkeypatch.setattr(batches, "LIT", at_a_time)
    variant = wide(optimizer=optimizer, epochs=2, seeds=(7,), layers=[*ahead, {"dense": 16}])
    train, test = sparse(100, 0), sparse(30, 1)
    data = Data(train, test, train, test)
    pixels = program.pixels_for(variant, data)
    assert pixels.common == 384 and len(pixels.order) == (784 if ahead else (~dark_in(train[0], test[0])).sum())
    lit = np.sort(pixels.packed(train[0])[1])
    assert lit[-32:].sum() < 200 and lit.mean() * 32 > 8  # of any batch
    check_against_fit(variant, data)


def dark_in(*sets: np.ndarray) -> np.ndarray:
    """Which of the 784 pixels no image of these [n, 28, 28] lights."""
    return ~np.concatenate(sets).any(axis=0).ravel()


def test_pixels_are_common_or_rare_by_how_many_images_light_them():
    from mnist_mlp.training.pixels import SHARE, choose

    (images, _), (other, _) = sparse(2000, 0), sparse(100, 1)
    pixels = choose(images, other)
    shares = (images.reshape(-1, 784) != 0).mean(axis=0)
    assert sorted(pixels.order) == np.flatnonzero(~dark_in(images, other)).tolist()
    assert sorted(choose(images, other, dark=True).order) == list(range(784))
    common, rare = pixels.parts
    assert len(common) % 16 == 0 and (shares[rare] < SHARE).all()
    assert (shares[common] < SHARE).sum() < 16  # to fill up
    assert choose(np.ones((100, 28, 28), np.float32), other).common == 784
    assert choose(np.zeros((100, 28, 28), np.float32), other).common == 16  # a product of nothing there can't be


def test_packed_images_hold_all_that_is_lit():
    from mnist_mlp.training.pixels import choose

    (images, _), (other, _) = sparse(200, 0), sparse(100, 1)
    for few in (images, np.zeros_like(images)):
        pixels = choose(few, other)
        for part in (few, other):
            packed, counts, numbers = pixels.packed(part)
            whole = np.zeros((len(part), 784), np.float32)
            whole[:, pixels.parts[0]] = packed[:, : pixels.common]
            for i, (count, row) in enumerate(zip(counts, numbers, strict=True)):
                whole[i, pixels.parts[1][row[:count]]] = packed[i, pixels.common :][:count]
                assert not packed[i, pixels.common + count :].any()
            np.testing.assert_array_equal(whole.reshape(part.shape), part)


@pytest.mark.slow
@pytest.mark.parametrize("activation", config.ACTIVATIONS)
def test_every_activation_trains(activation):
    from mnist_mlp.training import trainer

    variant = wide(activation=activation, epochs=1, seeds=(0,), optimizer="sgd", learning_rate=1e-4, batch_size=50)
    assert np.isfinite(trainer.train(variant, made(variant))[0].curve).all()


def test_input_penalties_change_nothing_but_the_penalty_reported():
    from mnist_mlp.training import trainer

    plain = wide(layers=[{"dense": 16}])
    penalized = wide(layers=[{"activity_l1": 0.01}, {"dense": 16}])
    data = made(plain)
    for one, other in zip(trainer.train(plain, data), trainer.train(penalized, data), strict=True):
        assert one.probabilities.tobytes() == other.probabilities.tobytes()
        assert one.curve.tobytes() == other.curve.tobytes()
        expected = 0.01 * np.abs(data.train[0]).sum() / len(data.train[0])
        assert one.metrics["penalty"] == 0
        assert other.metrics["penalty"] == pytest.approx(expected, rel=1e-4)


def test_weight_penalties_shrink_the_weights():
    from mnist_mlp.training import trainer

    def norm(units) -> float:
        variant = wide(layers=[{"dense": units}], epochs=5, seeds=(0,))
        return np.linalg.norm(trainer.train(variant, made(variant))[0].model.get_layer("dense_1").kernel)

    assert norm({"units": 16, "l2": 0.1}) < 0.9 * norm(16)


def test_outputs_are_written_whole_and_load_with_keras_alone(tmp_path):
    import keras

    from mnist_mlp.training import trainer

    variant = wide(layers=["batch_norm", "flatten", {"dropout": 0.2}, {"dense": 16}], seeds=(5, 3), epochs=3)
    data, folder = made(variant), tmp_path / "models/candidate/candidate"
    replicates = trainer.train(variant, data)
    saving.write(variant, replicates, folder)

    assert sorted(path.name for path in folder.iterdir()) == [
        "history.csv", "metrics.json", "probabilities.npy", "seed-3.keras", "seed-5.keras"]  # fmt: skip
    history = pd.read_csv(folder / "history.csv")
    assert list(history) == ["seed", "epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert history.seed.tolist() == [3] * 3 + [5] * 3
    assert history.epoch.tolist() == [1, 2, 3] * 2
    metrics = json.loads((folder / "metrics.json").read_text())
    stored = np.load(folder / "probabilities.npy", allow_pickle=False)
    assert stored.dtype == np.float32
    for row, replicate in zip(metrics["replicates"], stored, strict=True):
        model = keras.saving.load_model(folder / f"seed-{row['seed']}.keras")
        assert model.count_params() == metrics["parameters"]
        np.testing.assert_allclose(model.predict(data.test[0], verbose=0), replicate, atol=1e-5)
        assert row["test_accuracy"] == pytest.approx((replicate.argmax(1) == data.test[1]).mean(), abs=1e-6)
        assert row["test_accuracy"] == row["val_accuracy"]  # validated on the test set
    before = digest(folder)
    saving.write(variant, replicates, folder)
    assert digest(folder) == before


def digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


TRAIN = """
import os, sys
os.sched_getaffinity = lambda process: set(range({cores}))
sys.path[:0] = [{root!r}, {tests!r}]
from test_training import train_all
for name, seeds in {runs!r}.items():
    train_all(seeds, os.path.join({folder!r}, name))
"""


def train_all(seeds: tuple[int, ...], folder: str) -> None:
    """A network with all that has an order of its own: batch norm of images and of activations, dropout, pixels that
    few images light, and products large enough to be split over any number of threads."""
    from mnist_mlp.training import program, trainer

    first, second = [{"dropout": 0.2}, "batch_norm", "flatten", {"dense": 512}], ["batch_norm", {"dropout": 0.5}]
    variant = wide(layers=[*first, *second, {"dense": 128}], batch_size=128, seeds=seeds)
    train, test = sparse(1000, 0), sparse(30, 1)
    data = Data(train, test, train, test)
    assert program.pixels_for(variant, data).rare
    saving.write(variant, trainer.train(variant, data), Path(folder, "models/a/b"))


@pytest.mark.slow
def test_bytes_do_not_depend_on_cores_order_company_user_locale_or_time_zone(tmp_path):
    def run(cores: int, runs: dict[str, tuple[int, ...]], *start: str, **environment: str) -> None:
        code = TRAIN.format(root=str(ROOT), tests=str(ROOT / "tests"), cores=cores, runs=runs, folder=str(tmp_path))
        command = [*start, sys.executable, "-c", code]
        subprocess.run(command, check=True, env=os.environ | environment | COMPILING)

    user = ("unshare", "--user", "--map-user=12345")
    another = user if subprocess.run([*user, "true"], capture_output=True).returncode == 0 else ()
    elsewhere = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "1", "HOME": str(tmp_path), "USER": "another"}
    run(2, {"alone": (1,), "three": (2, 1, 0)})
    run(1, {"one": (0, 1)}, *another, "taskset", "-c", "0", **elsewhere)
    run(16, {"many": (1, 0)})
    alone, three, one, many = (digest(tmp_path / name / "models/a/b") for name in ("alone", "three", "one", "many"))
    assert one == many
    for seed, found in ((0, (three, one)), (1, (three, one, alone))):
        assert len({files[f"seed-{seed}.keras"] for files in found}) == 1, seed


def test_a_batch_larger_than_the_training_set_is_refused(tmp_path):
    images, labels = digits(20)
    for part, array in (("pixels", images), ("labels", labels)):
        (tmp_path / part).mkdir()
        for split in ("train", "test"):
            np.save(tmp_path / part / f"{split}.npy", array)
    with pytest.raises(UserError, match="batch_size of candidate/candidate: found 19; allowed: at most 18"):
        load(wide(validation="held_out", batch_size=19), tmp_path)
    data = load(wide(validation="held_out", batch_size=18), tmp_path)
    assert [len(part[0]) for part in (data.train, data.validation, data.all_train, data.test)] == [18, 2, 20, 20]
    assert isinstance(data.train[0], np.memmap)


def test_missing_images_are_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match="run `dvc repro preprocess`"):
        load(wide(), tmp_path)


def test_a_loss_that_is_not_finite_ends_the_training():
    from mnist_mlp.training import trainer

    variant = wide(optimizer="sgd", learning_rate=1000.0, activation="exponential", epochs=3)
    with pytest.raises(UserError, match="no longer finite"):
        trainer.train(variant, made(variant))


@pytest.mark.parametrize(("optimizer", "first"), [("sgd", ["batch_norm", "flatten"]), ("adam", [])])
def test_an_interrupted_training_goes_on_and_ends_with_the_same_bytes(optimizer, first, tmp_path, monkeypatch):
    from mnist_mlp.training import trainer

    variant = wide(layers=[*first, {"dropout": 0.2}, {"dense": 16}], seeds=(0, 1), epochs=6, optimizer=optimizer)
    train, test = sparse(100, 0), sparse(30, 1)
    data, seen = Data(train, test, train, test), []
    saving.write(variant, trainer.train(variant, data), tmp_path / "whole/candidate/candidate")
    monkeypatch.setattr(trainer, "CHECKPOINT", 0)

    def stop(seed, epoch, row):
        if epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(variant, data, stop, tmp_path / "checkpoints")
    torn = tmp_path / "checkpoints/seed-1.npz"
    torn.write_bytes(torn.read_bytes()[:-100])  # as a full disk or a power cut may leave it
    resumed = trainer.train(variant, data, lambda *state: seen.append(state[:2]), tmp_path / "checkpoints")
    assert min(epoch for seed, epoch in seen if seed == 0) == 4
    assert min(epoch for seed, epoch in seen if seed == 1) == 1
    saving.write(variant, resumed, tmp_path / "resumed/candidate/candidate")
    assert digest(tmp_path / "resumed/candidate/candidate") == digest(tmp_path / "whole/candidate/candidate")
