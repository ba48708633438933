"""Remove the models of variants that params.yaml no longer has.

evaluate depends on models/ as a whole. What a renamed or removed variant left there would be in the digest that
dvc.lock has, and no clone could give it.
"""

import os
import shlex
import shutil
from pathlib import Path

from mnist_mlp import paths
from mnist_mlp.config import Params
from mnist_mlp.errors import UserError, printable
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
                    f"{printable(str(path))}: no variant of {paths.PARAMS}, and not in DVC's cache; evaluate depends "
                    f"on its folder, and no clone has it; move it out of {paths.MODELS}/, or remove it: "
                    f"{removal(path)}"
                )
        if study.is_dir() and not any(study.iterdir()):
            study.rmdir()


def removal(path: Path) -> str:
    """Return the command, on one line, that removes a file or folder and nothing else, whatever its name holds."""
    text = str(path)
    if text.isprintable():
        return f"rm -r {shlex.quote(text)}"
    signs = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return f"rm -r $'{''.join(signs)}'"
