"""What `mnist-mlp verify` refuses before it runs a stage, and what it needs no stream for."""

import subprocess
import sys
from pathlib import Path

import pytest

from mnist_mlp import paths
from mnist_mlp.commands import verify
from mnist_mlp.errors import UserError
from tests.helpers.params import PARAMS, ROOT
from tests.helpers.tracked import write_lock, write_outputs


@pytest.fixture(autouse=True)
def trained(checkout) -> None:
    """Be in a checkout whose dvc.lock vouches for a candidate."""
    write_outputs(PARAMS.candidate)
    write_lock([PARAMS.candidate])


def refusal(*stages: str) -> str:
    with pytest.raises(UserError) as caught:
        verify.main(list(stages), all=False)
    return str(caught.value)


def test_verify_asks_for_stages():
    assert "no stage named; name some" in refusal()


def test_verify_refuses_a_stage_that_dvc_lock_does_not_hold():
    assert refusal("train-x").startswith("dvc.lock: no stage 'train-x'; ")


def test_verify_refuses_other_code_than_that_of_the_stage():
    (paths.TRAINING_CODE / "networks.py").write_text("# another\n")
    assert refusal("train-candidate").startswith("mnist_mlp/training: not what train-candidate started from; ")


def test_verify_refuses_other_parameters_than_those_of_the_stage():
    paths.PARAMS.write_text(paths.PARAMS.read_text().replace("\nbatch_size: ", "\nbatch_size: 1"))
    assert refusal("train-candidate").startswith("params.yaml: batch_size changed since train-candidate ran; ")


def test_closed_streams_are_as_good_as_any():
    """A closed stream's number goes to the next file that is opened, and there is none to ask for a terminal."""
    for name in ("stages", "dvc.yaml", ".dvcignore", "published"):
        if not Path(name).exists():
            Path(name).symlink_to(ROOT / name)
    paths.LOCKFILE.write_text("schema: '2.0'\nstages:\n  nothing:\n    cmd: 'true'\n")
    command = f"PYTHONPATH={ROOT} exec {sys.executable} -P -m mnist_mlp verify nothing <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command]).returncode == 0
