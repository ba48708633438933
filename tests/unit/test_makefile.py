"""The Makefile's recipes and the user's environment."""

import os
import shutil
import subprocess
import time

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


def test_a_clock_that_was_ahead_has_nothing_set_up_again(tmp_path):
    """requirements.txt of a time to come, as another machine's clock or an archive leaves it."""
    stub = tmp_path / "stub"
    stub.write_text(
        '#!/bin/sh\n[ "$2" = venv ] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/uv"\nexit 0\n'
    )
    stub.chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.txt").write_text("uv==1 \\\n    --hash=none\n")
    page = tmp_path / "mnist_mlp/pipeline/plots_page.py"
    page.parent.mkdir(parents=True)
    page.touch()
    ahead = time.time() + 1e6
    os.utime(tmp_path / "requirements.txt", (ahead, ahead))
    said = [
        subprocess.run(
            ["make", f"PYTHON={stub}", "setup"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert ["setting up" in text for text in said] == [True, False]
