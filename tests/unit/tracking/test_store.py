"""The store, opened: by several processes at once, and where it can't be."""

import os
import shutil
import subprocess
import sys

import mlflow
import pytest
from sqlalchemy.exc import DatabaseError

from mnist_mlp.tracking import store
from tests.helpers.params import ROOT
from tests.helpers.servers import free_port
from tests.helpers.tracked import DATABASE, runs

OPENING = """
from mnist_mlp.tracking import store
opened = store.open_store()
opened.end(opened.start("a run", {}), "FINISHED")
"""
WAITING = """
from mnist_mlp.tracking import store
store.open_store().start("a run", {})
print("running", flush=True)
input()
"""
CAN_UNSHARE = shutil.which("unshare") and not subprocess.run(["unshare", "--pid", "--fork", "true"]).returncode


@pytest.mark.slow
def test_processes_that_open_a_missing_store_at_once_lose_no_run(checkout):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPENING], stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        for _ in range(3)
    ]  # fmt: skip
    assert [process.communicate(timeout=180)[1] for process in started] == [""] * 3
    assert [run.info.status for run in runs()] == ["FINISHED"] * 3


@pytest.mark.parametrize("address", ["", "postgresql://me:sesame@127.0.0.1:{port}/db"], ids=["junk", "unreachable"])
def test_a_database_that_cannot_be_read_is_refused_before_mlflow_tries_it(checkout, monkeypatch, address):
    """MLflow would try again and again, for 100 seconds."""

    def tried(*arguments: object) -> None:
        pytest.fail("MLflow's client was made, and would have tried for 100 s")

    monkeypatch.setattr(mlflow, "MlflowClient", tried)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(port=free_port()))
    DATABASE.parent.mkdir()
    DATABASE.write_text("no database, but a text of some length")
    with pytest.raises(DatabaseError):
        store.open_store()


@pytest.mark.parametrize("name", ["o'brien", 'the "best"', """'it's" both""", "100%", "a\\b", "a`b", "é; --", ""])
def test_a_run_is_found_by_a_name_of_any_characters(tracked_checkout, name):
    """MLflow's filters know no escape: DVC's experiments may hold quotes all the same."""
    opened = store.open_store()
    for tags in ({"dvc.experiment": name, "dvc.baseline": "c0ffee"}, {"dvc.experiment": "other"}):
        opened.end(opened.start("a run", tags), "FINISHED")
    found = opened.find(**{"dvc.experiment": name, "dvc.baseline": "c0ffee"})
    assert [run.data.tags["dvc.experiment"] for run in found] == [name]
    assert opened.find(**{"dvc.experiment": f"{name}'"}) == []


def test_more_runs_are_found_than_mlflow_gives_at_once(tracked_checkout, monkeypatch):
    opened = store.open_store()
    for _ in range(3):
        opened.end(opened.start("a run", {"kind": "variant"}), "FINISHED")
    search = opened.client.search_runs
    monkeypatch.setattr(opened.client, "search_runs", lambda *words, **more: search(*words, max_results=2, **more))
    assert len(opened.find(kind="variant")) == 3


@pytest.mark.parametrize(
    ("place", "change", "gone"),
    [
        (0, "elsewhere", False), (1, "another-boot", True), (2, "pid:[1]", False), (3, "4194999", True),
        (4, "1", True), (4, None, False),
    ],
    ids=["host", "boot", "namespace", "PID", "start", "the same"],
)  # fmt: skip
def test_a_run_is_closed_only_if_its_process_is_seen_to_be_gone(tracked_checkout, place, change, gone):
    opened = store.open_store()
    run = opened.start("a run", {})
    words = run.data.tags[store.PROCESS].split(" ")
    words[place] = change or words[place]
    opened.client.set_tag(run.info.run_id, store.PROCESS, " ".join(words))
    assert [one.info.status for one in runs()] == ["KILLED" if gone else "RUNNING"]


@pytest.mark.skipif(not CAN_UNSHARE, reason="no new PID namespaces here: `unshare` is missing, or not permitted")
def test_a_live_run_of_another_pid_namespace_stays(tracked_checkout):
    words = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", WAITING]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout.readline() == "running\n"
        assert [run.info.status for run in runs()] == ["RUNNING"]
        process.communicate("end\n")


def test_runs_of_a_cluster_that_were_not_ended_are_ended_with_their_nested_ones(tracked_checkout):
    opened = store.open_store()
    lost, other = (opened.start(name, {"kind": "variant", "cluster": name}) for name in ("lost", "other"))
    nested = opened.start("seed 0", {"kind": "replicate"}, lost)
    opened.end_lost(cluster="lost")
    ended = [opened.client.get_run(run.info.run_id) for run in (lost, nested, other)]
    assert [run.info.status for run in ended] == ["KILLED", "KILLED", "RUNNING"]
    assert ended[0].data.tags["reason"] == "its process is gone"
