"""Fetch the data set that params.yaml asks for: `python -m stages.download`.

Writes data/raw: four files in MNIST's IDX format, and dataset.json, which tells what they are.
"""

import time

from mnist_mlp import config, mnist
from stages import run


def main() -> None:
    start = time.monotonic()
    params = config.load()
    with mnist.replaced(mnist.RAW) as folder:
        dataset = mnist.download(params, folder)
        megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(
        f"{mnist.RAW}: {dataset['name']}, {dataset['train']:,} training and {dataset['test']:,} test images, "
        f"{megabytes:.1f} MB, {time.monotonic() - start:.1f} s"
    )


if __name__ == "__main__":
    run(main)
