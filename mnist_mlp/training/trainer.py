"""A variant's replicates trained side by side, as many at once as there are cores.

The same seed gives the same bytes whatever else runs beside it, and an interrupted training goes on from its last
checkpoint as if nothing had happened.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from mnist_mlp.config import Variant
from mnist_mlp.training import networks, replicates
from mnist_mlp.training.compiled import CompiledEngine, penalties
from mnist_mlp.training.engine import Engine
from mnist_mlp.training.environment import THREADS
from mnist_mlp.training.outputs import Replicate
from mnist_mlp.training.splits import Splits


def train(
    variant: Variant,
    splits: Splits,
    progress: replicates.Progress = lambda seed, epoch, row: None,
    checkpoint_dir: Path | None = None,
    checkpoint_seconds: float = replicates.CHECKPOINT_SECONDS,
    engine: Callable[[Variant, Splits], Engine] = CompiledEngine,
    finished: Mapping[int, Replicate] = MappingProxyType({}),
) -> list[Replicate]:
    """Train every replicate of a variant and return them by seed. Raises UserError if a loss ceases to be finite.

    progress: called from the replicates' threads with seed, epoch (from 1) and the epoch's row of the curve.
    checkpoint_dir: a folder for this very training, the same data, parameters and software; each replicate goes on
    from its checkpoint there. finished: replicates by seed, as Cache.read returns them, that aren't trained again."""
    missing = tuple(seed for seed in variant.seeds if seed not in finished)
    trained: list[Replicate] = []
    if missing:
        part = variant.model_copy(update={"seeds": missing})
        trained = _train(part, splits, progress, checkpoint_dir, checkpoint_seconds, engine)
    taken = [finished[seed] for seed in variant.seeds if seed in finished]
    if taken and networks.input_penalties(variant):
        found = penalties.last_epoch(variant, splits, [replicate.seed for replicate in taken])
        taken = [
            replace(replicate, metrics=replicate.metrics | {"penalty": penalty})
            for replicate, penalty in zip(taken, found, strict=True)
        ]
    return sorted([*trained, *taken], key=lambda replicate: variant.seeds.index(replicate.seed))


def _train(
    variant: Variant,
    splits: Splits,
    progress: replicates.Progress,
    checkpoint_dir: Path | None,
    checkpoint_seconds: float,
    engine: Callable[[Variant, Splits], Engine],
) -> list[Replicate]:
    runner, stop = engine(variant, splits), threading.Event()
    with ThreadPoolExecutor(min(len(variant.seeds), THREADS)) as pool:
        futures = [
            pool.submit(
                replicates.train, runner, variant, splits, seed, progress, stop,
                checkpoint_dir / f"seed-{seed}.npz" if checkpoint_dir else None, checkpoint_seconds,
            )
            for seed in variant.seeds
        ]  # fmt: skip
        try:
            return [future.result() for future in futures]
        finally:
            stop.set()
