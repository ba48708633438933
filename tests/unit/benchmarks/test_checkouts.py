"""Scratch clones that benchmarks measure in."""

import subprocess

import pytest

from benchmarks.checkouts import Checkout


def test_a_checkout_without_outputs_is_told_of_in_a_line(tmp_path):
    source = tmp_path / "source"
    subprocess.run(["git", "init", "--quiet", source], check=True)
    subprocess.run(["dvc", "init", "--quiet"], cwd=source, check=True)
    with pytest.raises(SystemExit, match=rf"^{source}: found no outputs in DVC's cache; run `make repro` there$"):
        Checkout.clone(source, tmp_path / "clone")
