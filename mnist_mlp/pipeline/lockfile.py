"""What dvc.lock vouches for: that outputs follow from the parameters, code and data that are here."""

import functools
from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mnist_mlp import paths
from mnist_mlp.config import Params, Study, Variant
from mnist_mlp.config.params import CANDIDATE, stage_name
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.digests import md5

MALFORMED = (ValueError, KeyError, TypeError)  # what reading a file of another form raises


class Lockfile:
    """dvc.lock in the current folder; empty if there is none. Raises UserError if it can't be read."""

    def __init__(self) -> None:
        try:
            text = paths.LOCKFILE.read_text(encoding="utf-8")
            if not text.endswith("\n"):  # cut within a line it may be YAML still, but then DVC may refuse it
                raise ValueError("ends within a line")
            self.stages = YAML(typ="safe", pure=True).load(text)["stages"]
            if any(None in [*e.values(), *e.get("params", {}).values()] for e in self.stages.values()):
                raise ValueError("ends within a stage")  # YAML as well, but DVC refuses it
            self.written = {out["path"]: out.get("md5") for e in self.stages.values() for out in e.get("outs", [])}
        except FileNotFoundError:
            self.stages, self.written = {}, {}
        except (YAMLError, AttributeError, *MALFORMED) as error:
            text = " ".join(str(error).split())
            raise UserError(f"{paths.LOCKFILE}: can't be read: {text}; run `git checkout {paths.LOCKFILE}`") from None

    def outputs(self, stage: str) -> list[str]:
        """Return the paths of a stage's outputs; none if dvc.lock doesn't know it."""
        return [out["path"] for out in self.stages.get(stage, {}).get("outs", [])]

    def difference(self, variant: Variant, params: Params, reported: bool) -> str | None:
        """Return the first dependency that changed since the training, or None.

        reported: check those of the evaluation too."""
        stage = stage_name(variant)
        if stage not in self.stages:
            return f"{paths.LOCKFILE} has no {stage}"
        if self._trained(variant, params, stage) != (variant, params.software):
            return "params.yaml changed since it was trained"
        if reported and not self._evaluated():
            return "params.yaml changed since it was evaluated"
        for dependency in self.stages[stage]["deps"]:
            path = Path(dependency["path"])
            if dependency["md5"] != (
                md5(path) if path == paths.TRAINING_CODE else self.written.get(dependency["path"])
            ):
                return f"{path} changed since it was trained"
        return None

    def changed(self, outputs: Iterable[Path]) -> str | None:
        """Return which of some outputs isn't as its stage left it, or None."""
        differing = (path for path in outputs if md5(path) != self.written.get(path.as_posix()))
        return next((f"{path} isn't what {paths.LOCKFILE} has" for path in differing), None)

    def _trained(self, variant: Variant, params: Params, stage: str) -> tuple[Variant, dict[str, str]] | None:
        """Return the parameters and software that a variant was last trained with, or None.

        What isn't recorded of its study, such as the other levels of a factor, has no part in it: it is as it is now.
        """
        try:
            values = dict(self.stages[stage]["params"][str(paths.PARAMS)])
            software = values.pop("software")
            if variant.study == CANDIDATE:
                return Variant(study=CANDIDATE, name=CANDIDATE, **values), software
            study = params.studies[variant.study].model_dump(mode="json", exclude_none=True)
            for key, value in values.items():
                _, *parents, last = key.split(".")
                functools.reduce(lambda part, name: part[name], parents, study)[last] = value
            then = Study.model_validate(study).resolve(variant.study)
            return next(one for one in then if one.name == variant.name), software
        except (*MALFORMED, StopIteration, UserError):
            return None

    def _evaluated(self) -> bool:
        """Return whether the reports are of params.yaml as it is now."""
        try:
            read = {dependency["path"]: dependency["md5"] for dependency in self.stages["evaluate"]["deps"]}
            return read[str(paths.PARAMS)] == md5(paths.PARAMS)
        except MALFORMED:
            return False
