"""The layers made for speed: dropout's statistics, and batch normalization against Keras's own."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def layers():
    from mnist_mlp.training.compiled import layers

    return layers


def masks(layers, rate: float, seed: int, steps: int, shape: tuple[int, int] = (64, 500)) -> np.ndarray:
    """Return what dropout makes of ones, [steps, *shape], as training draws it."""
    from mnist_mlp.training.backend import tf

    layer = layers.FastDropout(rate, seed)
    layer.build((None, shape[1]))
    draw = tf.function(lambda: layer(tf.ones(shape), training=True), jit_compile=True, autograph=False)
    return np.stack([draw().numpy() for _ in range(steps)])


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.75])
def test_dropout_keeps_its_rate_and_the_expected_value(layers, rate):
    kept = masks(layers, rate, seed=1, steps=20)
    assert set(np.unique(kept)) == {0.0, np.float32(1 / (1 - rate))}
    share, n = (kept > 0).mean(), kept.size
    assert abs(share - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / n)
    for axis in (0, 1, 2):  # no step, image or unit is favoured
        axes = tuple(a for a in range(3) if a != axis)
        shares, m = (kept > 0).mean(axis=axes), n / kept.shape[axis]
        z = (shares - (1 - rate)) / np.sqrt(rate * (1 - rate) / m)
        assert np.abs(z).max() < 5
        assert 0.8 < z.std() < 1.2


def test_dropout_is_independent_across_units_images_steps_and_replicates(layers):
    one, other = (masks(layers, 0.5, seed, steps=20) > 0 for seed in (1, 2))

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        return abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) * np.sqrt(a.size)

    assert correlation(one, other) < 4
    for lag in (1, 2, 7):
        assert correlation(one[lag:], one[:-lag]) < 4
        assert correlation(one[:, lag:], one[:, :-lag]) < 4
        assert correlation(one[:, :, lag:], one[:, :, :-lag]) < 4
    pairs = (one[:, :, :-1] * 2 + one[:, :, 1:]).ravel()
    assert abs(np.bincount(pairs, minlength=4) / pairs.size - 0.25).max() < 0.003


def test_dropout_passes_everything_when_not_training(layers):
    layer = layers.FastDropout(0.5, 0)
    images = np.ones((4, 8), np.float32)
    assert np.array_equal(layer(images, training=False).numpy(), images)


@pytest.mark.parametrize("shape", [(37, 12), (37, 28, 28)])
def test_batch_norm_is_keras_own_and_rows_that_fill_a_batch_up_count_in_nothing(layers, shape):
    from mnist_mlp.training.backend import keras

    real = np.array([1] * 30 + [0] * 7, np.float32)
    rows = np.random.default_rng(0).normal(2, 3, shape).astype(np.float32)
    fast, plain = layers.FastBatchNorm(), keras.layers.BatchNormalization()
    for layer in (fast, plain):
        layer.build(shape)
        layer.gamma.assign(np.linspace(0.5, 2, shape[-1]))
        layer.beta.assign(np.linspace(-1, 1, shape[-1]))
    np.testing.assert_allclose(fast(rows, real, training=True)[:30], plain(rows[:30], training=True), atol=2e-5)
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(getattr(fast, name), getattr(plain, name), rtol=1e-5)
    np.testing.assert_allclose(fast(rows, real, training=False), plain(rows, training=False), atol=1e-5)
