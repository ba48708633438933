"""Finished replicates: kept by what their bytes follow from, taken by whoever asks, absent if they aren't whole."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnist_mlp.config import Variant
from mnist_mlp.training import cache, outputs
from mnist_mlp.training.cache import Cache
from mnist_mlp.training.outputs import METRICS, Origin, Replicate
from mnist_mlp.training.splits import Splits
from tests.helpers.images import make_splits, sparse_splits
from tests.helpers.params import PARAMS
from tests.helpers.variants import make_variant

pytestmark = pytest.mark.usefixtures("quick_to_compile")

VARIANT = make_variant(layers=["batch_norm", "flatten", {"dropout": 0.2}, {"dense": 16}])
SOFTWARE = {"keras": "3.15.1"}
SPLITS = make_splits(VARIANT)
L1, L2 = {"activity_l1": 0.01}, {"activity_l2": 0.02}


def make_cache(folder: Path, variant: Variant = VARIANT, splits: Splits = SPLITS, **more: object) -> Cache:
    return Cache(folder, variant, splits, SOFTWARE, **more)


def make_replicate(variant: Variant = VARIANT, seed: int = 0) -> Replicate:
    """Return a replicate of random numbers and of what these predict."""
    from mnist_mlp.training import networks

    random, model = np.random.default_rng(seed), networks.build(variant, seed, (28, 28), 10)
    for weight in model.weights:
        weight.assign(random.random(weight.shape))
    metrics = dict(zip([*METRICS, "penalty"], random.random(7).tolist(), strict=True))
    probabilities = np.asarray(model(SPLITS.test[0], training=False))
    return Replicate(seed, model, random.random((variant.epochs, 4)), metrics, probabilities)


def written(replicates: list[Replicate], folder: Path, splits: Splits = SPLITS) -> dict[str, bytes]:
    """Return the bytes of a variant's outputs."""
    outputs.write(replicates, folder, splits.test[0])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_replicate_is_read_as_it_was_written_with_its_origin(tmp_path):
    replicate = make_replicate()
    make_cache(tmp_path / "cache").write(replicate, "run 7")
    read = make_cache(tmp_path / "cache").read(0)
    assert read.origin == Origin(VARIANT.label, "run 7")
    assert written([read], tmp_path / "models/a/read") == written([replicate], tmp_path / "models/a/trained")


def test_what_was_not_kept_is_absent(tmp_path):
    make_cache(tmp_path).write(make_replicate())
    assert make_cache(tmp_path).read(1) is None
    assert make_cache(tmp_path / "nowhere").read(0) is None


def cut(content: bytes) -> bytes:
    return content[:-100]


def flip(content: bytes) -> bytes:
    return content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:10], cut, flip])
def test_a_damaged_file_is_absent(tmp_path, damage):
    kept = make_cache(tmp_path)
    kept.write(make_replicate())
    kept.path(0).write_bytes(damage(kept.path(0).read_bytes()))
    assert kept.read(0) is None
    kept.write(make_replicate())
    assert kept.read(0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes that are files")
def test_a_pipe_in_a_files_place_is_not_waited_for(tmp_path):
    kept = make_cache(tmp_path)
    os.mkfifo(kept.path(0))
    assert kept.read(0) is None
    kept.write(make_replicate())
    assert kept.read(0)


MATTERS = {
    "layers": [{"dense": 17}], "activation": "tanh", "optimizer": "sgd", "learning_rate": 0.1, "epochs": 3,
    "initializer": "he_normal", "scaling": "unit_columns", "validation": "held_out", "batch_size": 31,
    "train_metrics": "finished_model",
}  # fmt: skip


@pytest.mark.parametrize("name", MATTERS)
def test_another_value_is_another_replicate(tmp_path, name):
    assert set(MATTERS) | {"seeds"} == VARIANT.parameters().keys()
    other = VARIANT.model_copy(update={name: getattr(make_variant(**{name: MATTERS[name]}), name)})
    assert make_cache(tmp_path, other).path(0) != make_cache(tmp_path).path(0)


@pytest.mark.parametrize("name", ["study", "name", "seeds"])
def test_who_asks_and_for_which_other_seeds_does_not_matter(tmp_path, name):
    other = VARIANT.model_copy(update={name: (0, 7) if name == "seeds" else "other"})
    assert make_cache(tmp_path, other).path(0) == make_cache(tmp_path).path(0) != make_cache(tmp_path).path(1)


def test_other_images_labels_software_code_or_cpu_are_another_replicate(tmp_path, monkeypatch):
    (images, labels), test = SPLITS.all_train, SPLITS.test
    brighter, mislabelled = images.copy(), labels.copy()
    brighter[7, 14, 14] += 0.1
    mislabelled[7] = (mislabelled[7] + 1) % 10
    splits = [replace(SPLITS, all_train=(brighter, labels)), replace(SPLITS, all_train=(images, mislabelled)),
              replace(SPLITS, test=(images[:30], test[1]))]  # fmt: skip
    caches = [make_cache(tmp_path), *(make_cache(tmp_path, splits=other) for other in splits)]
    caches.append(Cache(tmp_path, VARIANT, SPLITS, {"keras": "3.15.2"}))
    monkeypatch.setattr(cache, "cpu", lambda: "another")
    caches.append(make_cache(tmp_path))
    monkeypatch.setattr(cache, "_code", dict)
    caches.append(make_cache(tmp_path))
    assert len({kept.path(0) for kept in caches}) == len(caches)


def test_code_edited_since_the_training_began_keeps_nothing(tmp_path, monkeypatch):
    kept = make_cache(tmp_path)
    monkeypatch.setattr(cache, "_code", dict)
    kept.write(make_replicate())
    assert not list(tmp_path.iterdir())


TWINS = [  # a network, and one that differs in penalties on the input alone
    ([{"dense": 16}], [L1, {"dense": 16}]),
    ([{"dense": 16}], [L2, L1, {"dense": 16}]),
    (["batch_norm", "flatten", {"dense": 16}], [L2, "batch_norm", "flatten", {"dense": 16}]),
]
APART = [
    ([{"dropout": 0.2}, {"dense": 16}], [{"dropout": 0.2}, L1, {"dense": 16}]),
    ([{"dense": 16}], [{"dense": 16}, L1]),
    (["batch_norm", {"dense": 16}], [L1, "batch_norm", {"dense": 16}]),  # XLA may sum it otherwise
    ([{"dense": {"units": 16, "l2": 0.1}}], [L1, {"dense": {"units": 16, "l2": 0.1}}]),  # one penalty of both
    ([{"dense": 16}, L2], [L1, {"dense": 16}, L2]),
]


@pytest.mark.parametrize(("one", "other"), [*TWINS, *APART])
def test_variants_that_differ_in_penalties_on_the_input_alone_share_replicates(tmp_path, one, other):
    paths = {make_cache(tmp_path, make_variant(layers=layers)).path(0) for layers in (one, other)}
    assert (len(paths) == 1) == ((one, other) in TWINS)


def test_the_studies_have_41_distinct_networks_and_the_candidate(tmp_path):
    variants = [variant for variant in PARAMS.variants if variant.study != "candidate"]
    assert len(variants) == 57
    assert len({make_cache(tmp_path, variant).path(0) for variant in variants}) == 41


def test_the_least_recently_used_go_first(tmp_path):
    kept = make_cache(tmp_path)
    for seed in range(3):
        kept.write(make_replicate(seed=seed))
        os.utime(kept.path(seed), (seed, seed))
    (tmp_path / "killed.npz.partial").write_bytes(b"half")  # by a process that was killed
    os.utime(tmp_path / "killed.npz.partial", (0, 0))
    assert kept.read(0)
    make_cache(tmp_path, limit=3 * kept.path(0).stat().st_size).write(make_replicate(seed=3))
    assert {seed for seed in range(4) if kept.read(seed)} == {0, 2, 3}
    assert not (tmp_path / "killed.npz.partial").exists()


def test_writers_at_once_leave_whole_files(tmp_path):
    replicate, reads = make_replicate(), []
    make_cache(tmp_path).write(replicate)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            pool.submit(make_cache(tmp_path).write, replicate)
            reads.append(pool.submit(make_cache(tmp_path).read, 0))
    assert all(read.result() for read in reads)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".npz"]  # the lock and one file


def test_a_folder_that_cannot_be_written_raises_an_oserror(tmp_path):
    (tmp_path / "file").touch()
    kept = make_cache(tmp_path / "file")
    assert kept.read(0) is None
    with pytest.raises(OSError):
        kept.write(make_replicate())


@pytest.mark.slow
@pytest.mark.parametrize(("twins", "batch_size"), list(zip(TWINS, [32, 33, 100], strict=True)))
def test_a_twins_outputs_are_to_the_byte_those_of_its_own_training(tmp_path, twins, batch_size):
    from mnist_mlp.training import trainer

    splits = sparse_splits(400)
    variants = [make_variant(layers=layers, batch_size=batch_size, name=f"twin-{i}") for i, layers in enumerate(twins)]
    apart = [trainer.train(variant, splits) for variant in variants]
    for trained, variant, expected, twin in zip(apart, variants, reversed(apart), reversed(variants), strict=True):
        for replicate in trained:
            make_cache(tmp_path / variant.name, variant, splits).write(replicate)
        kept = make_cache(tmp_path / variant.name, twin, splits)
        taken = trainer.train(twin, splits, engine=refuse, finished={seed: kept.read(seed) for seed in twin.seeds})
        assert {replicate.origin.label for replicate in taken} == {variant.label}
        assert written(taken, tmp_path / "taken" / twin.folder, splits) == written(
            expected, tmp_path / "apart" / twin.folder, splits
        )


def refuse(variant: Variant, splits: Splits) -> None:
    raise AssertionError("an engine is built")


@pytest.mark.slow
def test_a_seed_is_added_without_training_the_others(tmp_path):
    from mnist_mlp.training import trainer

    variant, seen = VARIANT.model_copy(update={"seeds": (0, 1, 2)}), []
    tell: Callable = lambda seed, epoch, row: seen.append(seed)  # noqa: E731
    whole = trainer.train(variant, SPLITS)
    kept = make_cache(tmp_path / "cache", variant)
    for replicate in (whole[0], whole[2]):
        kept.write(replicate)
    finished = {seed: kept.read(seed) for seed in (2, 0)}
    added = trainer.train(variant, SPLITS, tell, finished=finished)
    assert set(seen) == {1}
    assert [replicate.origin is None for replicate in added] == [False, True, False]
    assert written(added, tmp_path / "models/a/added") == written(whole, tmp_path / "models/a/whole")
