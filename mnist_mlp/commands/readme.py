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
    """Return a document with texts between their markers. Raises UserError if the file or a marker is missing."""
    try:
        content = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run from the project's top folder") from None
    for name, text in blocks.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, found, rest = content.partition(start)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise UserError(f"{path}: no block to rewrite; write a line {start}, and one {end} below it")
        content = f"{before}{start}\n\n{text}\n\n{end}{after}"
    return content
