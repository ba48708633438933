"""TensorFlow and Keras, imported in silence, with the settings of all training.

The import starts no thread of TensorFlow's: a process may be forked after it.
"""

import contextlib
import os
from collections.abc import Iterator

from mnist_mlp.training import environment


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Drop the standard error: TensorFlow's C++ greets there before any setting reaches it."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


environment.configure()
with silence():
    import keras  # noqa: F401
    import tensorflow as tf  # noqa: F401
