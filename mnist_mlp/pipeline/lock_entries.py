"""dvc.lock as the texts of its entries, each as DVC wrote it on the machine that ran the stage.

An entry joins the file to the byte and without parsing the rest, and the file is whole at any moment.
"""

import json
import os
import re
from collections.abc import Iterable
from typing import Any

from mnist_mlp import paths

HEAD = "schema: '2.0'\nstages:\n"
NEW = paths.DVC_TMP / "cluster.new"
PARTIAL = paths.DVC_TMP / "dvc.lock.partial"


def read() -> dict[str, str]:
    """Return the text of each stage's entry; none without dvc.lock. Raises what DVC raises if it is no YAML."""
    text = paths.LOCKFILE.read_text(encoding="utf-8") if paths.LOCKFILE.exists() else ""
    if text and not text.startswith(HEAD):  # edited by hand
        from dvc.utils.serialize import dumps_yaml, parse_yaml

        parsed = parse_yaml(text, str(paths.LOCKFILE))
        text = dumps_yaml({"schema": "2.0", "stages": parsed["stages"]})
    texts = re.split("^(?=  [^ :])", text.removeprefix(HEAD), flags=re.MULTILINE)
    # Before the text of a stage stands its name: `  NAME:`, or, of a long one, `  ? NAME` and `  : cmd: ...`.
    return {re.split(r":\n|\n  : ", text)[0].strip(" ?'\""): text for text in texts if text.strip()}


def digests(stage: str) -> dict[str, str]:
    """Return the md5 of each output of a stage, by path, without parsing the rest; none if dvc.lock doesn't know it."""
    return {out["path"]: out["md5"] for out in _parse(read().get(stage, "")).get("outs", [])}


def parameters(stages: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the values of params.yaml that stages last ran with, by dotted key; none where dvc.lock has no entry."""
    entries = read()
    bodies = {stage: _parse(entries.get(stage, "")) for stage in stages}
    return {stage: dict(body.get("params", {}).get(str(paths.PARAMS), {})) for stage, body in bodies.items()}


def _parse(entry: str) -> dict[str, Any]:
    from ruamel.yaml import YAML

    return next(iter((YAML(typ="safe", pure=True).load(entry) or {}).values()), {})


def write(entries: dict[str, str]) -> None:
    """Have dvc.lock hold these entries in this order, and be absent if there are none."""
    if not entries:
        return paths.LOCKFILE.unlink(missing_ok=True)
    PARTIAL.parent.mkdir(parents=True, exist_ok=True)
    PARTIAL.write_text(HEAD + "".join(entries.values()), encoding="utf-8")
    os.replace(PARTIAL, paths.LOCKFILE)


class Entries:
    """Add entries to dvc.lock as stages end, in whatever order. order: all stages, in DVC's order.

    The file becomes what DVC would have written, running the stages one after another: old entries keep their places,
    new ones follow in order. NEW names the new ones, also those of an earlier run that was broken off."""

    def __init__(self, order: list[str]):
        unfinished = json.loads(NEW.read_text(encoding="utf-8")) if NEW.exists() else []
        old = read().keys() - set(unfinished)
        self.new = [name for name in order if name not in old]
        NEW.parent.mkdir(parents=True, exist_ok=True)
        NEW.write_text(json.dumps(self.new), encoding="utf-8")

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """Return the entries of some stages as they are now, in this order."""
        known = read()
        return {name: known[name] for name in names if name in known}

    def add(self, name: str, text: str) -> None:
        """Put a stage's entry in its place."""
        known = read() | {name: text}
        new = {name: known.pop(name) for name in self.new if name in known}
        write(known | new)

    def close(self) -> None:
        """Forget the order of new entries: every stage is up to date."""
        NEW.unlink(missing_ok=True)
