"""Settle what the user's environment would change in this process and in those that it starts."""

import io
import os
import sys
import warnings
from pathlib import Path
from typing import Literal, TextIO

from mnist_mlp import paths
from mnist_mlp.pipeline import git

LOOPBACK = "localhost,127.0.0.1,::1"
ROOT = "DVC_ROOT"  # the variable that names the checkout, also in a copy of it
VERIFY = "MNIST_MLP_VERIFY"  # the variable by which `mnist-mlp verify` says that its copy lies elsewhere
FORGOTTEN = ("NPY_", "OPENBLAS_CORETYPE")  # by which NumPy would compute otherwise: variables that begin so


def settle() -> None:
    """Open closed standard streams, forget git's callers and DVC's, compute as NumPy does by itself, let no library's
    warning end a process, ask this machine's own servers without a proxy, and print every line in any encoding.

    To be called before NumPy is imported. A sign that the terminal's encoding lacks is printed as `?`."""
    _open_closed_streams()
    git.forget_callers()
    _forget_other_root()
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


def _open_closed_streams() -> None:
    """Connect each standard stream that is closed, as `>&-` leaves it, with the null device.

    Otherwise the next file to be opened gets the stream's number, and what a library prints is written into it."""
    sys.stdin = sys.stdin or _null("r")  # in the order of their numbers: the lowest free one is taken
    sys.stdout = sys.stdout or _null("w")
    sys.stderr = sys.stderr or _null("w")


def _null(mode: Literal["r", "w"]) -> TextIO:
    """Return the null device, opened as children inherit it."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    os.set_inheritable(descriptor, True)
    return open(descriptor, mode, encoding="utf-8")


def _forget_other_root() -> None:
    """Forget the checkout of another project, whose DVC runs a command that runs ours: DVC keeps a root that is set.

    The MLflow store and .cache/replicates would be that project's. Ours is this folder, or has it in .dvc/tmp."""
    root, here = Path(os.environ.get(ROOT) or "."), Path.cwd()
    ours = (root.resolve(), (root / paths.DVC_TMP).resolve())
    if here != ours[0] and ours[1] not in here.parents and VERIFY not in os.environ:
        del os.environ[ROOT]
