"""Workers on other hosts, MLflow on PostgreSQL, a remote over SSH; the server and the scheduler go and come back."""

import re
from importlib.util import find_spec

import pytest

from tests.helpers.cluster import Talker, ended, nothing_to_do, started, state
from tests.helpers.hosts import QUICK, wait_for
from tests.helpers.project import Project
from tests.helpers.servers import NEEDS_POSTGRESQL, MlflowServer, postgresql

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    NEEDS_POSTGRESQL,
    pytest.mark.skipif(find_spec("dvc_ssh") is None, reason="no dvc-ssh here: `make setup`"),
]


def tags(run: dict) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


def test_a_tracking_server_and_the_scheduler_go_and_come_back(hosts, tmp_path, sequential):
    home = {"HOME": str(tmp_path / "home")}
    remote = hosts.start_sshd(tmp_path / "home")
    with hosts.entered("hub") as hub, postgresql() as database:
        address = hosts.start_dask("one", "two", **home)
        project = Project(tmp_path / "caller")
        project.run("dvc", "remote", "add", "--default", "there", remote)
        server = MlflowServer(database, tmp_path / "kept", hub)
        words = {"MLFLOW_TRACKING_URI": server.address} | home | QUICK

        with server:
            talker = Talker(project, "--scheduler", address, **words)
            talker.until(r"train-\S+  started on")
            wait_for(lambda: server.runs("attributes.status = 'RUNNING'"), "no run appears")
            live = server.runs("attributes.status = 'RUNNING' and tags.kind = 'variant'")
            assert {tags(run)["host"] for run in live} <= {"one", "two"}
        talker.until(r"\] (train-\S+)  [\d.]+ s on")  # while the server was away
        with server:
            talker.until(r"(train-\S+)  started on")
            hosts.end(hosts.scheduler)
            first = talker.end(status=1)
            assert "the scheduler was lost; what had ended is kept" in first
            assert "Traceback" not in first

            address = hosts.start_dask("one", "two", **home)
            talker = Talker(project, "--scheduler", address, **words)
            second = talker.end()
            assert not {*ended(first)} & {*started(second)}
            found = server.runs("tags.kind = 'variant'")
    trained = re.findall(r"^  (train-\S+):$", (project.folder / "dvc.lock").read_text(), re.M)
    finished = [tags(run) for run in found if run["info"]["status"] == "FINISHED"]
    assert sorted(run["dvc.stage"] for run in finished) == sorted(trained)  # each once
    assert {run["host"] for run in finished} == {"one", "two"}
    assert not [run for run in found if run["info"]["status"] == "RUNNING"]
    assert state(project) == sequential.state
    assert nothing_to_do(project)
