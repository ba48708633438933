"""Train one variant's replicates and log them to MLflow: `python -m stages.train STUDY VARIANT`.

Reads data/prepared, writes models/STUDY/VARIANT (see mnist_mlp.training.saving.write). Nothing in this file changes an
output, so it is no dependency of the stage.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from mnist_mlp import UserError, config
from mnist_mlp.description import cpu, fingerprint
from mnist_mlp.progress import Progress
from mnist_mlp.training import data, saving
from stages import check_inputs, run

CHECKPOINTS = Path("models/.checkpoints")


def main() -> None:
    if len(sys.argv) != 3:
        raise UserError("usage: python -m stages.train STUDY VARIANT, such as `architectures model8`")
    try:
        _train()
    except UserError:
        _take_back(Path("models", *sys.argv[1:]))
        raise


def _take_back(folder: Path) -> None:
    """DVC deleted the model that was here before it called us: have it from the cache again."""
    if "DVC_STAGE" in os.environ and not folder.exists():
        subprocess.run(["dvc", "checkout", "--quiet", str(folder)], stderr=subprocess.DEVNULL, check=False)


def _train() -> None:
    params = config.load()
    variant = params.variant(*sys.argv[1:])
    for package, wanted in params.software.items():
        if version(package) != wanted:
            raise UserError(
                f"params.yaml: software.{package}: found {wanted!r}, but {version(package)} is installed; write "
                "what is installed (every variant trains again), or set up again with `make setup`"
            )
    try:
        dataset = json.loads(Path("data/raw/dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"data/raw/dataset.json: {error}; run `dvc repro download`") from None

    from mnist_mlp import tracking
    from mnist_mlp.training import trainer  # seconds: TensorFlow

    images = data.load(variant)
    checkpoints = CHECKPOINTS / f"{variant.study}-{variant.name}"
    this = checkpoints / fingerprint(variant, dataset, params.software | {"cpu": cpu()})
    for other in set(checkpoints.glob("*")) - {this}:  # of other parameters, data or code
        shutil.rmtree(other, ignore_errors=True)
    if this.exists():
        print(f"{variant.study}/{variant.name}  goes on from where it was interrupted", flush=True)
    with tracking.training(variant, dataset, params.software) as log, Progress(variant) as progress:
        replicates = trainer.train(variant, images, progress, this)
        check_inputs()
        saving.write(variant, replicates, variant.folder)
        progress.close()
        log(variant.folder)
    shutil.rmtree(checkpoints, ignore_errors=True)


if __name__ == "__main__":
    run(main)
