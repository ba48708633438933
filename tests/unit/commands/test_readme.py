"""README.md's block of results, rewritten."""

from contextlib import chdir
from pathlib import Path

import pytest

from mnist_mlp.commands import readme
from mnist_mlp.errors import UserError
from mnist_mlp.report import markdown
from stages import evaluate
from tests.helpers.made_outputs import make, read_results, run_main, run_python

BEFORE, AFTER = "# Project\n\nBefore.\n\n", "\n\nAfter.\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("readme")
    make(root)
    run_main(evaluate, root)
    (root / "README.md").write_text(f"{BEFORE}{readme.START}\nold\n{readme.END}{AFTER}")
    return root


def test_the_command_rewrites_the_block_and_nothing_else(root):
    done = run_python(root, "-m", "mnist_mlp", "readme")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    expected = f"{BEFORE}{readme.START}\n\n{markdown.block(read_results(root))}\n\n{readme.END}{AFTER}"
    assert (root / "README.md").read_text(encoding="utf-8") == expected
    with chdir(root):
        readme.main()
    assert (root / "README.md").read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("content", [None, "no markers", "<!-- /results --> <!-- results -->"])
def test_a_readme_without_the_block_is_left_alone(content, tmp_path):
    path = tmp_path / "README.md"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"README\.md: (No such file|no block to rewrite)"):
        readme.rewrite(path, "new")
    assert not path.exists() or path.read_text() == content
