"""Remove the models of variants that params.yaml no longer has.

evaluate depends on models/ as a whole. What a renamed or removed variant left there would be in the digest that
dvc.lock has, and no clone could give it.
"""

import shutil

from mnist_mlp import paths
from mnist_mlp.config import Params
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.digests import is_cached
from mnist_mlp.pipeline.inputs import read_ignored


def remove(params: Params) -> None:
    """Remove what DVC's cache keeps, with one line each.

    What .dvcignore names stays: of trainings that may run, or of the system. Raises UserError for anything
    else beside the models: a person put it there, and it must be moved."""
    owned, ignored = {variant.folder for variant in params.variants}, read_ignored()
    for study in sorted(path for path in paths.MODELS.glob("*") if not ignored(path)):
        for path in sorted(study.iterdir()) if study.is_dir() else [study]:
            if path in owned or ignored(path):
                continue
            if path.is_dir() and not path.is_symlink() and is_cached(path):
                shutil.rmtree(path)
                print(f"{path}: no variant of {paths.PARAMS}, so it is removed; DVC's cache keeps it")
            else:
                raise UserError(
                    f"{path}: no variant of {paths.PARAMS}, and not in DVC's cache; evaluate depends on its folder, "
                    f"and no clone has it; move it out of {paths.MODELS}/, or remove it: rm -r {path}"
                )
        if study.is_dir() and not any(study.iterdir()):
            study.rmdir()
