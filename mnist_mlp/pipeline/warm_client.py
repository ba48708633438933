"""Run stages in forks of a warm process, which has imported TensorFlow, MLflow and all else that takes seconds.

The first training that a `dvc` runs starts the warm process (warm_server.py), which ends with this `dvc`, its owner; so
does `evaluate`, for the stages after it, if all trainings came from the cache.
With MNIST_MLP_OWNER=$$ it ends with the shell instead, and every `dvc` of that has it. The stage's own process then
is a client: it hands over its arguments, folder, environment and standard streams, passes signals on, and exits as its
fork does. If any of it can't work, the stage runs by itself, to the same bytes.

Only the standard library is imported here, since every stage waits for it.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
from typing import Any, Literal

OWNER = "MNIST_MLP_OWNER"  # the variable with the number of the process that the warm process ends with
SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish"}
MESSAGE = 100  # bytes of an answer, at most
Missing = Literal["go without", "start", "start for others"]  # what a stage does without a warm process


def run_forked(module: str, missing: Missing) -> None:
    """Run a stage in a fork of the warm process, and exit as the fork does. Return if the stage must run by itself.

    module: the stage's; missing: what to do if there is no warm process. Raises UserError if it is killed, or if OWNER
    is no number.
    """
    if not hasattr(os, "pidfd_open"):  # Linux has it
        return
    try:
        connection = _connect(missing)
        socket.send_fds(connection, [_request(module)], [0, 1, 2])
        if connection.recv(MESSAGE) != b"started":
            return
    except OSError:
        return
    _pass_signals_on(connection)
    try:
        _wait(connection)
        code = int(connection.recv(MESSAGE))
    except (OSError, ValueError):
        from mnist_mlp.errors import UserError

        raise UserError(f"{module}: the warm process that ran it was killed; run the same command again") from None
    if code < 0:
        with contextlib.suppress(OSError):  # SIGKILL's can't be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _connect(missing: Missing) -> socket.socket:
    """Return a connection to the owner's warm process, by an abstract socket. Raise OSError if there is none."""
    owner = _find_owner()
    address = "\0mnist-mlp {} {} {} {}".format(os.getuid(), *owner, os.readlink("/proc/self/ns/pid"))
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(address)
    except ConnectionRefusedError:
        if missing == "go without":
            raise
        with contextlib.suppress(OSError):  # another stage starts it at this moment
            _start_server(address, owner)
        if missing == "start for others":
            raise
        connection.connect(address)
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    if struct.unpack("3i", peer)[1] != os.getuid():
        raise PermissionError("another user's socket")
    return connection


def _find_owner() -> tuple[int, int]:
    """Return the number and the start time of the process that OWNER names, or else of the `dvc` that runs this one.

    Raises OSError if there is none, UserError if OWNER is no number."""
    named = os.environ.get(OWNER)
    if not named:
        return _find_dvc()
    if not named.isdecimal():
        from mnist_mlp.errors import UserError

        raise UserError(f"{OWNER}: found {named!r}; allowed: the number of a process, as $$ is the shell's; unset it")
    return int(named), int(_stat(int(named))[1][19])


def _find_dvc() -> tuple[int, int]:
    """Return the number and the start time of the nearest ancestor that is no shell. Raise OSError if there is none."""
    pid = os.getppid()
    while True:
        name, fields = _stat(pid)
        if name not in SHELLS:
            return pid, int(fields[19])
        pid = int(fields[1])


def _stat(pid: int) -> tuple[str, list[str]]:
    """Return a process's name, and what /proc tells of it from its state on. Raise OSError if there is none."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        name, _, rest = file.read().partition("(")[2].rpartition(") ")
    return name, rest.split()


def _wait(connection: socket.socket) -> None:
    """Wait for the stage's end. Exit if `dvc` ends first: the warm process, if it is a shell's, outlives that."""
    dvc = os.pidfd_open(_find_dvc()[0])
    if connection.fileno() not in select.select([connection.fileno(), dvc], [], [])[0]:
        sys.exit(1)


def _start_server(address: str, owner: tuple[int, int]) -> None:
    """Start the warm process on a socket that listens already: clients connect at once, and wait for the imports."""
    import subprocess

    script, pidfd = os.path.join(os.path.dirname(__file__), "warm_server.py"), os.pidfd_open(owner[0])
    try:
        if _find_owner() != owner:  # the descriptor may be another process's of that number
            raise ProcessLookupError
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(address)
            listener.listen()
            subprocess.Popen(
                [sys.executable, "-P", script, str(listener.fileno()), str(pidfd)],
                pass_fds=(listener.fileno(), pidfd), process_group=0,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
    finally:
        os.close(pidfd)


def _request(module: str) -> bytes:
    os.umask(umask := os.umask(0))
    request = {
        "module": module, "arguments": sys.argv[1:], "folder": os.getcwd(), "umask": umask,
        "environment": dict(os.environ), "python": [sys.executable, sys.prefix],
    }  # fmt: skip
    return json.dumps(request).encode()


def _pass_signals_on(connection: socket.socket) -> None:
    """Send the numbers of the signals that this process gets. Ctrl-Z stops the fork and this process."""

    def send(number: int, *_: Any) -> None:
        with contextlib.suppress(OSError):  # the warm process was killed
            connection.send(bytes([number]))

    def stop(*_: Any) -> None:
        send(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        send(signal.SIGCONT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop if number == signal.SIGTSTP else send)
