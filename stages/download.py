"""Fetch the data set that params.yaml asks for.

Writes data/raw: four files in MNIST's IDX format, and dataset.json, which tells what they are.
"""

from mnist_mlp.pipeline.stage import run


def main() -> None:
    import time

    from mnist_mlp import config, files, paths
    from mnist_mlp.data import datasets

    start = time.monotonic()
    params = config.load()
    with files.replaced_folder(paths.RAW) as folder:
        dataset = datasets.download(params, folder)
        files.write(folder / paths.DATASET.name, dataset)
        megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(
        f"{paths.RAW}: {dataset['name']}, {dataset['train']:,} training and {dataset['test']:,} test images, "
        f"{megabytes:.1f} MB, {time.monotonic() - start:.1f} s"
    )


if __name__ == "__main__":
    run(main)
