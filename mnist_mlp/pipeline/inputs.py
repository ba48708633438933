"""What a stage depends on, as dvc.yaml lists it: at the stage's start against its end.

DVC digests dependencies once a command has ended. If one is edited meanwhile, dvc.lock vouches for outputs that other
code or other parameters made.
"""

import hashlib
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_mlp import paths
from mnist_mlp.errors import UserError

LARGE = 100_000  # bytes; a larger file is no code, and is known by its size and time of change


class Inputs:
    """The inputs of a stage of dvc.yaml as they are now. Raises UserError if dvc.yaml has no such stage."""

    def __init__(self, name: str):
        self.name = name
        group, _, key = name.partition("@")
        try:
            stage = YAML(typ="safe", pure=True).load(paths.PIPELINE.read_text(encoding="utf-8"))["stages"][group]
        except (OSError, YAMLError, KeyError, TypeError) as error:
            raise UserError(f"{paths.PIPELINE}: no stage {group} can be read there ({type(error).__name__})") from None
        stage, self.text = stage.get("do", stage), _text()
        values = {"key": key} | _items(stage.get("matrix", {}), key, self.text)
        self.keys = [re.sub(r"\$\{(.+?)\}", lambda found: values[found[1]], path) for path in stage.get("params", [])]
        self.files = {Path(path): _state(Path(path)) for path in stage.get("deps", [])}

    def check(self) -> None:
        """Raise UserError with one line per input that isn't as it was."""
        changed = [path.as_posix() for path, state in self.files.items() if _state(path) != state]
        if (text := _text()) != self.text:  # parsed no sooner: it takes as long as all else here
            before, values = parameters(self.keys, self.text), parameters(self.keys, text)
            changed += [f"{paths.PARAMS}: {key}" for key in self.keys if values.get(key) != before.get(key)]
        if changed:
            raise UserError(
                "\n".join(
                    f"{what}: changed while {self.name} ran; what it made is not recorded: run `dvc repro` again"
                    for what in changed
                )
            )


def parameters(keys: list[str], text: str | None = None) -> dict[str, Any]:
    """Return the values of dotted keys of params.yaml, or of `text`; none if it can't be read."""
    try:
        params = YAML(typ="safe", pure=True).load(_text() if text is None else text)
    except YAMLError:
        return {}
    return {key: _value(params, key) for key in keys}


def _items(matrix: dict[str, str], key: str, text: str) -> dict[str, str]:
    """Return what `item.<factor>` is in the stage of a matrix that DVC names by this key. text: params.yaml's."""
    read = parameters([place[2:-1] for place in matrix.values()], text)
    for levels in itertools.product(*(map(str, values or ()) for values in read.values())):
        if "-".join(levels) == key:
            return {f"item.{factor}": level for factor, level in zip(matrix, levels, strict=True)}
    return {}


def _text() -> str:
    """Return what params.yaml holds; nothing if it can't be read."""
    try:
        return paths.PARAMS.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _value(params: Any, key: str) -> Any:
    for part in key.split("."):
        params = params.get(part) if isinstance(params, dict) else None
    return params


def _state(path: Path) -> Any:
    if path.is_dir():
        return [(file.relative_to(path), _state(file)) for file in files_below(path)]
    if not path.is_file():
        return None
    found = path.stat()
    return (found.st_size, found.st_mtime_ns) if found.st_size > LARGE else hashlib.sha256(path.read_bytes()).digest()


def files_below(folder: Path) -> list[Path]:
    """Return what DVC takes a folder's content to be: all its files but those that .dvcignore names."""
    ignored = read_ignored()
    return sorted(path for path in folder.rglob("*") if not ignored(path) and path.is_file())


def read_ignored() -> Callable[[Path], bool]:
    """Return the function that says whether .dvcignore names a path, or a folder above it."""
    try:
        spec = GitIgnoreSpec.from_lines(paths.IGNORED.read_text(encoding="utf-8").splitlines())
    except OSError:
        spec = GitIgnoreSpec([])
    return lambda path: spec.match_file(path)
