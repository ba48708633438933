"""docs/scaling.md's example of dask-jobqueue on a real Slurm: jobs cancelled, out of time, and a node set down."""

import re
import sys
from importlib.util import find_spec

import pytest

from tests.helpers.cluster import Talker, ended, nothing_to_do, runs, started, state
from tests.helpers.hosts import QUICK, wait_for
from tests.helpers.params import ROOT
from tests.helpers.project import Project
from tests.helpers.slurm import MISSING, Slurm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(
        bool(MISSING), reason=f"no {', '.join(MISSING)} here: `apt-get install slurmctld slurmd slurm-client munge`"
    ),
    pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="no dask-jobqueue here: `make setup`"),
]
OURS = {
    '"/home/me/mnist/.venv/bin/python"': repr(sys.executable),
    "cores=8": "cores=1",
    "16GB": "2GB",
    "jobs=16": "jobs=2",
}


@pytest.fixture
def slurm(hosts) -> Slurm:
    return Slurm(hosts)


def example() -> str:
    """Return the script of docs/scaling.md, with this environment's Python, and two jobs of a core."""
    text = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(from dask_jobqueue import .*?)^```", text, re.M | re.S)
    for theirs, ours in OURS.items():
        assert theirs in script
        script = script.replace(theirs, ours)
    return script


def test_the_pipeline_completes_on_slurm_whatever_becomes_of_its_jobs(slurm, hosts, tmp_path, sequential):
    """A job is cancelled, another meets its time limit, then its node is set down, each while a stage trains there."""
    home = tmp_path / "hub"
    hosts.start("hub", sys.executable, "-u", "-c", example(), **slurm.environment, TMPDIR=str(home))
    address = wait_for(lambda: re.findall(r"^tcp://.*", hosts.log("hub"), re.M), "dask-jobqueue doesn't start")[0]
    project = Project(tmp_path / "caller")
    project.run("dvc", "remote", "add", "--default", "there", str(tmp_path / "shared"))
    logs = [home / f"slurm-{number}.out" for number in (1, 2)]
    wait_for(lambda: all(log.exists() and "Registered to" in log.read_text() for log in logs), "no worker starts")

    talker = Talker(project, "--scheduler", address, before=hosts.inside("hub"), **QUICK)
    jobs = slurm.jobs()
    first = talker.until(r"(train-\S+)  started on one")[1]
    slurm.run("scancel", jobs["one"])
    slurm.run("scontrol", "update", f"jobid={jobs['two']}", "EndTime=now+3")
    talker.until(rf"{re.escape(first)}  started on")
    wait_for(lambda: slurm.jobs().get("two", jobs["two"]) != jobs["two"], "the time limit is not kept")
    last = talker.until(r"(train-\S+)  started on two")[1]
    slurm.run("scontrol", "update", "nodename=two", "state=down", "reason=test")
    talker.until(rf"{re.escape(last)}  started on")
    output = talker.end()

    assert "DUE TO TIME LIMIT" in (home / f"slurm-{jobs['two']}.out").read_text()
    assert sorted(ended(output)) == sorted(set(started(output)))  # each once
    assert {*re.findall(r" s on (\w+)", output)} == {"one", "two"}
    assert state(project) == sequential.state
    assert nothing_to_do(project)
    assert runs(project) == sequential.runs
