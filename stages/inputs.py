"""What a stage's outputs follow from, as dvc.yaml lists it, at the stage's start against its end.

DVC reads dependencies once a command has ended. Were one edited meanwhile, dvc.lock would vouch for outputs that other
code or other parameters made.
"""

import hashlib
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_mlp import UserError, config
from mnist_mlp.locked import files_below

PIPELINE = Path("dvc.yaml")
LARGE = 100_000  # bytes; what is larger, no code, is known by its size and time of change


class Inputs:
    """The inputs of a stage of dvc.yaml as they are now. Raises UserError where dvc.yaml has no such stage."""

    def __init__(self, name: str):
        self.name = name
        group, _, key = name.partition("@")
        try:
            stage = YAML(typ="safe", pure=True).load(PIPELINE.read_text(encoding="utf-8"))["stages"][group]
        except (OSError, YAMLError, KeyError, TypeError) as error:
            raise UserError(f"{PIPELINE}: no stage {group} can be read there ({type(error).__name__})") from None
        stage = stage.get("do", stage)
        self.keys = [path.replace("${key}", key) for path in stage.get("params", [])]
        self.files = {Path(path): _state(Path(path)) for path in stage.get("deps", [])}
        self.text = _text()

    def check(self) -> None:
        """Raises UserError with a line for each input that isn't as it was."""
        changed = [path.as_posix() for path, state in self.files.items() if _state(path) != state]
        if (text := _text()) != self.text:  # parsed no sooner: it takes as long as all else here
            before, values = parameters(self.keys, self.text), parameters(self.keys, text)
            changed += [f"{config.PARAMS}: {key}" for key in self.keys if values.get(key) != before.get(key)]
        if changed:
            raise UserError(
                "\n".join(
                    f"{what}: changed while {self.name} ran; what it made is not recorded: run `dvc repro` again"
                    for what in changed
                )
            )


def parameters(keys: list[str], text: str | None = None) -> dict[str, Any]:
    """The values of dotted keys of params.yaml, as written there or in `text`; none where it can't be read."""
    try:
        params = YAML(typ="safe", pure=True).load(_text() if text is None else text)
    except YAMLError:
        return {}
    return {key: _value(params, key) for key in keys}


def _text() -> str:
    """What params.yaml holds; nothing where it can't be read."""
    try:
        return config.PARAMS.read_text(encoding="utf-8")
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
