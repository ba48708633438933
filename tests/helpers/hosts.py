"""Hosts on one machine: network namespaces with addresses of their own, a Dask cluster and a remote on them."""

import ctypes
import getpass
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.helpers.project import own_variables

QUICK = {  # what is lost is noticed in seconds
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",
    "DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "2s",
}
PATIENCE = 60  # seconds
SBIN = f"/usr/sbin{os.pathsep}/sbin"

HTTP = """
import http.server, pathlib, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        if pathlib.Path("refusing").exists():
            self.close_connection = True
            return self.send_error(507)
        path = pathlib.Path(self.translate_path(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        content = b""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers["Content-Length"]))
        partial = path.with_name(f"{path.name}.{id(self)}")
        partial.write_bytes(content)
        partial.replace(path)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_POST = do_PUT
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], 8000), lambda *a: Handler(*a, directory=sys.argv[2])).serve_forever()
"""


class Hosts:
    """Network namespaces with addresses of their own, on one bridge, which is the first one's.

    Processes started in them end with them. Raises OSError if the system doesn't allow them."""

    def __init__(self, folder: Path, names: list[str]):
        self.folder, self.names, self.processes = folder, names, []
        self.prefix = f"m{os.getpid() % 10000}"
        self.addresses = {name: f"10.203.7.{number}" for number, name in enumerate(names, 1)}
        try:
            self._connect(names)
        except OSError:
            self.close()
            raise

    def _connect(self, names: list[str]) -> None:
        hub = self.space(names[0])
        for name in names:
            self._ip("netns", "add", self.space(name))
            self._ip("-n", self.space(name), "link", "set", "lo", "up")
        self._ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        self._ip("-n", hub, "addr", "add", f"{self.addresses[names[0]]}/24", "dev", "bridge")
        self._ip("-n", hub, "link", "set", "bridge", "up")
        self._ip("-n", hub, "route", "add", "8.8.8.8", "dev", "bridge")  # Dask takes the address on the way there
        for name in names[1:]:
            space = self.space(name)
            self._ip("-n", hub, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", space)
            self._ip("-n", hub, "link", "set", name, "master", "bridge", "up")
            self._ip("-n", space, "addr", "add", f"{self.addresses[name]}/24", "dev", "eth0")
            self._ip("-n", space, "link", "set", "eth0", "up")

    @staticmethod
    def _ip(*words: str) -> str:
        try:
            done = subprocess.run(["ip", *words], capture_output=True, text=True)
        except FileNotFoundError:
            raise OSError("no `ip` here: `apt-get install iproute2`") from None
        if done.returncode:
            raise OSError(done.stderr)
        return done.stdout

    def space(self, name: str) -> str:
        """Return the name of a host's namespace."""
        return f"{self.prefix}-{name}"

    def inside(self, name: str) -> tuple[str, ...]:
        """Return the words before a command that is to run on a host, under its name."""
        script = f'hostname {name} && exec "$@"'
        return "ip", "netns", "exec", self.space(name), "unshare", "--uts", "sh", "-c", script, "sh"

    def start(self, name: str, *command: str, **environment: str) -> subprocess.Popen:
        """Start a command on a host, in a folder of the host's name. What it prints goes to the folder's `log`."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        with (folder / "log").open("a") as log:
            process = subprocess.Popen(
                [*self.inside(name), *command], cwd=folder, env=self.environment | environment,
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its commands."""
        return own_variables() | QUICK

    def run(self, name: str, *command: str, **environment: str) -> str:
        """Return what a command on a host printed. Raises subprocess.CalledProcessError if it fails."""
        return subprocess.run(
            [*self.inside(name), *command], cwd=self.folder, env=self.environment | environment, check=True, text=True,
            capture_output=True,
        ).stdout  # fmt: skip

    @contextmanager
    def entered(self, name: str) -> Iterator[str]:
        """Have this thread, and what it starts, be on a host while the block works; yield the host's address."""
        files = [os.open(path, os.O_RDONLY) for path in (f"/run/netns/{self.space(name)}", "/proc/thread-self/ns/net")]
        enter = ctypes.CDLL(None, use_errno=True).setns
        try:
            assert enter(files[0], 0) == 0, os.strerror(ctypes.get_errno())
            yield self.addresses[name]
        finally:
            enter(files[1], 0)
            for file in files:
                os.close(file)

    def log(self, name: str) -> str:
        """Return what a host's commands have printed."""
        log = self.folder / name / "log"
        return log.read_text() if log.exists() else ""

    def start_dask(self, *names: str, **environment: str) -> str:
        """Start a scheduler on the first host, and a worker of one thread on each of these; return its address."""
        hub, at = self.names[0], self.addresses[self.names[0]]
        address = f"tcp://{at}:8786"
        self.scheduler = self.start(hub, "dask", "scheduler", "--host", at, "--port", "8786", "--no-dashboard")
        before = {name: self.log(name).count("Registered to") for name in names}
        for name in names:
            own = {"MNIST_MLP_SCRATCH": str(self.folder / name / "scratch"),
                   "DVC_SITE_CACHE_DIR": str(self.folder / name / "db")}  # fmt: skip
            worker = ("dask", "worker", address, "--nthreads", "1", "--no-dashboard")
            self.start(name, *worker, **own, **environment)
        for name in names:
            wait_for(lambda name=name: self.log(name).count("Registered to") > before[name], "no worker starts")
        return address

    def start_sshd(self, home: Path) -> str:
        """Start an SSH server on the first host; return the address of a folder there, as DVC takes it.

        home: becomes the home directory of a user who may log in."""
        hub, at, own = self.names[0], self.addresses[self.names[0]], self.folder / "sshd"
        for folder in (own, home / ".ssh", Path("/run/sshd")):  # sshd itself asks for the last one
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for key in (own / "host", home / ".ssh/id_ed25519"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        (home / ".ssh/known_hosts").write_text(f"[{at}]:2222 {(own / 'host.pub').read_text()}")
        settings = {"ListenAddress": at, "Port": "2222", "HostKey": own / "host", "PidFile": "none",
                    "AuthorizedKeysFile": home / ".ssh/id_ed25519.pub", "StrictModes": "no",
                    "Subsystem": "sftp internal-sftp"}  # fmt: skip
        (own / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self.start(hub, str(shutil.which("sshd", path=SBIN)), "-D", "-e", "-f", str(own / "config"))
        return f"ssh://{getpass.getuser()}@{at}:2222{self.folder / hub / 'kept'}"

    def start_http(self) -> str:
        """Start an HTTP server on the first host that keeps what it is given; return its address."""
        hub, at = self.names[0], self.addresses[self.names[0]]
        self.start(hub, sys.executable, "-c", HTTP, at, str(self.folder / hub / "kept"))
        return f"http://{at}:8000"

    @property
    def refusing(self) -> Path:
        """A file whose presence has the HTTP server take nothing."""
        return self.folder / self.names[0] / "refusing"

    def cut_off(self, name: str) -> None:
        """Take a host's network away."""
        self._ip("-n", self.space(self.names[0]), "link", "set", name, "down")

    def end(self, process: subprocess.Popen) -> None:
        """Kill a process that `start` started, and all of its session."""
        subprocess.run(["pkill", "-9", "-s", str(process.pid)], check=False)
        process.wait()

    def close(self) -> None:
        """End all, also what has left its session, as a step of Slurm does."""
        for process in self.processes:
            self.end(process)
        for name in self.names:
            with suppress(OSError):
                for number in self._ip("netns", "pids", self.space(name)).split():
                    with suppress(ProcessLookupError):
                        os.kill(int(number), signal.SIGKILL)
                self._ip("netns", "del", self.space(name))


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> object:
    """Return what a condition gives once it isn't false. Raises AssertionError if that takes too long."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return found
