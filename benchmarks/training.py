"""Our training against plain `model.fit`, side by side on the same data: `python -m benchmarks.training [--write]`.

For five variants, in turn and in processes of their own: `fit`, the notebooks' own call (all cores, a progress bar,
validation after every epoch), and `ours`, two replicates side by side. Beside them `blas`, the matrix products of one
replicate's epoch alone (NumPy's BLAS on one core). Medians over rounds; the first epoch, which compiles, is left out.
--write keeps the table in benchmarks/training.md. Needs data/prepared (`dvc repro preprocess`).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from mnist_mlp.machine import cpu
from mnist_mlp.training.environment import CORES

CASES = {
    "model2": ("architectures", "model2"),
    "model5": ("architectures", "model5"),
    "none/relu": ("techniques", "none-relu"),
    "dropout/relu": ("techniques", "dropout-relu"),
    "batchnorm/relu": ("techniques", "batchnorm-relu"),
}
EPOCHS = 4
NOTE = """\
Epochs of one replicate, of two side by side. The products' share: what its matrix products alone take, with all 784
pixels, in NumPy's BLAS on one core, of the two's time; above 100 % where pixels that no image lights, or few do, are
left out. How many times quicker than `model.fit` training can be depends on the CPU: the slower its products, the more
they hide of what `model.fit` does besides. On a machine shared with others it depends on the hour, too, for what
`model.fit` does besides suffers more than products do.
"""


def measure_ours(study: str, name: str) -> list[float]:
    """Seconds an epoch of two replicates side by side, per replicate."""
    from mnist_mlp import config
    from mnist_mlp.training import splits, trainer

    variant = config.load().variant(study, name).model_copy(update={"epochs": EPOCHS, "seeds": (0, 1)})
    ends: dict[int, list[float]] = {}
    trainer.train(variant, splits.load(variant), lambda seed, *_: ends.setdefault(seed, []).append(time.perf_counter()))
    pairs = [[b - a for a, b in pairwise(times)] for times in ends.values()]
    return [max(pair) / len(pairs) for pair in zip(*pairs, strict=True)]


def measure_fit(study: str, name: str) -> list[float]:
    """Seconds an epoch of `model.fit` as the notebooks call it, on TensorFlow's own threads."""
    import numpy as np

    from mnist_mlp import config
    from mnist_mlp.training import networks
    from mnist_mlp.training.backend import keras

    variant = config.load().variant(study, name)
    (images, labels), test = (
        [np.load(Path("data/prepared", part, f"{split}.npy")) for part in (variant.scaling, "labels")]
        for split in ("train", "test")
    )
    model = networks.build(variant, 0, images.shape[1:], int(labels.max()) + 1)
    if study == "architectures":
        labels, test[1] = keras.utils.to_categorical(labels), keras.utils.to_categorical(test[1])
        loss, validation = "categorical_crossentropy", {"validation_data": test}
    else:
        loss, validation = "sparse_categorical_crossentropy", {"validation_split": 0.1}
    model.compile(variant.optimizer, loss, metrics=["accuracy"])
    ends: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))
    model.fit(images, labels, variant.batch_size, EPOCHS, verbose=1, callbacks=[clock], **validation)
    return [b - a for a, b in pairwise(ends)]


def measure_blas(study: str, name: str) -> list[float]:
    """Seconds that one replicate's matrix products alone take on one core: an epoch's, and its validation's."""
    import numpy as np

    from mnist_mlp import config

    variant = config.load().variant(study, name)
    widths = [784, *(layer.units for layer in variant.layers if layer.kind == "dense"), 10]
    kinds = [layer.kind for layer in variant.layers]
    first = kinds.index("batch_norm") < kinds.index("dense") if "batch_norm" in kinds else False
    trained, scored = (54_000, 6_000) if variant.validation == "held_out" else (60_000, 10_000)
    weights = [np.random.rand(a, b).astype(np.float32) for a, b in pairwise(widths)]

    def forward(size: int) -> list:
        return [np.random.rand(size, width).astype(np.float32) for width in widths]

    seconds = []
    batch, chunk = forward(variant.batch_size), forward(1000)
    for _ in range(EPOCHS - 1):
        start = time.perf_counter()
        for _ in range(trained // variant.batch_size):
            for i, kernel in enumerate(weights):
                batch[i] @ kernel
                batch[i].T @ batch[i + 1]
                if i or first:  # batch norm ahead of the first layer needs its gradient
                    batch[i + 1] @ kernel.T
        for _ in range(scored // 1000):
            for i, kernel in enumerate(weights):
                chunk[i] @ kernel
        seconds.append(time.perf_counter() - start)
    return seconds


def table(rounds: int) -> str:
    """The Markdown table. Each round runs every case's three measurements in turn."""
    seconds: dict[tuple[str, str], list[float]] = {}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    alone = environment | {"OPENBLAS_NUM_THREADS": "1"}  # with the kernels that OpenBLAS has for this very CPU
    for number in range(rounds):
        for case, names in CASES.items():
            for what in ("fit", "ours", "blas"):
                command = [sys.executable, "-m", "benchmarks.training", "--measure", what, *names]
                found = subprocess.run(
                    command, check=True, capture_output=True, text=True,
                    env=alone if what == "blas" else None,
                )  # fmt: skip
                seconds.setdefault((case, what), []).extend(json.loads(found.stdout.splitlines()[-1]))
                print(f"round {number + 1}/{rounds} {case} {what}", file=sys.stderr)
    middle = {key: statistics.median(values) for key, values in seconds.items()}
    lines = [
        "| variant | `model.fit`, epochs/s | ours, epochs/s | ours / `model.fit` | products' share | to none/relu |",
        "|---|---|---|---|---|---|",
    ]
    for case in CASES:
        fit, ours, blas = (middle[case, what] for what in ("fit", "ours", "blas"))
        against = f"{ours / middle['none/relu', 'ours']:.2f}" if "/" in case else ""
        lines.append(
            f"| {case} | {1 / fit:.2f} | {1 / ours:.2f} | {fit / ours:.1f} | {blas / 2 / ours:.0%} | {against} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each measurement runs (default 3)")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/training.md")
    parser.add_argument("--measure", nargs=3, metavar=("WHAT", "STUDY", "VARIANT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, *names = arguments.measure
        print(json.dumps({"fit": measure_fit, "ours": measure_ours, "blas": measure_blas}[what](*names)))
        return
    found = table(arguments.rounds)
    print(found)
    if arguments.write:
        command = f"python -m benchmarks.training --rounds {arguments.rounds} --write"
        about = f"`{command}` on {CORES} cores ({cpu()}), medians over epochs.\n\n"
        Path("benchmarks/training.md").write_text("# Training against `model.fit`\n\n" + about + found + "\n\n" + NOTE)


if __name__ == "__main__":
    main()
