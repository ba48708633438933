"""The warm process: imports what takes seconds, then forks for every stage that a client asks for.

warm_client.py starts this file as a script: `python -P warm_server.py LISTENER OWNER`, two descriptors: of a listening
socket and of the process that the warm process ends with. No code of the project is imported here: a fork must run the
code that lies in the stage's folder at that moment. Nothing here may start a thread, which a fork would be without.
"""

import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import select
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

LIBRARIES = (
    "keras",
    "tensorflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "pandas",
    "scipy.stats",
    "ruamel.yaml",
    "jinja2",
)
SETTINGS = ("mnist_mlp/training/environment.py", "mnist_mlp/tracking/environment.py")  # each has a `configure`
FILES = (*SETTINGS, *(f"mnist_mlp/pipeline/{name}.py" for name in ("stage", "warm_client", "warm_server")))
VOLATILE = ("DVC_", "OLDPWD", "PWD", "SHLVL")  # variables that begin so differ among one owner's stages, and `_`
REQUEST = 1 << 20  # bytes, at most
PATIENCE = 5.0  # seconds to wait for a client's request
GRACE = 10.0  # seconds between a fork's SIGTERM and its SIGKILL
IDLE = 120.0  # seconds without a fork after which this process ends, even if its owner doesn't


class Fork:
    """A stage that runs, and the connection to its client. deadline: the time of its SIGKILL, once it has to end."""

    def __init__(self, pid: int, connection: socket.socket):
        self.pid, self.pidfd, self.connection = pid, os.pidfd_open(pid), connection
        self.terminated, self.deadline = False, float("inf")

    def send(self, number: int) -> None:
        """Send the stage a signal."""
        self.terminated |= number == signal.SIGTERM
        signal.pidfd_send_signal(self.pidfd, number)

    def stop(self) -> None:
        """Terminate the stage, once, and have it killed if it doesn't end."""
        if self.deadline == float("inf"):
            self.deadline = time.monotonic() + GRACE
            if not self.terminated:
                self.send(signal.SIGTERM)
            self.send(signal.SIGCONT)


class Server:
    """The warm process. conditions: as `find_conditions` returned them before the imports."""

    def __init__(self, listener: socket.socket, owner: int, conditions: list[Any]):
        self.listener, self.conditions = listener, conditions
        self.alive, self.held = os.pipe()  # only this process holds `held`: `alive` ends with it
        self.forks: list[Fork] = []
        self.selector = selectors.DefaultSelector()
        self.watch(listener, self.accept)
        self.watch(owner, lambda: self.end(owner))

    def watch(self, file: Any, react: Callable[[], None]) -> None:
        """Call `react` whenever a file can be read."""
        self.selector.register(file, selectors.EVENT_READ, react)

    def forget(self, file: Any) -> None:
        """Watch a file no more, and close it."""
        self.selector.unregister(file)
        close(file)

    def serve(self) -> None:
        """Fork for one client after another until the owner and all forks have ended, or there is nothing to do."""
        while self.listener.fileno() >= 0 or self.forks:
            ending = any(fork.deadline < float("inf") for fork in self.forks)
            events = self.selector.select(1.0 if ending else None if self.forks else IDLE)
            if not events and not self.forks:
                return
            for key, _ in events:
                if self.selector.get_map().get(key.fd) is key:  # not forgotten because of an event before
                    key.data()
            for fork in self.forks:
                if fork.deadline < time.monotonic():
                    fork.send(signal.SIGKILL)

    def accept(self) -> None:
        """Fork for a client, or close the connection: its stage then runs by itself."""
        connection, _ = self.listener.accept()
        streams: list[int] = []
        try:
            connection.settimeout(PATIENCE)
            message, streams, *_ = socket.recv_fds(connection, REQUEST, 3)
            connection.settimeout(None)
            self.fork(connection, json.loads(message), streams)
        except (OSError, ValueError):
            connection.close()
        finally:
            for stream in streams:
                os.close(stream)

    def fork(self, connection: socket.socket, request: dict[str, Any], streams: list[int]) -> None:
        """Fork for a request. Raise OSError if it isn't this user's, or was made under other conditions."""
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        conditions = find_conditions(request["environment"], request["python"], request["folder"])
        if struct.unpack("3i", peer)[1] != os.getuid() or conditions != self.conditions:
            raise PermissionError("another user, or other conditions")
        if pid := os.fork():
            fork = Fork(pid, connection)
            self.forks.append(fork)
            self.watch(fork.pidfd, lambda: self.report(fork))
            self.watch(connection, lambda: self.pass_on(fork))
            with contextlib.suppress(OSError):  # a client that is gone is noticed by its connection's end
                connection.send(b"started")
            return
        status = 1
        try:
            files = [key.fileobj for key in self.selector.get_map().values()]
            self.selector.close()  # first: what is unregistered here, the parent's selector, which is the same, forgets
            for file in [*files, connection, self.held]:
                close(file)
            status = run_stage(request, streams, self.alive)
        finally:
            os._exit(status)

    def pass_on(self, fork: Fork) -> None:
        """Pass signals on from a client to its fork. Stop the fork if the client is gone."""
        try:
            numbers = fork.connection.recv(REQUEST)
        except OSError:
            numbers = b""
        if not numbers:
            self.forget(fork.connection)
        if fork in self.forks:
            for number in numbers:
                fork.send(number)
            if not numbers:
                fork.stop()

    def report(self, fork: Fork) -> None:
        """Tell a client how its fork ended. The client closes the connection."""
        code = os.waitstatus_to_exitcode(os.waitpid(fork.pid, 0)[1])
        self.forks.remove(fork)
        self.forget(fork.pidfd)
        with contextlib.suppress(OSError):
            fork.connection.send(str(code).encode())

    def end(self, owner: int) -> None:
        """Take no more stages and stop those that run: the owner is gone."""
        self.forget(owner)
        self.forget(self.listener)
        for fork in self.forks:
            fork.stop()


def close(file: Any) -> None:
    """Close a descriptor or a socket."""
    os.close(file) if isinstance(file, int) else file.close()


def find_conditions(environment: dict[str, str], python: list[str], folder: str) -> list[Any]:
    """Return what a stage must have in common with the warm process. Raise OSError if a file can't be read."""
    contents = []
    for name in FILES:
        with open(os.path.join(folder, name), "rb") as file:
            contents.append(file.read())
    variables = {name: value for name, value in environment.items() if name != "_" and not name.startswith(VOLATILE)}
    return [variables, python, contents]


def run_stage(request: dict[str, Any], streams: list[int], alive: int) -> int:
    """Make this fork what the client's process is, and run the stage. Return the exit status."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["module"], *request["arguments"]]
    sys.path.insert(0, request["folder"])
    importlib.invalidate_caches()
    gc.enable()
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        stage = importlib.import_module("mnist_mlp.pipeline.stage")
        stage.run_in_fork(request["module"], lambda: os.read(alive, 1))
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        traceback.print_exc()
        status = 1
    for output in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            output.flush()
    return status


def prepare(owner: int) -> None:
    """Import the libraries, with the settings that they read when they are imported. Exit if the owner ends first."""

    def look(*_: Any) -> None:
        if select.select([owner], [], [], 0)[0]:
            os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)
    gc.disable()  # a quarter of the time
    for path in SETTINGS:
        runpy.run_path(path)["configure"]()
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP):  # the owner's end is what counts
        signal.signal(number, signal.SIG_IGN)
    found = find_conditions(dict(os.environ), [sys.executable, sys.prefix], os.getcwd())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # now: once a fork's is a pipe, Python can't change it
            stream.reconfigure(errors="replace")
    listener, owner = map(int, sys.argv[1:])
    prepare(owner)
    Server(socket.socket(fileno=listener), owner, found).serve()
    os._exit(0)  # TensorFlow would take 2 seconds to take itself down
