"""Make a data set of your own images, and enter it in params.yaml.

SOURCE is one of
  a folder of PNGs: SOURCE/train/CLASS/*.png and SOURCE/test/CLASS/*.png. The classes are numbered 0, 1, ... in the
      order of their names.
  an NPZ file of the arrays x_train, y_train, x_test and y_test, as Keras's mnist.npz holds them: images uint8
      [n, height, width], labels whole numbers [n].
  a folder of four IDX files, as MNIST has them, plain or as .gz. They stay where they are.

Images are grey and all of one size, square or not; classes are numbered from 0 without gaps, 2 to 256 of them. At least
100 images train and 10 test.

examples:
  mnist-mlp dataset ../shapes --name shapes --add
  mnist-mlp dataset ../shapes.npz --name shapes --to ../shapes-idx
"""

import argparse
import io
import os
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mnist_mlp import config, files, paths
from mnist_mlp.config.choices import IDX_FILES, SAMPLE
from mnist_mlp.config.studies import NAME
from mnist_mlp.data import conversion, datasets, idx
from mnist_mlp.errors import UserError, printable

# The pipeline's own folders: stages replace some whole; others hold code, or what git, DVC and MLflow keep.
OWN = (paths.RAW, paths.PREPARED, paths.MODELS, paths.CHAMPION, paths.REPORTS, paths.PUBLISHED.parent,
       *map(Path, ("mnist_mlp", "stages", "mlruns", ".cache", ".dvc", ".git", ".venv")))  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the source, the name, the folder, and whether params.yaml is changed."""
    parser.add_argument("source", metavar="SOURCE", help="a folder of PNGs, an NPZ file, or a folder of IDX files")
    parser.add_argument("--name", required=True, help="the data set's name: a-z, 0-9, _ and -")
    parser.add_argument("--to", metavar="FOLDER", help="where the four IDX files are written (default: data/NAME)")
    parser.add_argument("--add", action="store_true", help="add the entry to params.yaml instead of printing it")


def main(source: str, name: str, to: str | None, add: bool) -> None:
    """Write the IDX files, whole or not at all, and print or add the entry. Raises UserError for what can't work."""
    if not re.fullmatch(NAME, name) or name in ("auto", SAMPLE):
        raise UserError(
            f"--name: found {name!r}; allowed: a-z, 0-9, _ and -, the first a letter or digit, and neither auto nor "
            f"{SAMPLE}; choose another one"
        )
    if add and name in config.load().datasets:
        raise UserError(
            f"{paths.PARAMS}: found an entry {name} under datasets; allowed: a new name; choose another --name, or "
            "take the old entry away"
        )
    path, classes = Path(source).expanduser(), None
    if path.is_dir() and conversion.holds_idx(path):
        if to is not None:
            raise UserError(
                f"--to: found {to}; allowed: none, for the IDX files of {source} stay there; leave --to out"
            )
        folder = path
        if _is_own(folder):
            raise UserError(
                f"{folder}: found a folder of the pipeline; allowed: any other, for a data set that replaces it would "
                "remove yours; copy the files to another one"
            )
        arrays, contents = conversion.from_idx(path)
    else:
        folder = Path(to or f"data/{name}").expanduser()
        _check_target(folder)
        if path.is_dir():
            arrays, classes = conversion.from_pngs(path)
        elif path.exists():
            arrays = conversion.from_npz(path)
        else:
            raise UserError(
                f"{source}: not there; allowed: a folder of PNGs, an NPZ file, or a folder of IDX files; see "
                "`mnist-mlp dataset --help`"
            )
        contents = [idx.content(array) for array in arrays]
        with files.replaced_folder(folder) as new:
            for file, content in zip(IDX_FILES, contents, strict=True):
                (new / file).write_bytes(content)
    entry = {"sources": [_location(folder)], "files": datasets.described(contents)}
    train, _, test, _ = arrays
    named = classes or [str(label) for label in range(int(arrays[1].max()) + 1)]
    listed = ", ".join(f"{i} {one}" if classes else one for i, one in enumerate(named))
    size = f"{train.shape[1]} x {train.shape[2]}"
    print(
        printable(
            f"{folder}: {len(train):,} training and {len(test):,} test images of {size}, {len(named)} classes: {listed}"
        )
    )
    if add:
        _add(name, entry)
        print(f"{paths.PARAMS}: {name} added under datasets")
    else:
        print(f"to enter it, paste this below `datasets:` in {paths.PARAMS} (or say --add):\n")
        print("".join(f"  {line}" for line in _yaml({name: entry}).splitlines(keepends=True)))
    print(f"next: `dvc exp run -S dataset={name}` trains all variants on it")


def _check_target(folder: Path) -> None:
    """Raise UserError if a folder isn't one to replace: it holds other files, or is the pipeline's own."""
    if _is_own(folder):
        raise UserError(f"{folder}: found a folder of the pipeline; allowed: any other; choose another --to")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: found a file; allowed: a new folder; choose another --to")
    if folder.is_dir() and (other := sorted({path.name for path in folder.iterdir()} - set(IDX_FILES))):
        raise UserError(
            f"{folder}: found {other[0]}; allowed: a new or empty folder, or IDX files; choose another --to"
        )


def _is_own(folder: Path) -> bool:
    """Return whether a folder is one of the pipeline's, or lies in one."""
    return any(folder.resolve().is_relative_to(own.resolve()) for own in OWN)


def _location(folder: Path) -> str:
    """Return a folder as params.yaml names it: from here if it is below, else as given."""
    if folder.is_absolute() and folder.resolve().is_relative_to(Path.cwd()):
        folder = folder.resolve().relative_to(Path.cwd())
    return Path(os.path.normpath(folder)).as_posix()


def _add(name: str, entry: dict[str, Any]) -> None:
    """Add an entry to params.yaml, ahead of the others: a comment behind the last one stays where it is."""
    params = _dvc_yaml().load(paths.PARAMS.read_text(encoding="utf-8"))
    params["datasets"].insert(0, name, entry)
    files.write(paths.PARAMS.resolve(), _yaml(params))  # a link stays one


def _yaml(content: Any) -> str:
    text = io.StringIO()
    _dvc_yaml().dump(content, text)
    return text.getvalue()


def _dvc_yaml() -> YAML:
    """Return a reader and writer of YAML with the settings of DVC, whose `-S` writes params.yaml too."""
    yaml = YAML()
    yaml.default_flow_style = False
    return yaml
