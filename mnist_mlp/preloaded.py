"""What stages import that is slow to import, and nothing of it used: a process may be forked after it.

TensorFlow starts its threads, which a fork would be without, at its first operation.
"""

import gc

from mnist_mlp import store

gc.disable()  # a quarter of the time
store.configure()
from mnist_mlp.training.backend import silence  # noqa: E402

with silence():
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401
    import mlflow.store.db.utils
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    import pandas  # noqa: F401
gc.enable()
