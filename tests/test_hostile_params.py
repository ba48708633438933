"""Generated params.yaml files, sound and broken: each is taken, or refused in lines that name the key."""

import copy
import io
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from mnist_mlp import UserError, config

BASE = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
for study in config.STUDIES:
    BASE[study]["variants"] = dict(list(BASE[study]["variants"].items())[:1])

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


def places(node, path=()) -> list[tuple]:
    """The path of every mapping's key and list's item."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [place for key, child in children for place in [(*path, key), *places(child, (*path, key))]]


PLACES = places(BASE)


def changed(path: tuple, how: str, value) -> dict:
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


def text(params: dict) -> str:
    stream = io.StringIO()
    YAML(typ="safe").dump(params, stream)  # libyaml's writer, if not reader: a fifth of the time
    return stream.getvalue()


def refusal(content: str | bytes, folder: Path) -> list[str]:
    """The lines by which a file is refused, none where it is taken. Anything but a UserError fails the test."""
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


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PLACES), how=st.sampled_from(["replace", "replace", "delete", "add"]), value=values)
def test_a_changed_value_is_taken_or_refused_by_its_key(path, how, value, folder):
    for line in refusal(text(changed(path, how, value)), folder):
        assert path[0] in line or str(value) in line or "not valid YAML" in line, (path, how, value, line)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    start=st.integers(0, len(text(BASE))), length=st.integers(0, 40), junk=st.text(max_size=10) | st.binary(max_size=10)
)
def test_a_damaged_file_is_taken_or_refused(start, length, junk, folder):
    content = text(BASE).encode()
    junk = junk if isinstance(junk, bytes) else junk.encode("utf-8", "surrogatepass")
    refusal(content[:start] + junk + content[start + length :], folder)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PLACES), value=values)
def test_a_broken_file_given_to_a_stage_is_refused_and_nothing_is_written(path, value, folder):
    content = text(changed(path, "replace", value))
    broken = bool(refusal(content, folder))
    done = subprocess.run(
        [sys.executable, "-m", "stages.train", "candidate", "candidate"],
        cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1  # there are no data either
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: params.yaml: " if broken else "error: data/raw/dataset.json") for line in lines)
    assert lines
    assert done.stdout == ""
    assert sorted(path.name for path in folder.iterdir()) == ["params.yaml"]


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


@pytest.mark.slow
@pytest.mark.usefixtures("quick_to_compile")
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    layers=layers,
    activation=st.sampled_from(config.ACTIVATIONS),
    optimizer=st.sampled_from(config.OPTIMIZERS),
    initializer=st.sampled_from(config.INITIALIZERS),
    learning_rate=st.just("default") | st.floats(1e-6, 1000),
    batch_size=st.integers(1, 40),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=2, unique=True),
    train_metrics=st.sampled_from(["last_epoch", "finished_model"]),
    validation=st.sampled_from(["held_out", "test"]),
)
def test_what_is_taken_trains_or_says_in_a_line_why_not(folder, **own):
    from test_training import made

    from mnist_mlp.training import saving, trainer

    if refusal(text(BASE | own | {"epochs": 1}), folder):
        return
    variant = config.load(folder / "params.yaml").candidate
    try:
        replicates = trainer.train(variant, made(variant, n=60))
    except UserError as error:
        assert "no longer finite" in str(error)
        return
    saving.write(variant, replicates, folder / "models/candidate/candidate")
    assert len(list((folder / "models/candidate/candidate").glob("*.keras"))) == len(variant.seeds)
