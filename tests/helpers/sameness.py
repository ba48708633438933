"""Train one network for the test that bytes don't depend on the machine.

    python -m tests.helpers.sameness CORES FOLDER NAME=SEED,SEED ...

CORES is the number of cores that the library is told of. Each NAME is a training of these seeds, written to
FOLDER/NAME/models/candidate/candidate.
"""

import os
import sys
from pathlib import Path


def main(cores: str, folder: str, *runs: str) -> None:
    os.sched_getaffinity = lambda process: set(range(int(cores)))  # before the library asks

    from mnist_mlp.training import outputs, trainer
    from mnist_mlp.training.compiled.epoch import pixels_for
    from tests.helpers.images import sparse_splits
    from tests.helpers.variants import make_variant

    # All that has an order of its own: batch normalization of images and of activations, dropout, pixels that few
    # images light, and products large enough to be split over any number of threads.
    first, second = [{"dropout": 0.2}, "batch_norm", "flatten", {"dense": 512}], ["batch_norm", {"dropout": 0.5}]
    splits = sparse_splits(1000)
    for run in runs:
        name, _, seeds = run.partition("=")
        variant = make_variant(
            layers=[*first, *second, {"dense": 128}], batch_size=128, seeds=[int(seed) for seed in seeds.split(",")]
        )
        assert pixels_for(variant, splits).rare
        outputs.write(trainer.train(variant, splits), Path(folder, name) / variant.folder, splits.test[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
