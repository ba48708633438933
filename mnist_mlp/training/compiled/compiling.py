"""Functions compiled by XLA whose results don't depend on the number of cores."""

from collections.abc import Callable
from typing import Any

from mnist_mlp.training.backend import tf

SPLIT = 2  # threads that a matrix product is split over: two replicates share two cores, and one alone has both


def compiled(function: Callable) -> Any:
    """Return a function of (nested) tensors, compiled for each set of their shapes.

    XLA splits a matrix product over all of TensorFlow's threads, and another number adds in another order. Of all that
    TensorFlow runs, only what a dataset calls can be held to fewer: so the call is a dataset's only element."""
    inner = tf.function(function, jit_compile=True, autograph=False)

    @tf.function(autograph=False)
    def call(*arguments):
        structure = inner.get_concrete_function(*arguments).structured_outputs

        @tf.autograph.experimental.do_not_convert
        def element(*tensors):
            return tuple(tf.nest.flatten(inner(*tf.nest.pack_sequence_as(arguments, tensors))))

        dataset = tf.data.Dataset.from_tensors(tuple(tf.nest.flatten(arguments))).map(element)
        spec = dataset.element_spec
        variant = tf.raw_ops.MaxIntraOpParallelismDataset(
            input_dataset=tf.data.experimental.to_variant(dataset),
            max_intra_op_parallelism=SPLIT,
            output_types=[part.dtype for part in spec],
            output_shapes=[part.shape for part in spec],
        )
        found = tf.data.experimental.from_variant(variant, spec).get_single_element()
        return tf.nest.pack_sequence_as(structure, found)

    return call
