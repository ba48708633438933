"""The package as it is installed."""

import shutil
import subprocess
import sys
import zipfile

from tests.helpers.params import ROOT


def test_an_installed_package_has_every_module_and_the_pages_template(tmp_path):
    for name in ("mnist_mlp", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*wheel, "--wheel-dir", tmp_path, tmp_path], check=True)
    (built,) = tmp_path.glob("*.whl")
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mnist_mlp").rglob("*") if path.is_file()}
    missing = files - set(zipfile.ZipFile(built).namelist())
    assert not [name for name in missing if name.endswith((".py", ".jinja"))]
