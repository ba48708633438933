"""dvc.lock as the texts of its entries, each as DVC wrote it: so entries made elsewhere join it to the byte.

DVC reads and writes the whole file at every stage, which takes it a second where there are 60, and is torn by a kill;
here an entry costs no parsing, however many there are, and the file is whole at any moment.
"""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LOCK = Path("dvc.lock")
HEAD = "schema: '2.0'\nstages:\n"
NEW = Path(".dvc/tmp/cluster.new")
PARTIAL = Path(".dvc/tmp/dvc.lock.partial")


def read() -> dict[str, str]:
    """The text of each stage's entry; nothing without dvc.lock. Raises what DVC raises where it is no YAML."""
    text = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    if text and not text.startswith(HEAD):  # edited by hand
        from dvc.utils.serialize import dumps_yaml, parse_yaml

        text = dumps_yaml(parse_yaml(text, str(LOCK)))
    texts = re.split(r"^(?=  \S)", text.removeprefix(HEAD), flags=re.MULTILINE)
    return {text.partition(":\n")[0].strip(" '\""): text for text in texts if text.strip()}


def write(entries: dict[str, str]) -> None:
    """dvc.lock holds these, in this order: whole or not at all, and no file where there are none."""
    if not entries:
        return LOCK.unlink(missing_ok=True)
    PARTIAL.parent.mkdir(parents=True, exist_ok=True)
    PARTIAL.write_text(HEAD + "".join(entries.values()), encoding="utf-8")
    os.replace(PARTIAL, LOCK)


def install() -> None:
    """Have DVC in this process add the entries of the stages that it runs so. For a dvc.lock in the current folder."""
    from dvc import dvcfile
    from dvc.utils.serialize import dumps_yaml

    def dump_stages(lock: dvcfile.Lockfile, stages: list[Any], **settings: Any) -> None:
        before = after = read()
        for stage in stages:
            entry = dvcfile.serialize.to_lockfile(stage, **settings)
            after = after | {stage.name: dumps_yaml({"schema": "2.0", "stages": entry}).removeprefix(HEAD)}
        if after != before:
            dvcfile.logger.info("%s lock file '%s'", "Updating" if before else "Generating", lock.relpath)
            write(after)
            lock.repo.scm_context.track_file(lock.relpath)

    dvcfile.Lockfile.dump_stages = dump_stages


class Entries:
    """Adds entries to dvc.lock as stages end, in whatever order. order: all stages, in DVC's.

    It becomes what DVC would have written, running the stages one after another: old entries keep their places, new
    ones follow in order, those too that a run like this one added before it was broken off (which NEW names)."""

    def __init__(self, order: list[str]):
        unfinished = json.loads(NEW.read_text(encoding="utf-8")) if NEW.exists() else []
        old = read().keys() - set(unfinished)
        self.new = [name for name in order if name not in old]
        NEW.parent.mkdir(parents=True, exist_ok=True)
        NEW.write_text(json.dumps(self.new), encoding="utf-8")

    def of(self, names: Iterable[str]) -> dict[str, str]:
        """Theirs as they are now, in the order of the names."""
        known = read()
        return {name: known[name] for name in names if name in known}

    def add(self, name: str, text: str) -> None:
        known = read() | {name: text}
        new = {name: known.pop(name) for name in self.new if name in known}
        write(known | new)

    def close(self) -> None:
        """Every stage is up to date now."""
        NEW.unlink(missing_ok=True)
