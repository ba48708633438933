"""The compiled epoch against Keras's own `model.fit`, and against itself with no pixel left out."""

import numpy as np
import pytest

from mnist_mlp.config import Variant
from mnist_mlp.config.choices import OPTIMIZERS
from mnist_mlp.training.splits import Splits
from tests.helpers.images import MNIST, make_splits, other_splits, sparse_splits
from tests.helpers.variants import make_variant

pytestmark = pytest.mark.usefixtures("quick_to_compile")


def check_against_fit(variant: Variant, splits: Splits) -> None:
    """Train by both engines, and compare the replicates to float32 rounding."""
    from mnist_mlp.training import trainer
    from tests.helpers.keras_engine import KerasEngine

    compiled, fitted = trainer.train(variant, splits), trainer.train(variant, splits, engine=KerasEngine)
    for ours, keras in zip(compiled, fitted, strict=True):
        np.testing.assert_allclose(ours.curve, keras.curve, rtol=2e-4)
        assert ours.metrics == pytest.approx(keras.metrics, rel=2e-4, abs=2e-6)
        np.testing.assert_allclose(ours.probabilities, keras.probabilities, atol=5e-5)
        weights = (np.concatenate([w.ravel() for w in each.model.get_weights()]) for each in (ours, keras))
        apart = np.abs(np.subtract(*weights))
        assert np.quantile(apart, 0.999) < 1e-4
        assert apart.max() < 2e-3  # Adam divides by a gradient's size, and so turns rounding around zero into a step


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    "layers",
    [
        ["batch_norm", "flatten", {"dense": 16}],
        ["batch_norm", {"dense": 16}],
        ["batch_norm", "batch_norm", {"dense": 16}],
        [{"dense": 192}, {"dense": 16}, "batch_norm", {"dense": 8}],
        [{"activity_l2": 0.01}, {"dense": {"units": 16, "l1": 1e-4, "l2": 1e-3}}],
        ["layer_norm", {"dense": {"units": 16, "activation": "tanh"}}, {"activation": "softsign"}, "layer_norm"],
    ],
    ids=["on-images", "on-pixels", "twice", "on-units-after-a-wide-layer", "penalties", "layer-norm-and-activations"],
)
def test_the_compiled_epoch_is_model_fit(optimizer, layers):
    """The same order, weights and seed, no dropout, batch normalization or penalties, a last batch of 4."""
    variant = make_variant(layers=layers, optimizer=optimizer, seeds=[7], train_metrics="finished_model")
    check_against_fit(variant, make_splits(variant))


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [[], ["batch_norm", "flatten"]], ids=["images", "normalized"])
@pytest.mark.parametrize(("optimizer", "at_a_time"), [("adam", 200), ("sgd", 8)], ids=["at-once", "in-parts"])
def test_pixels_lit_in_few_images_are_taken_one_by_one(optimizer, at_a_time, ahead, monkeypatch):
    """At once are taken all that are lit in a batch; in parts, fewer. Behind a batch normalization of the images,
    pixels that are dark in all images count as well."""
    from mnist_mlp.training.compiled import batches
    from mnist_mlp.training.compiled.epoch import pixels_for

    monkeypatch.setattr(batches, "LIT", at_a_time)
    variant = make_variant(optimizer=optimizer, seeds=[7], layers=[*ahead, {"dense": 16}])
    splits = sparse_splits()
    (train, _), (test, _) = splits.train, splits.test
    pixels = pixels_for(variant, splits)
    lit_anywhere = np.concatenate([train, test]).any(axis=0).sum()
    assert pixels.common == 384 and len(pixels.order) == (784 if ahead else lit_anywhere)
    lit = np.sort(pixels.packed(train)[1])
    assert lit[-32:].sum() < 200 and lit.mean() * 32 > 8  # of any batch
    check_against_fit(variant, splits)


@pytest.mark.slow
@pytest.mark.parametrize("image", [(32, 20), (1, 640)], ids=["high", "row"])
@pytest.mark.parametrize("ahead", [[], ["batch_norm", "flatten"]], ids=["images", "normalized"])
def test_images_of_another_size_and_three_classes_are_trained_on(ahead, image):
    """They are as sparse as MNIST's: pixels are left out, taken one by one, or in the order of how many light them."""
    variant = make_variant(optimizer="adam", seeds=[7], layers=[*ahead, {"dense": 16}], train_metrics="finished_model")
    splits = other_splits(image)
    assert (splits.image, splits.classes) == (image, 3)
    check_against_fit(variant, splits)


def test_a_last_batch_that_is_smaller_needs_no_program_of_its_own(monkeypatch):
    from mnist_mlp.training.compiled import epoch

    traced, step = [], epoch.CompiledEngine._step
    monkeypatch.setattr(epoch.CompiledEngine, "_step", lambda self, *parts: traced.append(parts) or step(self, *parts))
    variant = make_variant(seeds=[0], layers=[{"dense": 4}], batch_size=32)
    epoch.CompiledEngine(variant, make_splits(variant, n=100))
    assert len(traced) == 1


@pytest.mark.slow
def test_predictions_of_any_number_of_images_are_traced_once(monkeypatch):
    """TensorFlow warns of functions that are traced for one shape after another."""
    from mnist_mlp.training.compiled import epoch

    monkeypatch.setattr(epoch, "CHUNK", 40)
    variant = make_variant(seeds=[0], layers=[{"dense": 4}])
    engine = epoch.CompiledEngine(variant, make_splits(variant, n=100, n_test=30))
    replicate = engine.replicate(0)
    assert [len(replicate.predict(split)) for split in ("all_train", "test")] == [100, 30]
    assert engine.predict.experimental_get_tracing_count() == 1
    whole = replicate.model()(engine.splits.all_train[0], training=False).numpy()
    np.testing.assert_allclose(replicate.predict("all_train"), whole, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "l2"])
def test_pixels_dark_in_every_image_are_left_out_of_the_first_product_if_nothing_moves_their_weights(
    optimizer, monkeypatch
):
    """The same training to rounding with them and without, and their weights as they began. Some optimizers and a
    penalty move them: then none is left out.

    One pixel is lit in a test image alone: it counts there, with the weights it began with."""
    from mnist_mlp.training import networks, trainer
    from mnist_mlp.training.compiled import optimizer as optimizers
    from mnist_mlp.training.compiled.epoch import pixels_for

    first = {"dense": {"units": 16, "l2": 0.01} if optimizer == "l2" else 16}
    variant = make_variant(
        optimizer="sgd" if optimizer == "l2" else optimizer, layers=[first], seeds=[0], batch_size=25
    )
    splits = make_splits(variant)
    splits.test[0][0, 14, 0] = 1.0
    (replicate,) = trainer.train(variant, splits)
    left_out = optimizer in optimizers.ELEMENTWISE
    pixels = pixels_for(variant, splits)
    assert (pixels is not None) == left_out
    start = networks.build(variant, 0, *MNIST).get_weights()[0].reshape(28, 28, 16)
    assert (replicate.model.get_weights()[0].reshape(28, 28, 16) != start)[:, 1:27].any(axis=(0, 2)).all()
    if left_out:
        assert sorted(pixels.order) == [i for i in range(784) if i % 28 not in (0, 27) or i == 14 * 28]
        monkeypatch.setattr(optimizers, "ELEMENTWISE", ())
        (whole,) = trainer.train(variant, splits)
        np.testing.assert_allclose(replicate.curve, whole.curve, rtol=1e-4)
        np.testing.assert_allclose(replicate.probabilities, whole.probabilities, atol=1e-4)
        kernels = [one.model.get_weights()[0].reshape(28, 28, 16) for one in (replicate, whole)]
        np.testing.assert_allclose(*kernels, atol=1e-3)
        for kernel in kernels:
            np.testing.assert_array_equal(kernel[:, [0, 27]], start[:, [0, 27]])
