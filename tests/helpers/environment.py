"""Environment variables of the processes that tests start."""

from pathlib import Path

# A process with this setting compiles all that it trains, instead of taking what an earlier process compiled.
COMPILING = {"TF_XLA_FLAGS": ""}

# A user's settings, by file below the home folder. Keras's alone once changed what a training was worth.
FILES = {
    ".keras/keras.json": '{"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"}',
    ".config/matplotlib/matplotlibrc": "font.size: 30\nsavefig.dpi: 20\nbackend: TkAgg\n",
    ".gitconfig": "[core]\n\thooksPath = /nowhere\n\tautocrlf = true\n[commit]\n\tgpgsign = true\n"
    "[status]\n\tshowUntrackedFiles = no\n",
    ".config/dask/distributed.yaml": "distributed:\n  scheduler:\n    allowed-failures: 0\n",
}
DEAD = "http://127.0.0.1:9"  # where nothing answers
VARIABLES = {
    # TensorFlow, XLA, oneDNN, Keras
    "TF_DETERMINISTIC_OPS": "1", "TF_ENABLE_ONEDNN_OPTS": "0", "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "TF_NUM_INTRAOP_THREADS": "1", "TF2_BEHAVIOR": "0", "TF_USE_LEGACY_KERAS": "1", "ONEDNN_VERBOSE": "1",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true", "KERAS_BACKEND": "jax", "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1", "CUDA_VISIBLE_DEVICES": "0",
    # NumPy and its BLAS
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3", "OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    # Python
    "PYTHONHASHSEED": "7", "PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error", "PYTHONUTF8": "0",
    "PYTHONIOENCODING": "ascii", "PYTHONINTMAXSTRDIGITS": "640",
    # the terminal, the clock and the network
    "TZ": "Asia/Tokyo", "LC_ALL": "C", "TERM": "dumb", "COLUMNS": "3", "LINES": "1", "http_proxy": DEAD,
    "https_proxy": DEAD,
    # Matplotlib, MLflow, Dask
    "MPLBACKEND": "TkAgg", "MLFLOW_RUN_ID": "0" * 32, "MLFLOW_EXPERIMENT_NAME": "other", "MLFLOW_EXPERIMENT_ID": "99",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "true", "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0", "DVC_ROOT": "/nowhere",
}  # fmt: skip


def make_hostile(home: Path) -> dict[str, str]:
    """Fill a home folder with FILES. Return the variables of the most hostile environment that was thought of."""
    for name, content in FILES.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    return VARIABLES | {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
