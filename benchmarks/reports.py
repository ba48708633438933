"""The documents that benchmarks keep their tables in, a section each."""

import re
from collections.abc import Sequence
from pathlib import Path


def keep(path: Path, head: str, section: str) -> None:
    """Put a section into a document in the place of the one of that title. head: what stands above all sections."""
    text = path.read_text() if path.exists() else ""
    known = {part.partition("\n")[0]: part for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]}
    known[section.partition("\n")[0]] = section
    path.write_text("\n\n".join([head, *(part.strip() for part in known.values())]) + "\n")


class Table:
    """A section that is a table whose rows stay in the document till they are measured again, or have other columns.

    keys: the number of first cells by which a row is known; the first of them begins with a number, as `1,000`."""

    def __init__(self, path: Path, title: str, note: str, columns: Sequence[str], keys: int):
        self.keys = keys
        self.head = [title, "", note, "", f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
        _, _, after = (path.read_text() if path.exists() else "").partition("\n".join(self.head[-2:]) + "\n")
        rows = [line.strip("| ").split(" | ") for line in after.partition("\n\n")[0].splitlines()]
        self.rows = {tuple(row[:keys]): row for row in rows}

    def put(self, *cells: str) -> str:
        """Put a row in the place of the one of the same keys, if there is one. Return the section, rows by number."""
        self.rows[cells[: self.keys]] = list(cells)
        order = sorted(self.rows, key=lambda key: (int(key[0].split()[0].replace(",", "")), *key))
        return "\n".join([*self.head, *(f"| {' | '.join(self.rows[key])} |" for key in order)])
