"""The Makefile's recipes and the user's environment."""

import os
import subprocess

from tests.helpers.params import ROOT


def test_recipes_see_where_packages_come_from_and_no_other_setting_of_pip_and_uv():
    kept = {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "UV_DEFAULT_INDEX", "UV_CACHE_DIR"}
    dropped = {"PIP_USER", "PIP_TARGET", "PIP_REQUIRE_VIRTUALENV", "PIP_NO_BINARY", "UV_SYSTEM_PYTHON", "UV_TARGET",
               "UV_CONSTRAINT", "PYTHONHOME"}  # fmt: skip
    shown = subprocess.run(
        ["make", "--eval=shown: ; @env", "shown"], cwd=ROOT, capture_output=True, text=True, check=True,
        env=os.environ | dict.fromkeys(kept | dropped, "1"),
    ).stdout  # fmt: skip
    names = {line.partition("=")[0] for line in shown.splitlines()}
    assert kept <= names
    assert not dropped & names
