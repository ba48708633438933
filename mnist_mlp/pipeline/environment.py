"""Settle what the user's environment would change in this process and in those that it starts."""

import io
import os
import sys
import warnings

from mnist_mlp.pipeline import git

LOOPBACK = "localhost,127.0.0.1,::1"
FORGOTTEN = ("NPY_", "OPENBLAS_CORETYPE")  # by which NumPy would compute otherwise: variables that begin so


def settle() -> None:
    """Forget git's callers, compute as NumPy does by itself, let no library's warning end a process, ask this machine's
    own servers without a proxy, and print every line in any encoding.

    To be called before NumPy is imported. A sign that the terminal's encoding lacks is printed as `?`."""
    git.forget_callers()
    for name in [name for name in os.environ if name.startswith(FORGOTTEN)]:
        del os.environ[name]
    if os.environ.pop("PYTHONWARNINGS", None):
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if direct != "*" and not direct.endswith(LOOPBACK):
        os.environ["no_proxy"] = ",".join(filter(None, (direct, LOOPBACK)))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "replace":  # a fork's has it from its warm process
            stream.reconfigure(errors="replace")
