"""The variables that TensorFlow and Keras read when they are imported. Standard library alone."""

import os

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
    "--xla_cpu_prefer_vector_width=512 "  # an epoch of none/relu takes an eighth less on a CPU with AVX-512
    "--xla_cpu_copy_insertion_use_region_analysis=true",  # fewer copies of what the loop carries: 5 % less
}


def configure() -> None:
    """Set the variables."""
    os.environ |= SETTINGS
