"""Train the variants of a chunk's table one after another, each as its own stage would: benchmarks/chunks.py runs this.

Reads data/prepared and sweep/<chunk>.json (settings by variant's name), writes models/sweep-<chunk>/<variant>.
"""

from mnist_mlp.pipeline.stage import check_inputs, run

EVERY = 20  # variants between two lines


def main(chunk: str) -> None:
    import time
    from pathlib import Path

    import psutil

    from mnist_mlp import config, files, paths
    from mnist_mlp.config import Variant
    from mnist_mlp.tracking import runs
    from mnist_mlp.training import cache, outputs, splits, trainer

    params, dataset = config.load(), files.read_json(paths.DATASET)
    shared = dict(params.studies["architectures"].protocol) | {"activation": "relu", "optimizer": "adam"}
    table = files.read_json(Path("sweep", f"{chunk}.json"))
    began = time.monotonic()
    for number, (name, settings) in enumerate(table.items(), start=1):
        variant = Variant(study=f"sweep-{chunk}", name=name, **shared, **settings)
        images = splits.load(variant)
        kept = cache.Cache(paths.REPLICATES, variant, images, params.software)
        with runs.training(variant, dataset, params.software) as log:
            found = [kept.read(seed) for seed in variant.seeds]
            finished = {replicate.seed: replicate for replicate in found if replicate}
            trained = trainer.train(variant, images, log.epoch, finished=finished)
            outputs.write(trained, variant.folder, images.test[0])
            log(variant.folder, {replicate.seed: replicate.origin for replicate in trained})
        for replicate in trained:
            if replicate.origin is None:
                kept.write(replicate, log.run_id)
        if number % EVERY == 0 or number == len(table):
            seconds, memory = time.monotonic() - began, psutil.Process().memory_info().rss
            print(f"{number} of {len(table)} in {seconds:.1f} s, {memory // 10**6} MB", flush=True)
    check_inputs()


if __name__ == "__main__":
    run(main, missing="start")
