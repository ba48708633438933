"""Generated params.yaml files, sound and broken: each is accepted, or refused in lines that name the key."""

import contextlib
import copy
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mnist_mlp import config
from mnist_mlp.config.choices import ACTIVATIONS, INITIALIZERS, OPTIMIZERS
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.stage import errors_as_lines
from stages import train
from tests.helpers.images import make_splits
from tests.helpers.params import ROOT
from tests.helpers.variants import short_params

pytestmark = pytest.mark.slow

BASE = short_params()

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
    st.sampled_from(["relu", "adam", "default", "batch_norm", "flatten", "auto", "test", "pixels", -1, 0, 1, 1e400]),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["dense", "dropout", "units", "l1"]) | st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(node: Any, path: tuple = ()) -> list[tuple]:
    """Return the path of every mapping's key and list's item."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, child in children for place in [(*path, key), *places(child, (*path, key))]]


PLACES = places(BASE)


def changed(path: tuple, how: str, value: Any) -> dict[str, Any]:
    """Return BASE with one place changed: `delete`, `add` beside it, or `replace`."""
    params = copy.deepcopy(BASE)
    node = params
    for part in path[:-1]:
        node = node[part]
    if how == "delete":
        del node[path[-1]]
    elif how == "add" and isinstance(node, dict):
        node[str(value)] = value
    else:
        node[path[-1]] = value
    return params


def as_yaml(params: dict[str, Any]) -> str:
    """Return params as YAML. libyaml writes it, in a fifth of the time."""
    stream = io.StringIO()
    YAML(typ="safe").dump(params, stream)
    return stream.getvalue()


def refusal(content: str | bytes, folder: Path) -> list[str]:
    """Return the lines by which a file is refused, or none if it is accepted. Fail for anything but a UserError."""
    path = folder / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    try:
        config.load(path)
    except UserError as error:
        lines = str(error).splitlines()
        assert lines
        assert all(line.startswith(f"{path}: ") and len(line) < 1000 for line in lines), lines
        return [line.removeprefix(f"{path}: ") for line in lines]
    return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("params")


def many(examples: int, **more: Any) -> settings:
    """Return settings for so many examples."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), **more)


@many(300)
@given(path=st.sampled_from(PLACES), how=st.sampled_from(["replace", "replace", "delete", "add"]), value=values)
def test_a_changed_value_is_accepted_or_refused_by_its_key(path, how, value, folder):
    for line in refusal(as_yaml(changed(path, how, value)), folder):
        assert path[0] in line or str(value) in line or "not valid YAML" in line, (path, how, value, line)


@many(300)
@given(
    start=st.integers(0, len(as_yaml(BASE))),
    length=st.integers(0, 40),
    junk=st.text(max_size=10) | st.binary(max_size=10),
)
def test_a_damaged_file_is_accepted_or_refused(start, length, junk, folder):
    content = as_yaml(BASE).encode()
    junk = junk if isinstance(junk, bytes) else junk.encode("utf-8", "surrogatepass")
    refusal(content[:start] + junk + content[start + length :], folder)


@many(40)
@given(path=st.sampled_from(PLACES), value=values)
def test_a_stage_refuses_a_broken_file_in_lines_and_writes_nothing(path, value, folder):
    broken = bool(refusal(as_yaml(changed(path, "replace", value)), folder))
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended, errors_as_lines(),
    ):  # fmt: skip
        train.main("candidate", "candidate")
    assert ended.value.code == 1  # there are no data either
    other = ("error: data/prepared/dataset.json", "error: params.yaml: software.")
    lines = err.getvalue().splitlines()
    assert lines
    assert all(line.startswith("error: params.yaml: " if broken else other) for line in lines)
    assert out.getvalue() == ""
    assert [path.name for path in folder.iterdir()] == ["params.yaml"]


def test_a_stages_process_refuses_a_broken_file_with_status_1(tmp_path):
    (tmp_path / "params.yaml").write_text(as_yaml(BASE | {"epochs": 0}))
    done = subprocess.run(
        [sys.executable, "-m", "stages.train", "candidate", "candidate"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "error: params.yaml: epochs: found 0; allowed: at least 1\n"
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


layers = st.lists(
    st.one_of(
        st.builds(lambda units: {"dense": units}, st.integers(1, 40)),
        st.builds(
            lambda units, l1, l2: {"dense": {"units": units, "l1": l1, "l2": l2}},
            st.integers(1, 40), st.floats(0, 100), st.floats(0, 100),
        ),
        st.builds(lambda rate: {"dropout": rate}, st.floats(0, 1, exclude_max=True)),
        st.sampled_from(["batch_norm", "flatten"]),
        st.builds(lambda norm, weight: {f"activity_{norm}": weight}, st.sampled_from(["l1", "l2"]), st.floats(0, 100)),
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@pytest.mark.usefixtures("quick_to_compile")
@many(12, derandomize=True)
@given(
    layers=layers,
    activation=st.sampled_from(ACTIVATIONS),
    optimizer=st.sampled_from(list(OPTIMIZERS)),
    initializer=st.sampled_from(INITIALIZERS),
    learning_rate=st.just("default") | st.floats(1e-6, 1000),
    batch_size=st.integers(1, 40),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=2, unique=True),
    train_metrics=st.sampled_from(["last_epoch", "finished_model"]),
    validation=st.sampled_from(["held_out", "test"]),
)
def test_accepted_params_train_or_fail_cleanly(folder, **own):
    from mnist_mlp.training import outputs, trainer

    if refusal(as_yaml(BASE | own | {"epochs": 1}), folder):
        return
    variant = config.load(folder / "params.yaml").candidate
    try:
        splits = make_splits(variant, n=60)
        replicates = trainer.train(variant, splits)
    except UserError as error:
        assert "no longer finite" in str(error)
        return
    outputs.write(replicates, folder / variant.folder, splits.test[0])
    assert len(list((folder / variant.folder).glob("*.keras"))) == len(variant.seeds)
