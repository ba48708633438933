"""Put the results of reports/ into README.md, between `<!-- results -->` and `<!-- /results -->`."""

from pathlib import Path

from mnist_mlp import config, files, paths
from mnist_mlp.errors import UserError
from mnist_mlp.report import markdown, results

START, END = "<!-- results -->", "<!-- /results -->"


def main() -> None:
    """Rewrite README.md's block."""
    rewrite(paths.README, markdown.block(results.read(config.load())))


def rewrite(readme: Path, text: str) -> None:
    """Put a text between README's markers. Raises UserError if the file or a marker is missing."""
    try:
        content = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{readme}: {error.strerror}; run from the project's top folder") from None
    before, start, rest = content.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise UserError(f"{readme}: no block to rewrite; write a line {START}, and one {END} below it")
    files.write(readme, f"{before}{START}\n\n{text}\n\n{END}{after}")
