"""What stages import that is slow to import, and nothing of it used: a process may be forked after it.

TensorFlow starts its threads, which a fork would be without, at its first operation.
"""

import os

from mnist_mlp import store
from stages import quick_keras

store.configure()
# As mnist_mlp.training has them; TensorFlow and Keras read these when they are imported.
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
said, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(null, 2)  # TensorFlow's C++ greets there
try:
    with quick_keras():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401

    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401
    import mlflow.store.db.utils
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    import pandas  # noqa: F401
finally:
    os.dup2(said, 2)
    os.close(said)
    os.close(null)
