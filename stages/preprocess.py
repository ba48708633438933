"""Scale the images in both studies' ways.

Reads data/raw, writes data/prepared: pixels and unit_columns (float32 [n, height, width]) and labels (uint8 [n]), each
with train.npy and test.npy, and dataset.json, which tells what they are.
"""

from mnist_mlp.pipeline.stage import run


def main() -> None:
    import shutil
    import time

    import numpy as np

    from mnist_mlp import files, paths
    from mnist_mlp.data import datasets
    from mnist_mlp.data.scaling import SCALINGS

    start = time.monotonic()
    splits = dict(zip(("train", "test"), datasets.load(paths.RAW), strict=True))
    with files.replaced_folder(paths.PREPARED) as folder:
        for split, (images, labels) in splits.items():
            arrays = {"labels": labels} | {name: scale(images) for name, scale in SCALINGS.items()}
            for name, array in arrays.items():
                (folder / name).mkdir(exist_ok=True)
                np.save(folder / name / f"{split}.npy", array)
        shutil.copyfile(paths.RAW / paths.DATASET.name, folder / paths.DATASET.name)
    train, test = (len(labels) for _, labels in splits.values())
    print(f"{paths.PREPARED}: {train:,} training and {test:,} test images, {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    run(main)
