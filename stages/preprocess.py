"""Scale the images in both studies' ways: `python -m stages.preprocess`.

Reads data/raw, writes data/prepared: pixels and unit_columns (float32 [n, 28, 28]) and labels (uint8 [n]), each with
train.npy and test.npy.
"""

import time

import numpy as np

from mnist_mlp import mnist
from stages import run


def main() -> None:
    start = time.monotonic()
    splits = dict(zip(("train", "test"), mnist.load(mnist.RAW), strict=True))
    with mnist.replaced(mnist.PREPARED) as folder:
        for name in ("pixels", "unit_columns", "labels"):
            (folder / name).mkdir()
        for split, (images, labels) in splits.items():
            np.save(folder / "pixels" / f"{split}.npy", mnist.pixels(images))
            np.save(folder / "unit_columns" / f"{split}.npy", mnist.unit_columns(images))
            np.save(folder / "labels" / f"{split}.npy", labels)
    train, test = (len(labels) for _, labels in splits.values())
    print(f"{mnist.PREPARED}: {train:,} training and {test:,} test images, {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    run(main)
