"""What runs on a Dask worker: stages in checkouts of the caller's workspace, each kept warm for the next stage.

`Checkouts` is sent by value, so a worker needs the environment of requirements.txt and git, but no checkout; so nothing
of this package is imported here but git.py, which is sent likewise. The checkout's own stage_runner does what needs
DVC, in a process of its own.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from distributed.diagnostics.plugin import WorkerPlugin

from mnist_mlp.pipeline.git import OWN, environment

STAGES = ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV")  # variables in which DVC names what it runs
SAID = 40  # lines of a stage's output that travel


@dataclass(eq=False)
class Checkouts(WorkerPlugin):
    """A worker's checkouts, laid out as the caller's workspace is. Registered by the caller, on workers to come too.

    project: its name among others; commit, base: the workspace, and the commit that the caller is at; pack: git objects
    that hold both
    environment: variables of the stages
    scratch: the folder of the checkouts, or None for one below the system's temporary folder
    cache: DVC's, or None for one beside the checkouts; config: more of their .dvc/config.local
    remote: whether outputs travel through DVC's remote, since there is no common cache
    """

    project: str
    commit: str
    base: str
    pack: bytes
    environment: dict[str, str]
    scratch: str | None = None
    cache: str | None = None
    config: str = ""
    remote: bool = False

    def setup(self, worker: Any) -> None:
        """Find the folder of the checkouts."""
        own = os.environ.get("MNIST_MLP_SCRATCH") or Path(tempfile.gettempdir(), f"mnist-mlp-{os.getuid()}")
        self.folder = Path(self.scratch or Path(own, self.project)).absolute()
        self.idle: list[_Runner] = []
        self.all: list[_Runner] = []
        self.stopped = False

    def teardown(self, worker: Any) -> None:
        """End the stages that run."""
        self.stopped = True
        for runner in self.all:
            runner.end()

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        """Run a stage and return what came of it.

        task: stage; before: the stages before it; entries: texts of their entries in dvc.lock, and of its own where it
        has one; files: outputs of theirs that aren't cached, packed; kept: whether its own earlier outputs can be had.
        Returns host, cpu, seconds, said (the last lines printed), and either `failed`, its message, or ran (False if
        unchanged), entry and files. Raises RuntimeError if this worker can't run it; another one may."""
        began = time.monotonic()
        try:
            try:
                runner = self.idle.pop()
            except IndexError:
                runner = self._start()
            result = runner.run(task | {"remote": self.remote})
        except (OSError, EOFError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"").decode(errors="replace").strip() or str(error)
            raise RuntimeError(f"{socket.gethostname()}: {said or 'the process that runs DVC was ended'}") from None
        self.idle.append(runner)
        if "trouble" in result:
            raise RuntimeError(f"{socket.gethostname()}: {result['trouble']}")
        return {"host": socket.gethostname(), "seconds": time.monotonic() - began} | result

    def _start(self) -> "_Runner":
        """Start a process in the first checkout in which no other works: its lock ends with the process."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{self.folder} is another user's; set MNIST_MLP_SCRATCH")
        number = -1
        while True:
            number += 1
            folder = self.folder / f"slot-{number}"
            with folder.with_suffix(".lock").open("w") as lock, contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._lay(folder)
                runner = _Runner(folder, lock.fileno(), _environment() | self.environment)
                self.all.append(runner)
                if self.stopped:
                    runner.end()
                return runner

    def _lay(self, folder: Path) -> None:
        """Lay out the caller's workspace in a checkout, so that git says the same of it. Ignored files stay."""

        def git(*words: str, **more: Any) -> int:
            options: dict[str, Any] = {"env": environment(os.environ), "check": True} | more
            return subprocess.run(["git", *OWN, *words], cwd=folder, capture_output=True, **options).returncode

        folder.mkdir(exist_ok=True)
        for torn in (".git/index.lock", ".dvc/tmp/rwlock"):  # by a kill
            (folder / torn).unlink(missing_ok=True)
        if git("rev-parse", "--git-dir", check=False):  # missing, or damaged
            shutil.rmtree(folder / ".git", ignore_errors=True)
            git("init", "--quiet")
        if git("cat-file", "-e", f"{self.commit}^{{commit}}", check=False):
            with (folder / ".git/shallow").open("a") as file:
                file.write(f"{self.base}\n")
            git("index-pack", "--stdin", input=self.pack)
        git("clean", "-fdq")
        git("checkout", "--quiet", "--force", "--detach", self.commit)
        git("reset", "--quiet", "--mixed", self.base)
        cache = f'[cache]\n    dir = "{self.cache or self.folder / "cache"}"\n    type = "hardlink,symlink,copy"\n'
        (folder / ".dvc/config.local").write_text(cache + self.config, encoding="utf-8")
        shutil.rmtree(folder / "mlruns/artifacts", ignore_errors=True)  # of a store that nobody reads


class _Runner:
    """A process of stage_runner.py. lock: the descriptor of the checkout's lock, which it keeps."""

    def __init__(self, folder: Path, lock: int, environment: dict[str, str]):
        self.connection, theirs = Pipe()
        (folder / ".dvc/tmp").mkdir(exist_ok=True)
        self.said = (folder / ".dvc/tmp/said").open("a+b")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mnist_mlp.cluster.stage_runner", str(theirs.fileno()), str(os.getpid())],
            cwd=folder, env=environment, pass_fds=[theirs.fileno(), lock], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=self.said, stderr=subprocess.STDOUT,
        )  # fmt: skip
        theirs.close()

    def run(self, task: dict[str, Any]) -> dict[str, Any]:
        """Run a stage. Raises OSError or EOFError if the process ends meanwhile."""
        self.said.truncate(0)
        self.connection.send(task)
        result = self.connection.recv()
        self.said.seek(0)
        lines = self.said.read().decode(errors="replace").replace("\r", "\n").splitlines()
        return result | {"said": lines[-SAID:]}

    def end(self) -> None:
        """Terminate the process and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)


def _environment() -> dict[str, str]:
    """Return the environment as by hand: without what git, DVC or Dask set for their own processes."""
    import dask

    own = {name: value for name, value in environment(os.environ).items() if name not in STAGES}
    for name, value in dask.config.get("distributed.nanny.pre-spawn-environ", {}).items():
        if own.get(name) == str(value):
            del own[name]
    own["PYTHONIOENCODING"] = "utf-8"  # as `_Runner.run` reads it
    return own | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"}


def task_function() -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Return the function that Dask runs. It is a local one: pickle would send a global one by its name."""

    def work(name: str, task: dict[str, Any]) -> dict[str, Any]:
        import socket

        from distributed import get_worker

        worker: Any = get_worker()
        worker.log_event(name, {"stage": task["stage"], "host": socket.gethostname()})
        result: dict[str, Any] = worker.plugins[name].run(task)
        return result

    return work
