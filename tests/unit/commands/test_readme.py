"""The blocks of results in README.md and docs/, rewritten."""

import re
import subprocess
from contextlib import chdir
from pathlib import Path

import pytest

from mnist_mlp import paths
from mnist_mlp.commands import readme
from mnist_mlp.errors import UserError
from mnist_mlp.report import documents
from stages import compare, evaluate
from tests.helpers.made_outputs import make, read_results, run_main, run_python
from tests.helpers.params import ROOT

BEFORE, AFTER = "# Project\n\nBefore.\n", "\nAfter.\n"
INPUTS = ("params.yaml", "published", "reports")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A made project whose documents have every block, filled with an old text."""
    root = tmp_path_factory.mktemp("readme")
    make(root)
    run_main(evaluate, root)
    run_main(compare, root)
    (root / paths.DOCS).mkdir()
    for path, blocks in documents.BLOCKS.items():
        (root / path).write_text(filled(dict.fromkeys(blocks, "old")))
    return root


def filled(blocks: dict[str, str]) -> str:
    """Return a document with these blocks."""
    marked = [f"\n<!-- {name} -->\n\n{text}\n\n<!-- /{name} -->\n" for name, text in blocks.items()]
    return "".join([BEFORE, *marked, AFTER])


def test_the_command_rewrites_the_blocks_and_nothing_else(root):
    done = run_python(root, "-m", "mnist_mlp", "readme")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    results = read_results(root)
    for path, blocks in documents.BLOCKS.items():
        expected = filled({name: text(results) for name, text in blocks.items()})
        assert (root / path).read_text(encoding="utf-8") == expected
    with chdir(root):
        assert all(path.read_text(encoding="utf-8") == text for path, text in readme.rewritten(Path()).items())


def test_what_the_blocks_link_to_is_there(root):
    results = read_results(root)
    for path, blocks in documents.BLOCKS.items():
        for text in blocks.values():
            links = re.findall(r"\]\((.+?)\)", text(results))
            assert all((root / path.parent / link).is_file() for link in links), links


def test_the_committed_documents_are_what_the_committed_results_make_them():
    """Unless params.yaml or reports/ have changes of the user's own."""
    if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *INPUTS], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("reports/ aren't the committed ones")
    for path, text in readme.rewritten(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run `make readme`"


@pytest.mark.parametrize(
    "content, expected",
    [
        (None, "No such file"),
        (b"no markers", "found 0 and 0 markers"),
        (b"<!-- /results --> <!-- results -->", "found 1 and 1 markers"),
        (b"<!-- results --> <!-- results --> <!-- /results -->", "found 2 and 1 markers"),
        (b"<!-- results --> <!-- /results --> <!-- /results -->", "found 1 and 2 markers"),
        (b"\xff <!-- results --> <!-- /results -->", "found other bytes; allowed: UTF-8"),
    ],
    ids=["no file", "no marker", "reversed", "opened twice", "closed twice", "no UTF-8"],
)
def test_a_document_without_one_block_is_told_and_left_alone(content, expected, tmp_path):
    path = tmp_path / paths.README
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"README\.md: {expected}"):
        readme.fill(path, {"results": "new"})
    assert not path.exists() or path.read_bytes() == content


def test_the_command_leaves_a_text_between_doubled_markers_alone(root):
    path = root / paths.README
    whole = path.read_text()
    path.write_text(marked := f"<!-- results -->\n\nA text of one's own.\n{whole}")
    done = run_python(root, "-m", "mnist_mlp", "readme")
    assert (done.returncode, path.read_text()) == (1, marked)
    assert done.stderr == (
        "error: README.md: found 2 and 1 markers of block results; allowed: one line <!-- results -->, and below it "
        "one line <!-- /results -->; edit the file\n"
    )
    path.write_text(whole)
