"""Put the results of reports/ into README.md, docs/results.md and docs/lessons.md, between their markers.

A block's markers are the lines `<!-- name -->` and `<!-- /name -->`."""

from pathlib import Path

from mnist_mlp import config, files, paths
from mnist_mlp.errors import UserError
from mnist_mlp.report import documents, results


def main() -> None:
    """Rewrite the blocks of every document, or none."""
    for path, content in rewritten(Path()).items():
        files.write(path, content)


def rewritten(root: Path) -> dict[Path, str]:
    """Return every document with its blocks as the results of a checkout have them. Raises UserError."""
    read = results.read(config.load(root / paths.PARAMS), root / paths.REPORTS, root / paths.PUBLISHED)
    return {
        root / document: fill(root / document, {name: text(read) for name, text in blocks.items()})
        for document, blocks in documents.BLOCKS.items()
    }


def fill(path: Path, blocks: dict[str, str]) -> str:
    """Return a document with texts between their markers.

    Raises UserError if the file can't be read, or if a block hasn't exactly its two markers: what stands between one
    of them and a double of the other may be a person's own text."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run from the project's top folder") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: found other bytes; allowed: UTF-8; save it as UTF-8") from None
    for name, text in blocks.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        opened, closed = content.count(start), content.count(end)
        if (opened, closed) != (1, 1) or content.index(end) < content.index(start):
            raise UserError(
                f"{path}: found {opened} and {closed} markers of block {name}; allowed: one line {start}, and below "
                f"it one line {end}; edit the file"
            )
        before, after = content.split(start)[0], content.split(end)[1]
        content = f"{before}{start}\n\n{text}\n\n{end}{after}"
    return content
