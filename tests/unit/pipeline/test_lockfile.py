"""What dvc.lock vouches for, over made-up outputs."""

import re

import pytest

from mnist_mlp import config, paths
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.lockfile import Lockfile
from tests.helpers.params import PARAMS
from tests.helpers.tracked import SOME, write_lock, write_outputs, write_reports

CANDIDATE = PARAMS.candidate


@pytest.fixture(autouse=True)
def trained(checkout) -> None:
    """Be in a checkout whose dvc.lock vouches for some variants and the reports on them."""
    for variant in SOME:
        write_outputs(variant)
    write_reports(SOME)
    write_lock(SOME)


def difference(variant: config.Variant = CANDIDATE, reported: bool = False) -> str | None:
    return Lockfile().difference(variant, config.load(), reported)


def edit(before: str, after: str) -> None:
    """Change params.yaml."""
    text = paths.PARAMS.read_text()
    assert before in text
    paths.PARAMS.write_text(text.replace(before, after))


@pytest.mark.parametrize("variant", SOME, ids=lambda variant: variant.label)
def test_a_training_that_nothing_changed_since_is_vouched_for(variant):
    assert difference(variant) is None
    assert difference(variant, reported=True) is None
    assert Lockfile().changed([variant.folder]) is None


def test_a_stage_that_dvc_lock_lacks_is_named():
    assert difference(PARAMS.variant("architectures", "model1")) == "dvc.lock has no train-architectures@model1"


def test_changed_parameters_are_a_difference():
    edit("\nbatch_size: 128", "\nbatch_size: 129")
    assert Lockfile().difference(config.load().candidate, config.load(), False) == (
        "params.yaml changed since it was trained"
    )


def test_changed_software_is_a_difference():
    edit(f"numpy: {PARAMS.software['numpy']}", "numpy: 1.0.0")
    assert difference() == "params.yaml changed since it was trained"


def test_reports_of_other_parameters_are_a_difference():
    edit("\nbatch_size: 128", "\nbatch_size: 129")
    variant = PARAMS.variant("techniques", "l1-tanh")
    assert difference(variant) is None
    assert difference(variant, reported=True) == "params.yaml changed since it was evaluated"


def test_changed_code_is_a_difference():
    (paths.TRAINING_CODE / "metrics.py").write_text("# another\n")
    assert difference() == "mnist_mlp/training changed since it was trained"


def test_changed_outputs_are_named():
    with (CANDIDATE.folder / "history.csv").open("a") as file:
        file.write("\n")
    assert Lockfile().changed([SOME[0].folder, CANDIDATE.folder]) == (
        "models/candidate/candidate isn't what dvc.lock has"
    )


def test_a_missing_dvc_lock_vouches_for_nothing():
    paths.LOCKFILE.unlink()
    assert difference() == "dvc.lock has no train-candidate"
    assert Lockfile().outputs("evaluate") == []


@pytest.mark.parametrize(
    "content",
    ["<<<<<<< HEAD\n", "", "schema: '2.0'\nstages: {}", "stages:\n  download\n", "[]\n", "stages:\n  a: {outs: [1]}\n"],
    ids=["conflict", "empty", "cut within a line", "no mapping", "list", "no path"],
)
def test_a_dvc_lock_of_another_form_is_an_error_that_says_what_to_type(content):
    paths.LOCKFILE.write_text(content)
    with pytest.raises(UserError, match=r"^dvc\.lock: can't be read: ") as caught:
        Lockfile()
    assert re.search("run `git checkout dvc.lock`$", str(caught.value))
    assert "\n" not in str(caught.value)
