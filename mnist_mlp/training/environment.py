"""The variables that TensorFlow and Keras read when they are imported. Standard library alone."""

import os

COMPILED = "--tf_xla_persistent_cache_directory="  # of TF_XLA_FLAGS: where compiled programs are kept, if anywhere
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = max(2, CORES)  # of TensorFlow; with one, the replicates would wait for each other
# What begins with one of these would change what is computed, or how: TF_DETERMINISTIC_OPS, KERAS_MAX_EPOCHS.
FORGOTTEN = ("DNNL_", "KERAS_", "ONEDNN_", "TF_", "TF2_", "XLA_")
SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": os.devnull,  # no folder: Keras reads no keras.json of the user's, and writes none
    "TF_NUM_INTRAOP_THREADS": str(THREADS),
    # XLA would split operations other than matrix products by the number of cores that it sees when it compiles.
    "XLA_FLAGS": "--xla_disable_hlo_passes=cpu-parallel-task-assigner "
    "--xla_cpu_parallel_codegen_split_count=1 "  # a program in one piece compiles in less time, all told
    "--xla_cpu_prefer_vector_width=512 "  # an epoch of none/relu takes an eighth less on a CPU with AVX-512
    "--xla_cpu_copy_insertion_use_region_analysis=true",  # fewer copies of what the loop carries: 5 % less
}


def configure() -> None:
    """Set the variables, and forget the user's others of their kinds."""
    kept = [word for word in os.environ.get("TF_XLA_FLAGS", "").split() if word.startswith(COMPILED)]
    for name in [name for name in os.environ if name.startswith(FORGOTTEN)]:
        del os.environ[name]
    os.environ |= SETTINGS | {"TF_XLA_FLAGS": " ".join(kept)}
