"""The pipeline on Dask: against sequential runs to the byte, with workers killed and hosts cut off."""

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.helpers.project import Project, forks, made_once, processes

pytestmark = pytest.mark.slow
OUTPUTS = ("data", "models", "reports")
QUICK = {  # what is lost is noticed in seconds
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",
}


def cluster(project: Project, *words: str, status: int = 0, **environment: str) -> str:
    return project.run("python", "-m", "mnist_mlp", "cluster", *words, status=status, **environment)


def state(project: Project) -> tuple[bytes, dict[str, bytes]]:
    """dvc.lock and every output."""
    return (project.folder / "dvc.lock").read_bytes(), project.visible(*OUTPUTS)


def runs(project: Project) -> set:
    """Return name, digest and metrics' names of what MLflow holds for each variant and for the reports.

    A stage that is interrupted after its run has ended is run again, and leaves two runs that are the same."""
    project.run("python", "-m", "mnist_mlp", "track")
    own = [run for run in project.store().find() if "mlflow.parentRunId" not in run.data.tags]
    return {
        (run.info.run_name, run.data.tags.get("results", ""), frozenset(run.data.metrics.keys() - {"training_seconds"}))
        for run in own
    }


def nothing_to_do(project: Project) -> bool:
    return not project.ran(project.run("dvc", "repro"))


def started(output: str) -> list[str]:
    return re.findall(r"^(\S+)  started on", output, re.M)


def ended(output: str) -> list[str]:
    return re.findall(r"^\[\d+/\d+\] (\S+)  [\d.]+ s on", output, re.M)


class Talker:
    """A command that runs while its lines are read. folder: where; before: words before it."""

    def __init__(self, project: Project, *words: str, before: tuple[str, ...] = (), **environment: str):
        self.process = subprocess.Popen(
            [*before, "python", "-m", "mnist_mlp", "cluster", *words], cwd=project.folder, text=True,
            start_new_session=True,
            env=project.environment | {"PYTHONUNBUFFERED": "1"} | environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines: list[str] = []
        self.fresh: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            self.fresh.put(line)
        self.fresh.put("")

    def until(self, pattern: str, seconds: float = 120) -> re.Match:
        """The first line from now that a pattern is found in."""
        end = time.monotonic() + seconds
        while True:
            line = self.fresh.get(timeout=max(0.1, end - time.monotonic()))
            assert line, "".join(self.lines)
            if found := re.search(pattern, line):
                return found

    def end(self, status: int = 0, seconds: float = 300) -> str:
        self.process.wait(seconds)
        time.sleep(0.2)
        assert self.process.returncode == status, "".join(self.lines)
        return "".join(self.lines)


def kill_worker(folder: Path) -> None:
    """Kill a Dask worker's process that trains in a checkout below a folder."""
    end = time.monotonic() + 60
    while not (forks(folder) and (clients := processes(folder, lambda words: "stages.train" in words))):
        assert time.monotonic() < end, "nothing is trained"
        time.sleep(0.1)
    time.sleep(1)
    runner = next(process for process in clients[0].parents() if "mnist_mlp.cluster.stage_runner" in process.cmdline())
    os.kill(runner.ppid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def sequential(fresh_project, tmp_path_factory) -> Project:
    """A copy of the sequential run, what it holds in `.state` and `.runs`."""
    copy = Project.at(shutil.copytree(fresh_project.folder, tmp_path_factory.mktemp("sequential") / "project"))
    copy.state, copy.runs = state(copy), runs(copy)
    return copy


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Project:
    """A project run by two workers from nothing: interrupted, then, in a second run, with a worker killed.

    What the two printed is in `.first` and `.second`."""

    def make(folder: Path) -> None:
        project = Project(folder / "project")
        talker = Talker(project, "--jobs", "2")
        talker.until(r"\] train-.* s on")
        talker.until("train-.*started")
        os.killpg(talker.process.pid, signal.SIGINT)  # as a terminal does
        (folder / "first").write_text(talker.end(status=130))
        time.sleep(2)
        assert not processes(project.folder)
        talker = Talker(project, "--jobs", "2", MNIST_MLP_FRESH="1")  # a replicate that is taken is soon finished
        talker.until("train-.*started")
        kill_worker(project.folder)
        (folder / "second").write_text(talker.end())
        assert not processes(project.folder)

    folder = made_once(tmp_path_factory, "broken", make)
    project = Project.at(folder / "project")
    project.first, project.second = ((folder / name).read_text() for name in ("first", "second"))
    return project


def test_two_workers_give_the_bytes_of_a_sequential_run_whatever_broke(sequential, broken):
    assert state(broken) == sequential.state
    assert nothing_to_do(broken)
    assert not (broken.folder / ".dvc/tmp/cluster.new").exists()
    assert cluster(broken, "--jobs", "2") == "everything is up to date\n"


def test_what_has_ended_is_not_run_again(broken):
    stages = {*YAML(typ="safe").load(broken.folder / "dvc.lock")["stages"]} - {"download"}
    done, rest = ended(broken.first), ended(broken.second)
    assert f"keeping {len(done)} finished stages" in broken.first
    assert sorted(done + rest) == sorted(stages)
    assert not {*done} & {*started(broken.second)}
    assert len(started(broken.second)) == len(rest) + 1  # the killed worker's
    assert "Traceback" not in broken.first + broken.second, broken.first + broken.second


def test_what_runs_and_how_far_it_is_are_said(broken):
    assert "Dask's dashboard: http" in broken.first
    assert re.search(r"\[\d+/\d+\] train-\S+  [\d.]+ s on \S+, \d running, about \d+ (s|min) left", broken.first)
    assert broken.second.endswith(f"{len(ended(broken.second))} stages brought up to date\n")


def test_mlflow_holds_the_runs_of_a_sequential_run(sequential, broken):
    assert runs(broken) == sequential.runs


def test_checkouts_share_the_cache_without_copies(broken):
    inodes = {path.stat().st_ino for path in (broken.folder / ".dvc/cache").rglob("*") if path.is_file()}
    for slot in ("slot-0", "slot-1"):
        assert (broken.folder / ".dvc/tmp/cluster" / slot / "data/prepared/pixels/train.npy").stat().st_ino in inodes


def test_a_failed_stage_is_named_the_others_are_finished_and_uncommitted_files_are_shipped(project):
    """A new file among preprocess's dependencies: unless workers have it, dvc.lock calls preprocess out of date."""
    (project.folder / "mnist_mlp/data/novel.py").write_text('"""A new module."""\n')
    project.change(lambda params: params.update(activation="exponential", optimizer="sgd", learning_rate=1000))
    project.change(lambda params: params["techniques"]["factors"]["technique"]["none"].update(optimizer="sgd"))
    before = project.git("status", "--porcelain"), project.git("log", "--all", "--oneline")
    output = cluster(project, "--jobs", "1", status=1)
    assert "\ntrain-candidate:\n    error: candidate/candidate: the loss is no longer finite" in output
    assert re.fullmatch(
        r"error: failed: train-candidate; not run because of that: evaluate, compare, champion; "
        r"(\d+) of (\d+) stages are finished and kept",
        output.splitlines()[-1],
    )
    assert "Traceback" not in output
    changed = [line for line in project.git("status", "--porcelain").splitlines(True) if "dvc.lock" not in line]
    assert ("".join(changed), project.git("log", "--all", "--oneline")) == before
    due = project.ran(project.run("dvc", "repro", "--dry"))
    assert [name for name in due if name not in ("evaluate", "compare", "champion")] == ["train-candidate"]


def test_a_git_hook_and_a_damaged_checkout_leave_the_users_repository_alone(project):
    """git sets GIT_DIR for a hook. A worker's checkout lies below the user's, which git would find instead of it."""

    def changed(text: str) -> None:
        with (project.folder / "mnist_mlp/data/scaling.py").open("a") as code:
            code.write(f"# {text}\n")

    hook = project.folder / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\npython -m mnist_mlp cluster --jobs 1 preprocess\n")
    hook.chmod(0o755)
    branch, settings = project.git("symbolic-ref", "HEAD"), (project.folder / ".git/config").read_text()
    changed("by hand")
    (project.folder / "staged").touch()
    project.git("add", "staged")
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    project.run("git", *who, "commit", "--message", "from a hook", GIT_DIR=str(project.folder / ".git"))
    assert project.git("show", "--format=", "--name-only") == "staged\n"
    hook.unlink()
    (project.folder / ".dvc/tmp/cluster" / "slot-0" / ".git/HEAD").write_text("")
    changed("once more")
    project.git("add", "--all")
    staged, commits = project.git("diff", "--cached"), project.git("log", "--oneline")
    assert cluster(project, "--jobs", "1", "preprocess").endswith("1 stages brought up to date\n")
    assert (project.git("diff", "--cached"), project.git("log", "--oneline")) == (staged, commits)
    assert (project.git("symbolic-ref", "HEAD"), (project.folder / ".git/config").read_text()) == (branch, settings)


def test_long_paths_and_a_dashboard_without_a_link_stop_nothing(project):
    folder = project.folder / ("long" * 40)
    folder.mkdir()
    with (project.folder / "mnist_mlp/data/scaling.py").open("a") as code:
        code.write("# another line\n")
    template = {"DASK_DISTRIBUTED__DASHBOARD__LINK": "https://{NO_SUCH_VARIABLE}/{port}"}
    output = cluster(project, "--jobs", "1", "preprocess", TMPDIR=str(folder), **template)
    assert re.search(r"^1 stages, \d+ cores$", output, re.M)
    assert output.endswith("1 stages brought up to date\n")


def test_what_cannot_be_shipped_is_refused(project):
    stray = project.folder / "models/techniques/none-old/history.csv"
    stray.parent.mkdir()
    stray.write_text("")
    output = cluster(project, "--jobs", "1", status=1)
    assert output.startswith("error: models/techniques/none-old: no variant of params.yaml, and not in DVC's cache; ")


def test_a_scheduler_that_does_not_answer_is_said_in_a_line(project):
    checkpoint = project.folder / "models/.checkpoints/candidate/candidate/x/seed-0.npz"  # no stray
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    project.change(lambda params: params.update(batch_size=50))
    output = cluster(project, "--scheduler", "tcp://127.0.0.1:9", status=1)
    assert output == (
        "error: no default DVC remote, which a cluster's workers need: dvc remote add --default NAME URL\n"
    )
    project.run("dvc", "remote", "add", "--default", "there", "/nowhere")
    output = cluster(project, "--scheduler", "tcp://127.0.0.1:9", status=1, **QUICK)
    assert len(output.splitlines()) == 1
    assert output.startswith("error: SCHEDULER=tcp://127.0.0.1:9: no Dask scheduler answers there")


def test_no_worker_and_one_with_another_version_are_refused_before_anything_starts(project, tmp_path):
    fake = tmp_path / "fake" / "keras-0.0.1.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: keras\nVersion: 0.0.1\n")
    project.change(lambda params: params.update(batch_size=50))
    project.run("dvc", "remote", "add", "--default", "there", str(tmp_path / "remote"))
    address, running = tmp_path / "scheduler.json", []

    def start(*command: str) -> None:
        environment = project.environment | {"PYTHONPATH": str(fake.parent)}
        command = ["dask", *command, "--scheduler-file", str(address), "--no-dashboard"]
        running.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL))

    try:
        start("scheduler", "--port", "0")
        while not (address.exists() and address.read_text()):
            time.sleep(0.1)
        scheduler = json.loads(address.read_text())["address"]
        none = cluster(project, "--scheduler", scheduler, status=1)
        start("worker", "--no-nanny")
        while "no workers" in (output := cluster(project, "--scheduler", scheduler, status=1)):
            time.sleep(0.5)
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert none == f"error: {scheduler}: the scheduler has no workers; start some with `dask worker`\n"
    assert re.fullmatch(r"error: worker tcp://\S+: found keras 0\.0\.1; allowed: 3\.\S+, as here; install .*\n", output)


SERVER = """
import http.server, pathlib, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
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
    """Network namespaces with addresses of their own, on one bridge; processes started in them end with it."""

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
        for name in names[1:]:
            space = self.space(name)
            self._ip("-n", hub, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", space)
            self._ip("-n", hub, "link", "set", name, "master", "bridge", "up")
            self._ip("-n", space, "addr", "add", f"{self.addresses[name]}/24", "dev", "eth0")
            self._ip("-n", space, "link", "set", "eth0", "up")

    @staticmethod
    def _ip(*words: str) -> None:
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        if done.returncode:
            raise OSError(done.stderr)

    def space(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def inside(self, name: str) -> tuple[str, ...]:
        """Words before a command that is to run on a host, under its name."""
        script = f'hostname {name} && exec "$@"'
        return "ip", "netns", "exec", self.space(name), "unshare", "--uts", "sh", "-c", script, "sh"

    def start(self, name: str, *command: str, **environment: str) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        own = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "MNIST_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
        with (folder / "log").open("a") as log:
            process = subprocess.Popen(
                [*self.inside(name), *command], cwd=folder, env=own | QUICK | {"PATH": path} | environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)

    def cut_off(self, name: str) -> None:
        self._ip("-n", self.space(self.names[0]), "link", "set", name, "down")

    def close(self) -> None:
        for process in self.processes:
            subprocess.run(["pkill", "-9", "-s", str(process.pid)], check=False)
            process.wait()
        for name in self.names:
            with suppress(OSError):
                self._ip("netns", "del", self.space(name))


@pytest.fixture
def hosts(tmp_path):
    try:
        made = Hosts(tmp_path, ["hub", "one", "two"])
    except OSError as error:
        pytest.skip(f"network namespaces are not allowed here: {error}")
    yield made
    made.close()


def test_three_hosts_one_cut_off_and_one_killed(hosts, tmp_path, sequential):
    """A scheduler, a remote over HTTP and the caller on a host; two hosts with a worker each, and nothing in common."""
    hub = hosts.addresses["hub"]
    (tmp_path / "server.py").write_text(SERVER)
    hosts.start("hub", sys.executable, str(tmp_path / "server.py"), hub, str(tmp_path / "hub"))
    hosts.start("hub", "dask", "scheduler", "--host", hub, "--port", "8786", "--no-dashboard")
    time.sleep(3)
    for name in ("one", "two"):
        own = {"MNIST_MLP_SCRATCH": str(tmp_path / name / "scratch"), "DVC_SITE_CACHE_DIR": str(tmp_path / name / "db")}
        hosts.start(name, "dask", "worker", f"tcp://{hub}:8786", "--nthreads", "1", "--no-dashboard", **own)
    time.sleep(5)
    project = Project(tmp_path / "caller")
    project.run("dvc", "remote", "add", "--default", "there", f"http://{hub}:8000")
    project.run("dvc", "remote", "modify", "there", "method", "PUT")

    talker = Talker(project, "--scheduler", f"tcp://{hub}:8786", before=hosts.inside("hub"), **QUICK)
    cut = talker.until(r"(train-\S+)  started on one")[1]
    time.sleep(2)
    hosts.cut_off("one")
    again = talker.until(rf"{re.escape(cut)}  started on (\w+)")[1]
    killed = talker.until(r"(train-\S+)  started on two")[1]
    kill_worker(tmp_path / "two")
    output = talker.end(seconds=400)

    assert again == "two"
    assert sorted(ended(output)) == sorted(set(started(output)))  # each once
    assert {*re.findall(r" s on (\w+)", output)} <= {"one", "two"}
    twice = [name for name in set(started(output)) if started(output).count(name) > 1]
    assert {*twice} == {cut, killed}
    assert state(project) == sequential.state
    assert nothing_to_do(project)
    assert runs(project) == sequential.runs
    for tags in (run.data.tags for run in project.store().find(kind="variant")):
        assert tags["host"] in ("one", "two") and tags["cpu"] and float(tags["seconds"]) > 0
