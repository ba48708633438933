"""Train one variant's replicates and log them to MLflow.

Reads data/prepared, writes models/STUDY/VARIANT (mnist_mlp/training/outputs.py). Takes the replicates that were trained
before from .cache/replicates (mnist_mlp/training/cache.py), unless MNIST_MLP_FRESH=1. Nothing in this file changes an
output, so it is no dependency of the stage.
"""

from typing import Any

from mnist_mlp.pipeline.stage import check_inputs, run


def main(study: str, variant: str) -> None:
    import os
    import subprocess

    from mnist_mlp import paths

    try:
        _train(study, variant)
    except Exception:
        folder = paths.MODELS / study / variant
        if "DVC_STAGE" in os.environ and not folder.exists():  # DVC deleted the model before it called us: back with it
            subprocess.run(["dvc", "checkout", "--quiet", str(folder)], stderr=subprocess.DEVNULL, check=False)
        raise


def _train(study: str, name: str) -> None:
    import os
    import shutil
    import sys
    from importlib.metadata import version
    from pathlib import Path

    from mnist_mlp import config, files, paths
    from mnist_mlp.errors import UserError

    params = config.load()
    variant = params.variant(study, name)
    for package, wanted in params.software.items():
        if version(package) != wanted:
            raise UserError(
                f"params.yaml: software.{package}: found {wanted!r}, but {version(package)} is installed; write "
                "what is installed (every variant trains again), or set up again with `make setup`"
            )
    dataset = files.read_json(paths.DATASET, "name", "train", "test", "sha256")

    from mnist_mlp.machine import cpu
    from mnist_mlp.tracking import metadata, runs
    from mnist_mlp.tracking.progress import Progress
    from mnist_mlp.training import cache, outputs, replicates, splits, trainer

    interval = os.environ.get("MNIST_MLP_CHECKPOINT_SECONDS", str(replicates.CHECKPOINT_SECONDS))
    try:
        seconds = float(interval)
    except ValueError:
        raise UserError(f"MNIST_MLP_CHECKPOINT_SECONDS: found {interval!r}; allowed: a number; unset it") from None
    fresh = os.environ.get("MNIST_MLP_FRESH", "")
    if fresh not in ("", "0", "1"):
        raise UserError(f"MNIST_MLP_FRESH: found {fresh!r}; allowed: 1 to train anew; unset it")
    images = splits.load(variant)
    kept = cache.Cache(Path(os.environ.get("DVC_ROOT", ""), paths.REPLICATES), variant, images, params.software)
    checkpoints = paths.CHECKPOINTS / variant.study / variant.name
    own = checkpoints / metadata.fingerprint(variant, dataset, params.software | {"cpu": cpu()})
    for other in set(checkpoints.glob("*")) - {own}:  # of other parameters, data or code
        shutil.rmtree(other, ignore_errors=True)
    found = [kept.read(seed) for seed in variant.seeds] if fresh != "1" else []
    finished = {replicate.seed: replicate for replicate in found if replicate}
    if any(own.glob("seed-*")) and len(finished) < len(variant.seeds):
        print(f"{variant.label}  goes on from where it was interrupted", flush=True)
    with runs.training(variant, dataset, params.software, own / "run") as log, Progress(variant) as progress:
        trackers: list[replicates.Progress] = [progress, log.epoch]  # told seed, epoch and the row of outputs.CURVES

        def report(seed: int, epoch: int, row: Any) -> None:
            for tracker in trackers:
                tracker(seed, epoch, row)

        for replicate in finished.values():
            progress.take(replicate)
            log.take(replicate)
        trained = trainer.train(variant, images, report, own, seconds, finished=finished)
        check_inputs()
        outputs.write(trained, variant.folder, images.test[0])
        progress.close()
        log(variant.folder, {replicate.seed: replicate.origin for replicate in trained})
    shutil.rmtree(checkpoints, ignore_errors=True)
    try:
        for replicate in trained:
            if replicate.origin is None:
                kept.write(replicate, log.run_id)
    except OSError as error:
        print(
            f"warning: {kept.folder}: {error.strerror or error}; {variant.label} is not kept for other trainings",
            file=sys.stderr,
        )


if __name__ == "__main__":
    run(main, missing="start")
