"""The warm process: by `dvc repro` and `dvc exp run` of stages that tell where they run, in every way they can end."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.helpers.params import ROOT
from tests.helpers.project import Project, forks, made_once, processes, servers

pytestmark = pytest.mark.slow
STAGES = ("download", "preprocess", "train", "evaluate", "compare", "champion")
PROBE = '''
"""Tell where a stage runs, and what is imported there."""

from mnist_mlp.pipeline.stage import run


def main(name: str) -> None:
    import os, pathlib, sys, time

    warm = {"keras", "tensorflow", "mlflow", "pandas"} <= sys.modules.keys()
    from mnist_mlp import novel

    print(name, f"fork of {os.getppid()}" if warm else "by itself", novel.WORD, flush=True)
    if name == "edits":
        pathlib.Path("mnist_mlp/novel.py").write_text("WORD = 'new code'")
    if name == "edits_settings":
        with open("mnist_mlp/training/environment.py", "a") as file:
            file.write("# another line")
    while name == "waits":
        time.sleep(0.1)


if __name__ == "__main__":
    run(main, missing="MISSING")
'''


@pytest.fixture
def probes(tmp_path, tmp_path_factory) -> Project:
    """A project with three stages that tell where they run: stages.probe starts the warm process, stages.early does for
    others, stages.late doesn't."""

    def make(folder: Path) -> None:
        project = Project(folder / "project")
        write(project, [])
        for name, missing in (("probe", "start"), ("late", "go without"), ("early", "start for others")):
            (project.folder / f"stages/{name}.py").write_text(PROBE.replace("MISSING", missing))
        (project.folder / "mnist_mlp/novel.py").write_text("WORD = 'old code'")
        project.commit()

    made = made_once(tmp_path_factory, "probes", make)
    return Project.at(shutil.copytree(made / "project", tmp_path / "project", symlinks=True))


def write(project: Project, commands: list[str]) -> None:
    """Write a dvc.yaml whose stages run these commands, one after another."""
    stages = {
        f"stage{number}": {"cmd": command, "deps": ["params.yaml"], "outs": [f"out{number}"]}
        for number, command in enumerate(commands)
    }
    for number, stage in enumerate(stages.values()):
        stage["cmd"] += f" && touch out{number}"
        stage["deps"] += [f"out{number - 1}"] if number else []
    YAML().dump({"stages": stages}, project.folder / "dvc.yaml")


def told(output: str) -> list[str]:
    return [line for line in output.splitlines() if "code" in line]


def ended(project: Project, seconds: float = 5) -> bool:
    """Whether no process works in a project any more, soon."""
    end = time.monotonic() + seconds
    while processes(project.folder) and time.monotonic() < end:
        time.sleep(0.1)
    return not processes(project.folder)


@pytest.mark.parametrize("command", ["repro", "exp run", "exp run --temp"])
def test_the_stages_of_one_dvc_are_forks_of_one_process_with_the_code_as_it_is(command, probes):
    write(
        probes,
        ["python -m stages.late first", "python -m stages.probe edits", "python -m stages.late after",
         "OTHER=variable python -m stages.probe other", "python -m stages.probe edits_settings",
         "python -m stages.probe last"],
    )  # fmt: skip
    probes.commit()
    output = probes.run("dvc", *command.split())
    lines = told(output)
    server = lines[1].split()[3]
    assert lines == [
        "first by itself old code",
        f"edits fork of {server} old code",
        f"after fork of {server} new code",
        "other by itself new code",
        f"edits_settings fork of {server} new code",
        "last by itself new code",
    ]
    assert ended(probes)


def test_a_stage_starts_the_warm_process_for_those_after_it(probes):
    write(probes, [f"python -m stages.{name} {name}" for name in ("late", "early", "late")])
    first, second, third = told(probes.run("dvc", "repro"))
    assert (first, second) == ("late by itself old code", "early by itself old code")
    assert third.startswith("late fork of ")
    assert ended(probes)


def test_a_warm_process_ends_with_its_dvc_also_while_it_imports(probes, tmp_path):
    (tmp_path / "keras.py").write_text("import time\nfor _ in range(600):\n    time.sleep(0.1)\n")
    write(probes, ["python -m stages.early early"])
    assert "early by itself" in probes.run("dvc", "repro", PYTHONPATH=str(tmp_path))
    assert ended(probes, 3)


def test_a_queued_experiment_runs_warm(probes):
    write(probes, ["python -m stages.probe one", "python -m stages.late two"])
    probes.commit()
    probes.run("dvc", "exp", "run", "--queue")
    output = probes.run("dvc", "exp", "run", "--run-all")
    logs = "".join(path.read_text() for path in (probes.folder / ".dvc/tmp/exps").rglob("*.out"))
    assert (output + logs).count("two fork of") >= 1, output + logs


def client(project: Project) -> int:
    return next(process.pid for process in processes(project.folder, lambda words: "stages.probe" in words))


ENDINGS = {
    "Ctrl-C": lambda project, dvc: os.killpg(dvc, signal.SIGINT),  # as a terminal does
    "client": lambda project, dvc: os.kill(client(project), signal.SIGKILL),
    "fork": lambda project, dvc: os.kill(forks(project.folder)[0].pid, signal.SIGKILL),
    "server": lambda project, dvc: os.kill(servers(project.folder)[0].pid, signal.SIGKILL),
    "dvc": lambda project, dvc: os.kill(dvc, signal.SIGKILL),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_process_is_left_whatever_is_killed(ending, probes):
    write(probes, ["python -m stages.probe waits"])
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=probes.folder, env=probes.environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("waits fork of"):
            break
    ENDINGS[ending](probes, process.pid)
    output, _ = process.communicate(timeout=30)
    assert process.returncode
    assert ended(probes)
    assert "Traceback" not in output
    if ending == "server":
        assert "error: stages.probe: the warm process that ran it was killed; run the same command again" in output
    if ending == "Ctrl-C":
        assert output.count("interrupted: nothing of this stage was recorded") == 1


def test_a_shells_warm_process_serves_one_dvc_after_another_and_ends_with_the_shell(probes):
    """Even then no stage goes on without its dvc."""
    write(probes, ["python -m stages.probe first", "python -m stages.probe waits"])
    shell = subprocess.Popen(["sleep", "1000"])
    owner = {"MNIST_MLP_OWNER": str(shell.pid)}
    lines = told(probes.run("dvc", "repro", "stage0", **owner))
    (server,) = servers(probes.folder)
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=probes.folder, env=probes.environment | owner, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    lines.append(next(line.strip() for line in process.stdout if line.startswith("waits")))
    assert lines == [f"{name} fork of {server.pid} old code" for name in ("first", "waits")]
    process.kill()
    process.communicate(timeout=30)
    assert not forks(probes.folder) and servers(probes.folder) == [server]
    shell.kill()
    shell.wait()
    assert ended(probes)


def test_an_owner_that_is_no_process_is_refused_in_a_line(probes):
    write(probes, ["python -m stages.probe one"])
    output = probes.run("dvc", "repro", status=None, MNIST_MLP_OWNER="$$")
    assert (
        "error: MNIST_MLP_OWNER: found '$$'; allowed: the number of a process, as $$ is the shell's; unset it" in output
    )
    assert "Traceback" not in output


TWO = """
import os, subprocess
for running in [subprocess.Popen(["python", "-m", "stages.probe", name], env=os.environ | {"DVC_STAGE": name})
                for name in ("stage0", "stage1")]:
    assert not running.wait()
"""


def test_two_at_once_are_forks_of_one_process(probes):
    write(probes, ["python -m stages.probe stage0", "python -m stages.probe stage1"])
    lines = sorted(told(probes.run("python", "-c", TWO)))
    server = lines[0].split()[3]
    assert lines == [f"stage0 fork of {server} old code", f"stage1 fork of {server} old code"]


def test_a_stage_without_dvc_runs_by_itself(probes):
    assert told(probes.run("python", "-m", "stages.probe", "one")) == ["one by itself old code"]
    assert ended(probes, 0)


@pytest.mark.parametrize("stage", STAGES)
def test_help_is_printed_and_nothing_done(stage, tmp_path):
    project = Project.at(tmp_path)
    output = project.run("python", "-m", f"stages.{stage}", "--help", PYTHONPATH=str(ROOT))
    assert output.startswith(f"usage: python -m stages.{stage}")
    output = project.run("python", "-m", f"stages.{stage}", "one", status=1, PYTHONPATH=str(ROOT))
    assert output.startswith("error: ") and output.count("\n") == 1
    assert not list(tmp_path.iterdir())


PREPARED = """
import os, runpy, sys, threading
runpy.run_path("mnist_mlp/pipeline/warm_server.py")["prepare"](os.pidfd_open(os.getppid()))
from tensorflow.python.eager import context
import mlflow.telemetry.client as telemetry
ours = [name for name in sys.modules if name.startswith(("mnist_mlp", "stages"))]
print(threading.active_count(), context._context, telemetry.get_telemetry_client(), ours)
"""


def test_the_warm_process_imports_libraries_alone_and_uses_nothing_of_them():
    """A thread that TensorFlow or MLflow had started would be missing in the forks."""
    assert Project.at(ROOT).run("python", "-P", "-c", PREPARED).splitlines()[-1] == "1 None None []"
