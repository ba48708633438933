"""The Dask cluster that runs the pipeline: processes of this machine, or one that runs already."""

import contextlib
import logging
import os
import platform
import signal
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, cast

from mnist_mlp.errors import UserError

if TYPE_CHECKING:
    from distributed import Client

SAME = ("tensorflow", "keras", "numpy", "dvc", "mlflow", "dask", "distributed")  # versions on workers and here


@contextlib.contextmanager
def local(jobs: int) -> "Iterator[Client]":
    """Start worker processes on this machine, end them with the block; nobody else can connect to them."""
    from distributed import Client, LocalCluster

    cores = max(1, len(os.sched_getaffinity(0)) // jobs) if hasattr(os, "sched_getaffinity") else 1
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    resource_tracker.ensure_running()  # it would unblock what the next line blocks
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # for workers, which inherit it: Ctrl-C is the caller's
    with LocalCluster(
        n_workers=jobs, threads_per_worker=1, resources={"cores": cores}, memory_limit=0, security=True,
        dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
    ) as cluster, Client(cluster) as client:  # fmt: skip
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        yield client


@contextlib.contextmanager
def connected(address: str) -> "Iterator[Client]":
    """Connect to a running scheduler. Raises UserError if none answers."""
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions: `check` says more
        try:
            client = Client(address)
        except Exception as error:  # of many kinds, for addresses of no known form too
            words = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"SCHEDULER={address}: no Dask scheduler answers there ({words}); start one with `dask scheduler`, or "
                "give another address, such as tcp://host:8786"
            ) from None
    with client:
        yield client


def check(client: "Client") -> None:
    """Raise UserError if there are no workers, or if one has other versions than are here."""
    versions: dict[str, Any] = cast(dict[str, Any], client.get_versions(packages=list(SAME)))["workers"]
    if not versions:
        raise UserError(f"{client.scheduler.address}: the scheduler has no workers; start some with `dask worker`")
    ours = {package: version(package) for package in SAME}
    ours["Python"] = platform.python_version().rpartition(".")[0]  # its byte code travels
    for address, found in versions.items():
        theirs = found["packages"] | {"Python": ".".join(found["host"]["python"].split(".")[:2])}
        for name, number in ours.items():
            if theirs.get(name) != number:
                raise UserError(
                    f"worker {address}: found {name} {theirs.get(name)}; allowed: {number}, as here; install "
                    "requirements.txt there (`make setup`) and start the worker from that environment"
                )
