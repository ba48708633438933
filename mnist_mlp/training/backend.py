"""TensorFlow and Keras, imported in silence and without what they needn't import, with the settings of all training.

Nothing here starts TensorFlow's threads: a process may be forked after it.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = max(2, CORES)  # of TensorFlow; with one, the replicates would wait for each other
SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "TF_NUM_INTRAOP_THREADS": str(THREADS),
    # XLA would split operations other than matrix products by the number of cores that it sees when it compiles.
    "XLA_FLAGS": "--xla_disable_hlo_passes=cpu-parallel-task-assigner "
    "--xla_cpu_parallel_codegen_split_count=1 "  # a program in one piece compiles in less time, all told
    "--xla_cpu_prefer_vector_width=512 "  # where a CPU has it, an epoch of none/relu takes an eighth less
    "--xla_cpu_copy_insertion_use_region_analysis=true",  # fewer copies of what the loop carries: 5 % less
}
HIDDEN = ("matplotlib", "sklearn")  # Keras imports these where they are, for uses not ours, in 2 of its 5 seconds


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """TensorFlow's C++ greets on the standard error before any setting reaches it."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


@contextlib.contextmanager
def _hidden() -> Iterator[None]:
    names = [name for name in HIDDEN if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


os.environ |= SETTINGS
with silence(), _hidden():
    import keras  # noqa: F401
    import tensorflow as tf  # noqa: F401
