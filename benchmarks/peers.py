"""Our epochs beside JAX's and PyTorch's: `python -m benchmarks.peers [--rounds N] [--write]`.

The same networks on the same images by the plainest good code of each: JAX with one compiled scan over an epoch's
batches, PyTorch with the usual loop over batches of tensors. An epoch trains on all batches and validates. Two seeds
train one after another, each on all cores, and at once: ours side by side in one process, as in the pipeline, JAX's and
PyTorch's in two processes with a core each. Medians over rounds; the first epoch, which compiles, is left out, and each
validation accuracy must be sane. --write keeps the table in benchmarks/peers.md. Needs Linux, `pip install '.[peers]'`
and data/prepared (`dvc repro preprocess`).
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mnist_mlp.machine import cpu

EPOCHS = 4
NOTE = """\
Epochs of one replicate. At once: ours trains two side by side in one process; the others in two processes, each with a
core of its own. All shuffle, train on every batch and validate. Ours computes besides the training accuracy and the
validation loss of each epoch, and its results don't depend on the number of cores; JAX leaves out a last batch that
isn't full.
"""
REPORT = Path("benchmarks/peers.md")
Images = tuple[np.ndarray, np.ndarray]  # float32 [n, 784], labels
Clock = Callable[[float], None]  # called after each epoch with the validation accuracy


@dataclass(frozen=True)
class Case:
    """A variant as its study defines it. sane: the least validation accuracy after an epoch."""

    study: str
    variant: str
    sizes: tuple[int, ...]
    batch: int
    adam: bool
    sane: float


CASES = {
    "none/relu": Case("techniques", "none-relu", (784, 128, 128, 10), 32, True, 0.9),
    "model2": Case("architectures", "model2", (784, 512, 128, 64, 10), 128, False, 0.6),
}
ADAM_RATE, SGD_RATE = 0.001, 0.01  # Keras's defaults


def train_ours(case: Case, seeds: list[int], clock: Callable[[int, float], None]) -> None:
    """Train as the pipeline does, the seeds side by side."""
    from mnist_mlp import config
    from mnist_mlp.training import splits, trainer

    variant = config.load().variant(case.study, case.variant)
    variant = variant.model_copy(update={"epochs": EPOCHS, "seeds": tuple(seeds)})
    trainer.train(variant, splits.load(variant), lambda seed, epoch, row: clock(seed, row[3]))


def train_jax(case: Case, seed: int, train: Images, validation: Images, clock: Clock) -> None:
    """Train with JAX: an epoch is one call, a scan over its batches. A last batch that isn't full is left out."""
    import jax
    import jax.numpy as jnp

    def logits(params: Any, x: Any) -> Any:
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        kernel, bias = params[-1]
        return x @ kernel + bias

    def loss(params: Any, x: Any, y: Any) -> Any:
        return -jnp.take_along_axis(jax.nn.log_softmax(logits(params, x)), y[:, None], 1).mean()

    def adam(state: Any, gradients: Any) -> Any:
        params, first, second, step = state
        step += 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
        rate = ADAM_RATE * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), params, first, second)
        return params, first, second, step

    def sgd(state: Any, gradients: Any) -> Any:
        return (jax.tree.map(lambda p, g: p - SGD_RATE * g, state[0], gradients), *state[1:])

    @jax.jit
    def epoch(state: Any, key: Any, images: Any, labels: Any, val_images: Any, val_labels: Any) -> Any:
        def step(state: Any, rows: Any) -> Any:
            value, gradients = jax.value_and_grad(loss)(state[0], images[rows], labels[rows])
            return (adam if case.adam else sgd)(state, gradients), value

        batches = len(images) // case.batch
        order = jax.random.permutation(key, len(images))[: batches * case.batch].reshape(batches, case.batch)
        state, losses = jax.lax.scan(step, state, order)
        hits = logits(state[0], val_images).argmax(1) == val_labels
        return state, losses.mean(), hits.mean()

    initialize = jax.nn.initializers.glorot_uniform()
    key, *keys = jax.random.split(jax.random.key(seed), len(case.sizes))
    params = [(initialize(k, shape), jnp.zeros(shape[1])) for k, shape in zip(keys, pairwise(case.sizes), strict=True)]
    zeros = jax.tree.map(jnp.zeros_like, params)
    state, data = (params, zeros, zeros, jnp.array(0)), [jnp.asarray(array) for array in (*train, *validation)]
    for number in range(EPOCHS):
        state, _, accuracy = epoch(state, jax.random.fold_in(key, number), *data)
        clock(float(accuracy))


def train_torch(case: Case, seed: int, train: Images, validation: Images, clock: Clock) -> None:
    """Train with PyTorch: a loop over batches of tensors that are in memory."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    images, labels, val_images, val_labels = (torch.from_numpy(array) for array in (*train, *validation))
    layers: list[nn.Module] = []
    for inputs, units in pairwise(case.sizes):
        layers += [nn.Linear(inputs, units), nn.ReLU()]
        nn.init.xavier_uniform_(layers[-2].weight)
        nn.init.zeros_(layers[-2].bias)
    model = nn.Sequential(*layers[:-1])
    optimizer: torch.optim.Optimizer
    if case.adam:
        optimizer = torch.optim.Adam(model.parameters(), ADAM_RATE, eps=1e-7, fused=True)
    else:
        optimizer = torch.optim.SGD(model.parameters(), SGD_RATE, fused=True)
    measure = nn.CrossEntropyLoss()
    for _ in range(EPOCHS):
        total = 0.0
        for rows in torch.randperm(len(images)).split(case.batch):
            optimizer.zero_grad()
            loss = measure(model(images[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        with torch.no_grad():
            hits = model(val_images).argmax(1) == val_labels
        clock(hits.float().mean().item())


def load(case: Case) -> tuple[Images, Images]:
    """Return the training and the validation images of a case, copied into memory."""
    from mnist_mlp import config
    from mnist_mlp.training import splits

    found = splits.load(config.load().variant(case.study, case.variant))
    train, validation = (
        (np.array(images).reshape(len(images), -1), labels.astype(np.int64))
        for images, labels in (found.train, found.validation)
    )
    return train, validation


def measure(who: str, case: Case, seeds: list[int]) -> list[float]:
    """Return the seconds of each epoch but the first, of all seeds. Exits if an epoch's accuracy isn't sane.

    Ours trains the seeds side by side, so that epochs of several take these seconds; the others one after another."""
    ends: dict[int, list[float]] = {}

    def clock(seed: int, accuracy: float) -> None:
        ends.setdefault(seed, []).append(time.perf_counter())
        if not accuracy > case.sane:
            sys.exit(f"{who}, {case.variant}: validation accuracy {accuracy:.3f}; expected more than {case.sane}")

    if who == "ours":
        train_ours(case, seeds, clock)
    else:
        train, data = {"JAX": train_jax, "PyTorch": train_torch}[who], load(case)
        for seed in seeds:
            train(case, seed, *data, partial(clock, seed))
    return [after - before for times in ends.values() for before, after in pairwise(times)]


def run(who: str, case: str, at_once: bool) -> list[float]:
    """Return the seconds per epoch and replicate of two seeds, measured in processes of their own."""
    command = [sys.executable, "-m", "benchmarks.peers", "--measure", who, case]
    if not at_once:
        return [seconds for seed in "01" for seconds in _results([[*command, seed]])]
    if who == "ours":
        found = _results([[*command, "0", "1"]])
    else:
        cores = sorted(os.sched_getaffinity(0))
        found = _results([["taskset", "--cpu-list", str(cores[-i]), *command, str(i)] for i in (0, 1)])
    return [seconds / 2 for seconds in found]


def _results(commands: list[list[str]]) -> list[float]:
    """Return what processes that run at once measured. Exits if one fails."""
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit(1)
    return [seconds for output in outputs for seconds in json.loads(output.splitlines()[-1])]


PEERS = {"ours": "tensorflow", "JAX": "jax", "PyTorch": "torch"}  # who, and the package
SEEDS = {False: "one after another", True: "at once"}


def table(middle: dict[tuple[str, bool, str], float]) -> str:
    """Return the Markdown table. middle: median seconds per epoch and replicate, by case, at once or not, and who."""
    lines = [
        "| variant | two seeds | ours, epochs/s | JAX, epochs/s | PyTorch, epochs/s | ours / JAX | ours / PyTorch |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, at_once in dict.fromkeys(key[:2] for key in middle):
        ours, jax, torch = (middle[case, at_once, who] for who in PEERS)
        rates = " | ".join(f"{1 / seconds:.2f}" for seconds in (ours, jax, torch))
        lines.append(f"| {case} | {SEEDS[at_once]} | {rates} | {jax / ours:.2f} | {torch / ours:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each measurement runs (default 3)")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/peers.md")
    parser.add_argument("--measure", nargs="+", metavar=("WHO", "CASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if missing := [who for who, package in PEERS.items() if not importlib.util.find_spec(package)]:
        sys.exit(f"{' and '.join(missing)} not installed: pip install '.[peers]'")
    if arguments.measure:
        who, case, *seeds = arguments.measure
        print(json.dumps(measure(who, CASES[case], [int(seed) for seed in seeds])))
        return
    found: dict[tuple[str, bool, str], list[float]] = {}
    for number in range(arguments.rounds):
        for case in CASES:
            for at_once in SEEDS:
                for who in PEERS:
                    found.setdefault((case, at_once, who), []).extend(run(who, case, at_once))
                    print(f"round {number + 1}/{arguments.rounds} {case} {SEEDS[at_once]} {who}", file=sys.stderr)
    rows = table({key: statistics.median(seconds) for key, seconds in found.items()})
    print(rows)
    if arguments.write:
        versions = ", ".join(f"{who} {version(package)}" for who, package in PEERS.items() if who != "ours")
        command = f"`python -m benchmarks.peers --rounds {arguments.rounds} --write`"
        about = f"{command} on {len(os.sched_getaffinity(0))} cores ({cpu()}), {versions}, medians over epochs."
        REPORT.write_text(f"# Training beside JAX and PyTorch\n\n{about}\n\n{rows}\n\n{NOTE}")


if __name__ == "__main__":
    main()
