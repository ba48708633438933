"""Remove the models of variants that params.yaml no longer has.

evaluate depends on models/<study> as a whole. What a renamed or removed variant left there would be in the digest that
dvc.lock has, and no clone could give it.
"""

import shutil
from pathlib import Path

from mnist_mlp import paths
from mnist_mlp.config import Params
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.digests import is_cached


def remove(params: Params) -> None:
    """Remove what DVC's cache keeps, with one line each.

    Raises UserError for anything else beside a study's models: a person put it there, and it must be moved."""
    owned = {variant.folder for variant in params.variants}
    studies = {folder.parent for folder in owned}
    for path in sorted(paths.MODELS.glob("*/*")):
        if path in owned or path.parent == paths.CHAMPION or _unfinished(path, owned):
            continue
        if path.is_dir() and not path.is_symlink() and is_cached(path):
            shutil.rmtree(path)
            print(f"{path}: no variant of {paths.PARAMS}, so it is removed; DVC's cache keeps it")
        elif path.parent in studies:
            raise UserError(
                f"{path}: no variant of {paths.PARAMS}, and not in DVC's cache; evaluate depends on its folder, and no "
                f"clone has it; move it out of {paths.MODELS}/, or remove it: rm -r {path}"
            )


def _unfinished(path: Path, owned: set[Path]) -> bool:
    """Return whether a path is of a training that may run: a checkpoint, a scratch folder; or a hidden file."""
    if path.parent.name.startswith("."):
        return True
    return path.name.startswith(".") and (
        path.is_file() or any(path.name.startswith(f".{own.name}-") for own in owned if own.parent == path.parent)
    )
