"""What dvc.lock vouches for: that outputs follow from the parameters, code and data that are here."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_mlp import UserError, config
from mnist_mlp.config import Params, Variant
from mnist_mlp.description import CODE
from mnist_mlp.entries import LOCK

_ODD = (ValueError, KeyError, TypeError)  # what a file of another form raises, when read


class Lock:
    """dvc.lock in the current folder; empty where there is none. Raises UserError where it can't be read."""

    def __init__(self) -> None:
        try:
            text = LOCK.read_text(encoding="utf-8")
            if not text.endswith("\n"):  # cut within a line it may be YAML still, but then DVC may refuse it
                raise ValueError("ends within a line")
            self.stages = YAML(typ="safe", pure=True).load(text)["stages"]
            self.written = {out["path"]: out.get("md5") for e in self.stages.values() for out in e.get("outs", [])}
        except FileNotFoundError:
            self.stages, self.written = {}, {}
        except (YAMLError, AttributeError, *_ODD) as error:
            text = " ".join(str(error).split())
            raise UserError(f"{LOCK}: can't be read: {text}; run `git checkout {LOCK}`") from None

    def outputs(self, stage: str) -> list[str]:
        return [out["path"] for out in self.stages.get(stage, {}).get("outs", [])]

    def difference(self, variant: Variant, params: Params, stage: str, reported: bool) -> str | None:
        """What a variant's training depends on, and isn't as it was; reported: nor may it be for the reports."""
        if stage not in self.stages:
            return f"{LOCK} has no {stage}"
        if self._trained(variant, stage) != (variant, params.software):
            return "params.yaml changed since it was trained"
        if reported and not self._evaluated():
            return "params.yaml changed since it was evaluated"
        for dependency in self.stages[stage]["deps"]:
            path = Path(dependency["path"])
            if dependency["md5"] != (md5(path) if path == CODE else self.written.get(dependency["path"])):
                return f"{path} changed since it was trained"
        return None

    def changed(self, paths: Iterable[Path]) -> str | None:
        """Which of some outputs isn't as its stage left it."""
        differing = (path for path in paths if md5(path) != self.written.get(path.as_posix()))
        return next((f"{path} isn't what {LOCK} has" for path in differing), None)

    def _trained(self, variant: Variant, stage: str) -> tuple[Variant, dict[str, str]] | None:
        """The parameters that a variant was last trained with, and the software."""
        try:
            values = dict(self.stages[stage]["params"][str(config.PARAMS)])
            software = values.pop("software")
            if variant.study != "candidate":
                values = values[f"{variant.study}.variants.{variant.name}"] | values[f"{variant.study}.protocol"]
            return Variant(study=variant.study, name=variant.name, **values), software
        except _ODD:
            return None

    def _evaluated(self) -> bool:
        """Whether the reports tell of params.yaml as it is now."""
        try:
            read = {dependency["path"]: dependency["md5"] for dependency in self.stages["evaluate"]["deps"]}
            return read[str(config.PARAMS)] == md5(config.PARAMS)
        except _ODD:
            return False


def md5(path: Path) -> str | None:
    """As DVC digests a file, or a folder by the list of its files, without byte code; None without either."""
    if path.is_dir():
        files = sorted((file.relative_to(path).as_posix(), file) for file in files_below(path))
        listing = [{"md5": md5(file), "relpath": name} for name, file in files]
        return hashlib.md5(json.dumps(listing).encode()).hexdigest() + ".dir"
    return hashlib.md5(path.read_bytes()).hexdigest() if path.exists() else None


def files_below(folder: Path) -> list[Path]:
    """What DVC takes a folder's content to be: all its files, by their paths, but for byte code (.dvcignore)."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
