"""What tracking costs a training: `python -m benchmarks.tracking [--rounds N] [--epochs N] [--write]`.

Trains the candidate in turns without and with its epochs logged to MLflow, as the pipeline does, in a scratch folder
with a store of its own. The seconds are those of training, medians over rounds; those of a run's begin and end, which
don't depend on how long a training is, are told apart. --write keeps the table in benchmarks/tracking.md. Needs
data/prepared (`dvc repro preprocess`).
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mnist_mlp import config, files, paths
from mnist_mlp.machine import cpu
from mnist_mlp.tracking import runs
from mnist_mlp.training import outputs, splits, trainer

REPORT = Path("benchmarks/tracking.md")
TABLE = """\
# What tracking costs

`python -m benchmarks.tracking --rounds {rounds} --epochs {epochs} --write` on {cores} cores ({cpu}).
The candidate, {epochs} epochs, {seeds} seeds, in turns without and with its epochs in MLflow; medians over rounds.

| what | seconds |
| --- | --- |
| training, not tracked | {without:.2f} |
| training, each epoch logged | {tracked:.2f} |
| the run's begin and end, however long the training | {ends:.2f} |

With tracking, a training takes {ratio:.3f} times as long (median of the rounds' ratios, {least:.3f} to {most:.3f}).
"""


def measure(variant: config.Variant, images: splits.Splits, dataset: dict, software: dict) -> dict[str, float]:
    """Return the seconds of a training without and with tracking, and those of its run's begin and end."""
    began = time.monotonic()
    trainer.train(variant, images)
    plain = time.monotonic()
    with runs.training(variant, dataset, software) as log:
        begun = time.monotonic()
        trained = trainer.train(variant, images, log.epoch)
        log.close()
        tracked = time.monotonic()
        outputs.write(trained, variant.folder, images.test[0])
        written = time.monotonic()
        log(variant.folder)
    ended = time.monotonic()
    return {"without": plain - began, "tracked": tracked - begun, "ends": begun - plain + ended - written}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--write", action="store_true", help=f"keep the table in {REPORT}")
    arguments = parser.parse_args()
    params = config.load()
    variant = params.candidate.model_copy(update={"epochs": arguments.epochs})
    images, dataset = splits.load(variant), files.read_json(paths.DATASET)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        found = []
        for number in range(arguments.rounds + 1):
            one = measure(variant, images, dataset, dict(params.software))
            found += [one] if number else []  # the first is slower: what it loads stays
            print(f"round {number}/{arguments.rounds}", file=sys.stderr)
    seconds = {name: statistics.median(one[name] for one in found) for name in found[0]}
    ratios = sorted(one["tracked"] / one["without"] for one in found)
    table = TABLE.format(
        rounds=arguments.rounds, epochs=arguments.epochs, seeds=len(variant.seeds), cores=os.cpu_count(), cpu=cpu(),
        ratio=statistics.median(ratios), least=ratios[0], most=ratios[-1], **seconds,
    )  # fmt: skip
    print(table)
    if arguments.write:
        REPORT.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
