"""Compute penalties on the input, which no weight changes, without the training that reports them."""

import numpy as np

from mnist_mlp.config import Variant
from mnist_mlp.training.backend import keras, tf
from mnist_mlp.training.compiled.compiling import compiled
from mnist_mlp.training.compiled.epoch import image_tensors, loop, order_tensor, pixels_for
from mnist_mlp.training.compiled.networks import FastFactory
from mnist_mlp.training.networks import input_penalties, layers_of
from mnist_mlp.training.splits import Splits


def last_epoch(variant: Variant, splits: Splits, seeds: list[int]) -> list[float]:
    """Return the penalty of each seed's last epoch, to the last bit as a training reports it.

    variant: one with penalties on its input (networks.input_penalties). The program is the part of the compiled epoch
    that sums them: in float32 the order of the batches, and XLA's order within a batch, show in the sixth decimal."""
    pixels, images = pixels_for(variant, splits), splits.train[0]
    rows = image_tensors(images, pixels)[0]
    x = inputs = keras.Input(rows.shape[1:])
    real = keras.Input(())
    factory, layers = FastFactory(variant, seeds[0], splits.classes, real), layers_of(variant)
    flattened = len(layers) - len(variant.layers)  # 1 if the image is flattened first
    for layer in layers[: flattened + len(input_penalties(variant))]:
        x = factory.apply(layer, x)
    ahead = keras.Model([inputs, real], x)

    def epoch(rows, order):
        def step(numbers, real, state, sums):
            batch = [tf.gather(rows, *numbers), real]
            penalties = ahead.stateless_call([], [], batch, return_losses=True)[2]
            return state, sums + tf.reduce_sum(real) * tf.concat([tf.zeros(2), [tf.add_n(penalties)]], 0)

        return loop([order], variant.batch_size, step, (), tf.zeros(3))[1] / order.shape[0]

    run = compiled(epoch)
    return [float(np.asarray(run(rows, order_tensor(seed, variant.epochs, len(images))))[2]) for seed in seeds]
