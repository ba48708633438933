"""The pipeline on Dask: against sequential runs to the byte, with workers killed and hosts cut off."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.helpers.cluster import Talker, cluster, ended, kill_worker, nothing_to_do, runs, started, state
from tests.helpers.hosts import QUICK, Hosts, wait_for
from tests.helpers.project import Project, made_once, processes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Project:
    """A project run by two workers, from nothing but a figure that no stage makes any more: interrupted, then, in a
    second run, with a worker killed.

    What the two printed is in `.first` and `.second`."""

    def make(folder: Path) -> None:
        project = Project(folder / "project")
        figures = project.folder / "reports/figures"
        figures.mkdir(parents=True)
        (figures / "former.png").touch()
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


def _on_hosts(hosts: Hosts, folder: Path) -> tuple[Project, Callable[..., Talker]]:
    """Return a project on the hub, and what starts a run of it, for targets or all, on the workers of two other hosts.

    The scheduler and a remote over HTTP are on the hub; the hosts have nothing in common."""
    address = hosts.start_dask("one", "two")
    project = Project(folder / "caller")
    project.run("dvc", "remote", "add", "--default", "there", hosts.start_http())
    project.run("dvc", "remote", "modify", "there", "method", "PUT")

    def start(*targets: str) -> Talker:
        return Talker(project, "--scheduler", address, *targets, before=hosts.inside("hub"), **QUICK)

    return project, start


@pytest.mark.long
def test_three_hosts_one_cut_off_and_one_killed(hosts, tmp_path, sequential):
    project, start = _on_hosts(hosts, tmp_path)

    talker = start()
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


@pytest.mark.long
def test_a_remote_that_takes_nothing_fails_a_stage_and_a_killed_caller_nothing(hosts, tmp_path, sequential):
    project, start = _on_hosts(hosts, tmp_path)

    talker = start("train-candidate")
    talker.until("train-candidate  started on")
    hosts.refusing.touch()
    refused = talker.end(status=1)
    hosts.refusing.unlink()
    talker = start()
    done = talker.until(r"\] (train-\S+)  [\d.]+ s on")[1]
    os.killpg(talker.process.pid, signal.SIGKILL)
    talker.process.wait()
    recorded = (project.folder / "dvc.lock").read_text()
    output = start().end(seconds=400)

    assert started(refused).count("train-candidate") == 3
    assert "files of it can't be pushed by DVC's remote" in refused
    assert refused.splitlines()[-1].startswith("error: failed: train-candidate; ")
    assert "Traceback" not in refused + output
    assert f"\n  {done}:\n" in recorded
    assert state(project) == sequential.state
    assert nothing_to_do(project)


@pytest.mark.long
def test_a_killed_caller_takes_its_workers_along_and_leaves_what_had_ended(tmp_path):
    project = Project(tmp_path / "project")
    talker = Talker(project, "--jobs", "2")
    done = talker.until(r"\] (train-\S+)  [\d.]+ s on")[1]
    os.kill(talker.process.pid, signal.SIGKILL)
    talker.process.wait()
    wait_for(lambda: not processes(project.folder), "something lives on")
    then = project.ran(project.run("dvc", "repro"))
    assert "compare" in then
    assert done not in then


@pytest.mark.long
def test_a_stage_whose_worker_is_killed_four_times_has_failed(project):
    project.change(lambda params: params.update(batch_size=50))
    talker = Talker(project, "--jobs", "1", "train-candidate", MNIST_MLP_FRESH="1")
    for _ in range(4):
        talker.until("train-candidate  started on")
        kill_worker(project.folder)
    output = talker.end(status=1)
    assert output.splitlines()[-1].startswith("error: failed: train-candidate; "), output
    assert "Traceback" not in output
    assert cluster(project, "--jobs", "1", "train-candidate").endswith("1 stages brought up to date\n")
