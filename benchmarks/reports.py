"""The documents that benchmarks keep their tables in, a section each."""

import re
from pathlib import Path


def keep(path: Path, head: str, section: str) -> None:
    """Put a section into a document in the place of the one of that title. head: what stands above all sections."""
    text = path.read_text() if path.exists() else ""
    known = {part.partition("\n")[0]: part for part in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]}
    known[section.partition("\n")[0]] = section
    path.write_text("\n\n".join([head, *(part.strip() for part in known.values())]) + "\n")
