"""The networks: their parameter counts, their seeds, and the layers made for speed."""

import numpy as np
import pytest

from mnist_mlp import config

PARAMS = config.load()
COUNTS = {  # by hand: a dense layer has (in + 1) x out, batch norm 4 a feature
    ("architectures", ("model1", "model2", "model3")): 785 * 512 + 513 * 128 + 129 * 64 + 65 * 10,
    ("architectures", ("model4", "model5", "model6", "model7")): 785 * 512 + 513 * 128 + 4 * 128 + 129 * 64 + 65 * 10,
    ("architectures", ("model8", "model9")): 785 * 512 + 513 * 128 + 129 * 10,
    ("techniques", ("none", "dropout", "l1", "l2")): 785 * 128 + 129 * 128 + 129 * 10,
    ("techniques", ("batchnorm", "batchnorm-l1", "batchnorm-l2")): 4 * 28 + 785 * 128 + 129 * 128 + 129 * 10,
    ("techniques", ("dropout-batchnorm",)): 4 * 784 + 785 * 128 + 129 * 128 + 129 * 10,
    ("penalties", ("l1-1e-5", "l1-1e-4", "l2-1e-4", "l2-1e-3")): 785 * 128 + 129 * 128 + 129 * 10,
    ("candidate", ("candidate",)): 785 * 512 + 513 * 128 + 129 * 10,
}


def expected_count(variant: config.Variant) -> int:
    kind = variant.name.removesuffix(f"-{variant.activation}")
    return next(count for (study, names), count in COUNTS.items() if study == variant.study and kind in names)


@pytest.fixture(scope="module")
def networks():
    from mnist_mlp.training import networks

    return networks


@pytest.mark.parametrize("variant", PARAMS.variants, ids=lambda v: f"{v.study}-{v.name}")
def test_parameter_counts_are_pinned(variant, networks):
    assert networks.count_parameters(networks.build(variant, 0, fast=True)) == expected_count(variant)
    assert networks.count_parameters(networks.build(variant, 0)) == networks.build(variant, 0).count_params()


def test_weights_follow_from_the_seed_and_are_shared_by_layers_of_the_same_shape(networks):
    def first_kernel(name, seed):
        model = networks.build(PARAMS.variant("techniques", name), seed)
        return model.get_layer("dense_1").kernel.numpy()

    assert np.array_equal(first_kernel("none-relu", 3), first_kernel("dropout-batchnorm-tanh", 3))
    assert not np.array_equal(first_kernel("none-relu", 3), first_kernel("none-relu", 4))
    model = networks.build(PARAMS.variant("techniques", "none-relu"), 3)
    assert not np.array_equal(*(model.get_layer(f"dense_{i}").kernel.numpy()[:128] for i in (1, 2)))


def masks(networks, rate: float, seed: int, steps: int, shape=(64, 500)) -> np.ndarray:
    """[steps, *shape] of True where a unit was kept, drawn as training draws them."""
    from mnist_mlp.training.backend import tf

    layer = networks.FastDropout(rate, seed)
    layer.build((None, shape[1]))
    draw = tf.function(lambda: layer(tf.ones(shape), training=True), jit_compile=True, autograph=False)
    return np.stack([draw().numpy() for _ in range(steps)])


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.75])
def test_dropout_keeps_its_rate_and_the_expected_value(networks, rate):
    kept = masks(networks, rate, seed=1, steps=20)
    assert set(np.unique(kept)) == {0.0, np.float32(1 / (1 - rate))}
    share, n = (kept > 0).mean(), kept.size
    assert abs(share - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / n)
    for axis in (0, 1, 2):  # no step, image or unit is favoured
        axes = tuple(a for a in range(3) if a != axis)
        shares, m = (kept > 0).mean(axis=axes), n / kept.shape[axis]
        z = (shares - (1 - rate)) / np.sqrt(rate * (1 - rate) / m)
        assert np.abs(z).max() < 5
        assert 0.8 < z.std() < 1.2


def test_dropout_is_independent_across_units_images_steps_and_replicates(networks):
    one, other = (masks(networks, 0.5, seed, steps=20) > 0 for seed in (1, 2))

    def correlation(a, b):
        return abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) * np.sqrt(a.size)

    assert correlation(one, other) < 4
    for lag in (1, 2, 7):
        assert correlation(one[lag:], one[:-lag]) < 4
        assert correlation(one[:, lag:], one[:, :-lag]) < 4
        assert correlation(one[:, :, lag:], one[:, :, :-lag]) < 4
    pairs = (one[:, :, :-1] * 2 + one[:, :, 1:]).ravel()
    assert abs(np.bincount(pairs, minlength=4) / pairs.size - 0.25).max() < 0.003


def test_dropout_passes_everything_when_not_training(networks):
    layer = networks.FastDropout(0.5, 0)
    images = np.ones((4, 8), np.float32)
    assert np.array_equal(layer(images, training=False).numpy(), images)


@pytest.mark.parametrize("shape", [(37, 12), (37, 28, 28)])
def test_batch_norm_is_keras_own(networks, shape):
    from mnist_mlp.training.backend import keras

    rows = np.random.default_rng(0).normal(2, 3, shape).astype(np.float32)
    fast, plain = networks.FastBatchNorm(), keras.layers.BatchNormalization()
    for layer in (fast, plain):
        layer.build(shape)
        layer.gamma.assign(np.linspace(0.5, 2, shape[-1]))
        layer.beta.assign(np.linspace(-1, 1, shape[-1]))
    np.testing.assert_allclose(fast(rows, training=True), plain(rows, training=True), atol=2e-5)
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(getattr(fast, name), getattr(plain, name), rtol=1e-5)
    np.testing.assert_allclose(fast(rows, training=False), plain(rows, training=False), atol=1e-5)


def test_names_allowed_in_params_are_those_of_keras(networks):
    from keras.src.activations import ALL_OBJECTS_DICT

    from mnist_mlp.training.backend import keras

    assert set(config.ACTIVATIONS) == set(ALL_OBJECTS_DICT) - {"threshold"}  # which takes two arguments of its own
    for name in config.OPTIMIZERS:
        assert type(keras.optimizers.get(name)).__name__.lower() == name
    for name in config.INITIALIZERS:
        assert keras.initializers.get(name) is not None


def test_glu_halves_a_layer_made_twice_as_wide(networks):
    network = config.Network(layers=[{"dense": 6}], activation="glu", optimizer="adam")
    model = networks.build(network, 0)
    assert model.get_layer("dense_1").units == 12
    assert model.get_layer("probabilities").kernel.shape == (6, 10)


def test_kernel_penalties_are_added_to_the_loss(networks):
    layers = [{"dense": {"units": 5, "l1": 0.5, "l2": 0.25}}]
    network = config.Network(layers=layers, activation="relu", optimizer="adam")
    model = networks.build(network, 0)
    kernel = model.get_layer("dense_1").kernel.numpy().astype(float)
    assert float(sum(model.losses)) == pytest.approx(0.5 * np.abs(kernel).sum() + 0.25 * (kernel**2).sum(), rel=1e-5)
