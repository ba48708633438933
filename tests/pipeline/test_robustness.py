"""What breaks while the pipeline runs, and what is left of it: by real `dvc repro`, real signals, real file systems."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from mnist_mlp.pipeline.stage import LOCKS
from tests.helpers.environment import COMPILING
from tests.helpers.project import Project, forks, processes

pytestmark = pytest.mark.slow
OUTPUTS = ("data", "models", "reports")
REPRO = "python -m mnist_mlp repair && dvc repro"  # what `make repro` runs
THIRDS = 3
yaml = YAML(typ="safe", pure=True)


def start(project: Project, *command: str, **environment: str) -> subprocess.Popen:
    """A command in a session of its own, so that all of it can be killed at once."""
    return subprocess.Popen(
        command, cwd=project.folder, env=project.environment | environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def kill_all(process: subprocess.Popen) -> None:
    """As a machine that loses its power: every process of the session at once."""
    subprocess.run(["pkill", "-9", "-s", str(process.pid)], check=False)
    process.communicate()


def wait_until(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing of the kind happened"
        time.sleep(0.05)


def under_way(project: Project) -> bool:
    """Whether the candidate's training runs and has taken note of its inputs."""
    try:
        FileLock(project.folder / LOCKS / "train-candidate.lock").acquire(blocking=False).lock.release()
    except Timeout:
        time.sleep(1)
        return True
    return False


def stages_of(project: Project) -> dict:
    """What dvc.lock holds, whatever the order of its stages."""
    return yaml.load((project.folder / "dvc.lock").read_text())["stages"]


def statuses(project: Project, variant: str = "candidate") -> list[str]:
    """Those of a variant's runs in MLflow, without nested ones."""
    runs = project.runs(f"tags.variant = '{variant}'")
    return sorted(run.info.status for run in runs if "mlflow.parentRunId" not in run.data.tags)


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda project: append(project, "mnist_mlp/training/networks.py"), "mnist_mlp/training"),
        (lambda project: project.change(lambda params: params.update(batch_size=50)), "params.yaml: batch_size"),
    ],
    ids=["code", "parameter"],
)  # fmt: skip
def test_what_changes_while_a_stage_runs_is_refused_and_not_recorded(project, edit, what):
    project.change(lambda params: params.update(epochs=2))
    lock, before = (project.folder / "dvc.lock").read_bytes(), project.digests("models/candidate/candidate")
    process = start(project, "dvc", "repro", "train-candidate")
    wait_until(lambda: under_way(project))
    edit(project)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert [line for line in output.splitlines() if line.startswith("error:")] == [
        f"error: {what}: changed while train-candidate ran; what it made is not recorded: run `dvc repro` again"
    ]
    assert "Traceback" not in output
    assert (project.folder / "dvc.lock").read_bytes() == lock
    assert project.digests("models/candidate/candidate") == before
    assert statuses(project) == ["FAILED", "FINISHED"]
    assert "train-candidate" in project.ran(project.run("dvc", "repro", "--dry", "train-candidate"))


def append(project: Project, name: str, line: str = "# another line") -> None:
    path = project.folder / name
    path.write_text(f"{path.read_text()}{line}\n")


def test_a_change_that_cannot_matter_to_a_stage_does_not_stop_it(project):
    project.change(lambda params: params.update(epochs=2))
    process = start(project, "dvc", "repro", "train-candidate")
    wait_until(lambda: under_way(project))
    append(project, "mnist_mlp/report/figures.py")
    project.change(lambda params: params["techniques"]["protocol"].update(epochs=3))
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output


def test_the_training_of_a_killed_dvc_ends_and_the_next_one_leaves_one_finished_run(project):
    project.change(lambda params: params.update(epochs=20_000))
    process = start(project, "dvc", "repro", "train-candidate")
    wait_until(lambda: project.checkpoints())
    assert forks(project.folder)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    project.change(lambda params: params.update(epochs=2))
    project.run("dvc", "repro", "train-candidate")
    wait_until(lambda: not processes(project.folder), 5)
    assert statuses(project) == ["FINISHED", "FINISHED", "KILLED"]  # the fixture's, this one, the survivor's


def test_a_second_training_beside_a_first_is_refused(project):
    project.change(lambda params: params.update(epochs=20_000))
    first = start(project, "dvc", "repro", "train-candidate")
    wait_until(lambda: project.checkpoints())
    script = (
        "from mnist_mlp.pipeline import stage; from stages import train; stage.PATIENCE = 1; "
        "import sys; sys.argv[1:] = 'candidate', 'candidate'; train.__spec__ = None; stage.run(train.main)"
    )
    output = project.run(sys.executable, "-c", script, status=1, DVC_STAGE="train-candidate")
    kill_all(first)
    assert output == (
        "error: train-candidate is being run by another process; let it end, or end it, and run `dvc repro`\n"
    )


def test_a_long_training_goes_on_from_its_checkpoint_with_the_same_bytes(project):
    project.change(lambda params: params.update(epochs=30, layers=[{"dense": 512}, {"dropout": 0.2}, {"dense": 256}]))
    process = start(project, "dvc", "repro", "train-candidate")
    wait_until(lambda: project.checkpoints())
    kill_all(process)
    output = project.run("dvc", "repro", "train-candidate")
    assert "goes on from where it was interrupted" in output
    resumed = project.digests("models/candidate")
    assert not list((project.folder / "models").glob(".checkpoints/*/*"))
    project.run("dvc", "repro", "--single-item", "--force", "train-candidate", MNIST_MLP_FRESH="1")
    assert project.digests("models/candidate") == resumed


@pytest.mark.parametrize(
    "stage",
    [
        "train-techniques@none-relu", "evaluate",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("download", "preprocess", "compare", "champion")),
    ],
)  # fmt: skip
def test_a_stage_killed_at_any_moment_is_made_up_for_to_the_byte(stage, project):
    """Everything is killed at a random moment of each third of the stage's time, then the stage is run again.

    Where the stage was over before, it is timed and killed anew: the machine has less to do than it had. A training
    that is killed trains anew; the one that makes up for it may take what another one kept."""
    whole, lock = project.digests(*OUTPUTS), (project.folder / "dvc.lock").read_bytes()
    again = ("dvc", "repro", "--single-item", "--force", stage)
    fresh = {"MNIST_MLP_FRESH": "1"}
    began = time.monotonic()
    project.run(*again, **fresh)
    seconds, moments = time.monotonic() - began, random.Random(stage)
    for number in range(THIRDS):
        for _ in range(5):
            process, began = start(project, *again, **fresh), time.monotonic()
            with suppress(subprocess.TimeoutExpired):
                process.wait((0.1 + 0.9 * moments.uniform(number, number + 1) / THIRDS) * seconds)
                seconds = time.monotonic() - began
            kill_all(process)
            if process.returncode == -signal.SIGKILL:
                break
        else:
            pytest.fail("the stage was over before it was killed, five times")
        partial = {name: content for name, content in project.digests(*OUTPUTS).items() if name in whole}
        assert partial.items() <= whole.items()  # what is there under its own name is whole
        project.run("python", "-m", "mnist_mlp", "repair")
        if number:  # DVC finds out for itself what is missing; once the stage does run
            project.run("dvc", "repro", "--single-item", stage)
        else:
            project.run(*again, **fresh)
        if (project.folder / "dvc.lock").read_bytes() != lock:  # cut where it still is YAML: the cache makes up for it
            assert not [name for name in project.ran(project.run("dvc", "repro")) if name.startswith("train")]
        assert project.visible(*OUTPUTS) == whole
        assert stages_of(project) == yaml.load(lock)["stages"]


@pytest.mark.parametrize("cut", ["all", "in a word", "before a value", "at a line"])
def test_what_a_killed_dvc_tore_is_mended_and_nothing_trains_again(cut, project):
    """Cut at a line, dvc.lock is whole to DVC, and has forgotten stages: the cache has them."""
    lock, rwlock = project.folder / "dvc.lock", project.folder / ".dvc/tmp/rwlock"
    before, text = stages_of(project), lock.read_text()
    stage = text.index("  train-techniques@none-relu")
    digest = text.index("md5: ", stage)
    lock.write_text(text[: {"all": 0, "in a word": digest + 2, "before a value": digest + 4, "at a line": stage}[cut]])
    rwlock.write_text('{"/some/path": {"wri')
    refused = project.run("dvc", "repro", status=None)
    assert "Running stage" not in refused and "up to date" not in refused
    output = project.run("sh", "-c", REPRO)
    assert ".dvc/tmp/rwlock: cut short by a killed dvc: removed" in output
    assert ("dvc.lock: cut short" in output) == (cut != "at a line")
    assert not [name for name in project.ran(output) if name.startswith("train")]
    assert stages_of(project) == before
    assert "up to date" in project.run("sh", "-c", REPRO)


@pytest.fixture
def disk():
    """A function that puts a folder of the project on a disk of its own, with space left or none."""
    mounted = []

    def mount(folder: Path, full: bool) -> Path:
        aside = folder.with_name(folder.name + ".aside")
        folder.rename(aside)
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=False)
        if done.returncode:
            pytest.skip("no disk can be mounted here: needs root")
        mounted.append(folder)
        for path in aside.iterdir():
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, folder / path.name)
        shutil.rmtree(aside)
        if full:
            with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
                while filler.write(bytes(4096)):
                    pass
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize(
    ("stage", "folder"),
    [("download", "data"), ("preprocess", "data"), ("train-candidate", "models"), ("evaluate", "reports"),
     ("compare", "reports")],
)  # fmt: skip
def test_a_full_disk_is_said_in_a_line_and_once_there_is_space_all_is_well(stage, folder, project, disk):
    whole = project.digests(*OUTPUTS)
    full = disk(project.folder / folder, full=True)
    if stage == "train-candidate":
        shutil.rmtree(full / "candidate/candidate")  # as DVC does, which frees some space
        with suppress(OSError), (full / "filler").open("ab", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
    output = project.run("dvc", "repro", "--single-item", "--force", stage, status=None)
    (error,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert error.endswith(": No space left on device; free some, and run the same command again")
    assert str(project.folder) in error or folder in error
    assert "Traceback" not in output
    (full / "filler").unlink()
    project.run("dvc", "repro", "--single-item", "--force", stage)
    assert project.digests(*OUTPUTS) == whole


def test_folders_that_cannot_be_written_are_named(project, disk):
    lock = (project.folder / "dvc.lock").read_bytes()
    folder = disk(project.folder / "reports", full=False)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    output = project.run("dvc", "repro", "--single-item", "--force", "compare", status=None)
    assert "Read-only file system" in next(line for line in output.splitlines() if line.startswith("error: reports/"))
    assert "Traceback" not in output
    assert (project.folder / "dvc.lock").read_bytes() == lock
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
    assert project.ran(project.run("dvc", "repro")) == []


def test_verify_finds_the_same_bytes_and_a_bit_that_differs(project):
    """verify's stages run by themselves, compiling what they train, with nothing there but what dvc.yaml declares; the
    fixture's were forks of the warm process."""
    names = ["download", "preprocess", "train-candidate", "evaluate", "compare", "champion"]
    before = project.digests(*OUTPUTS)
    output = project.run("python", "-m", "mnist_mlp", "verify", *names, **COMPILING)
    assert [line.split("  ")[0] for line in output.splitlines() if "  identical  " in line] == names
    assert "6 of 6 stages" in output

    path = project.folder / "models/techniques/none-relu/seed-1.keras"
    flip = (
        "import sys, keras, numpy as np; from pathlib import Path; from mnist_mlp.training import outputs\n"
        "model = keras.saving.load_model(sys.argv[1]); weights = model.get_weights()\n"
        "weights[0].view(np.uint32)[300, 5] ^= 1\n"
        "model.set_weights(weights); Path(sys.argv[1]).unlink(); outputs.save_model(model, Path(sys.argv[1]))"
    )
    assert project.digests(*OUTPUTS) == before
    project.run("python", "-c", flip, str(path))
    project.run("dvc", "commit", "--force", "train-techniques@none-relu")
    output = project.run("python", "-m", "mnist_mlp", "verify", "train-techniques@none-relu", status=1)
    assert "differs: models/techniques/none-relu/seed-1.keras" in output
    assert "seed-0" not in output
    assert "error: differences that nothing known explains: train-techniques@none-relu" in output


def test_an_error_that_nobody_foresaw_is_a_line_and_the_model_is_back(project, tmp_path):
    before = project.digests(*OUTPUTS)
    append(project, "mnist_mlp/training/splits.py", "raise LookupError('nobody foresaw this')")
    output = project.run("dvc", "repro", "--single-item", "train-candidate", status=None, TMPDIR=str(tmp_path))
    (kept,) = tmp_path.glob("mnist-mlp-*.log")
    assert (
        f"error: LookupError: nobody foresaw this; a fault of the program, not of yours: please report it with {kept}"
        in (output.splitlines())
    )
    assert "Traceback" not in output
    assert project.digests(*OUTPUTS) == before


def test_verify_tells_another_cpu_and_other_software_from_a_difference(project):
    """The runs in MLflow know the CPU; here their tag is changed, as if the training had been done elsewhere."""
    path = project.folder / "models/techniques/none-relu/history.csv"
    path.unlink()
    path.write_text("seed,epoch\n")
    project.run("dvc", "commit", "--force", "train-techniques@none-relu")
    store = project.store()
    for run in store.find(variant="none-relu", source="training"):
        store.client.set_tag(run.info.run_id, "cpu", "Another CPU 3000")
    output = project.run("python", "-m", "mnist_mlp", "verify", "train-techniques@none-relu")
    assert "trained on Another CPU 3000, verified on" in output
    project.change(lambda params: params["software"].update(keras="3.0.0"))
    output = project.run("python", "-m", "mnist_mlp", "verify", "train-techniques@none-relu", status=1)
    line = "error: params.yaml: software changed since train-techniques@none-relu ran; run `dvc repro` first"
    assert output.splitlines()[0] == line
    assert "to undo all its changes since the last commit" in output.splitlines()[1]


def test_verify_refuses_what_dvc_lock_does_not_hold(project):
    assert "no stage 'train-x'" in project.run("python", "-m", "mnist_mlp", "verify", "train-x", status=1)
    assert "name some" in project.run("python", "-m", "mnist_mlp", "verify", status=1)
    append(project, "mnist_mlp/training/compiled/epoch.py")
    output = project.run("python", "-m", "mnist_mlp", "verify", "train-candidate", status=1)
    assert output.startswith("error: mnist_mlp/training: not what train-candidate started from")
