"""A stage's errors, as lines."""

import errno
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.stage import errors_as_lines
from tests.helpers.params import ROOT

FULL = "No space left on device; free some, and run the same command again"


@pytest.mark.parametrize(
    ("error", "status", "lines"),
    [
        (UserError("a: no\nb: nor this"), 1, ["error: a: no", "error: b: nor this"]),
        (PermissionError(errno.EACCES, "Permission denied", "reports/a.csv"), 1,
         ["error: reports/a.csv: Permission denied"]),
        (PermissionError(errno.EACCES, "Permission denied", "models/a\n\x1b[2Jb\udce9"), 1,
         [r"error: models/a\n\x1b[2Jb\udce9: Permission denied"]),
        (UserError("a\x1b[2J: no"), 1, [r"error: a\x1b[2J: no"]),
        (OSError(errno.ENOSPC, "No space left on device", "models/a"), 1, [f"error: models/a: {FULL}"]),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "models/a"), 1, [f"error: models/a: {FULL}"]),
        (KeyboardInterrupt(), 130,
         ["interrupted: nothing of this stage was recorded; run the same command to go on"]),
    ],
    ids=["user error", "no permission", "odd name", "sign for the terminal", "full disk", "quota", "Ctrl-C"],
)  # fmt: skip
def test_what_a_person_can_mend_is_told_in_lines(capsys, error, status, lines):
    with pytest.raises(SystemExit) as caught, errors_as_lines():
        raise error
    out, err = capsys.readouterr()
    assert (caught.value.code, out, err.splitlines()) == (status, "", lines)


@pytest.mark.skipif("not __import__('os').path.exists('/dev/full')", reason="no /dev/full here")
def test_numpys_own_error_on_a_full_disk_is_told_too(capsys):
    with pytest.raises(SystemExit), errors_as_lines(), open("/dev/full", "wb", buffering=0) as file:
        np.zeros(100_000).tofile(file)
    assert capsys.readouterr().err.endswith(f"{FULL}\n")


def test_an_error_of_the_programs_own_is_a_line_with_the_file_that_keeps_its_traceback(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as caught, errors_as_lines():
        raise ZeroDivisionError("of\ntwo lines")
    (kept,) = tmp_path.glob("mnist-mlp-*.log")
    line = f"error: ZeroDivisionError: of two lines; a fault of the program, not of yours: please report it with {kept}"
    assert (caught.value.code, capsys.readouterr().err) == (1, f"{line}\n")
    assert kept.read_text().startswith("Traceback") and "test_stage.py" in kept.read_text()


def test_the_code_of_another_folder_is_refused(tmp_path):
    """A clone, or a copy that DVC made for an experiment, whose own code Python was told to leave out."""
    (tmp_path / "mnist_mlp").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "stages.evaluate"], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"},
    )  # fmt: skip
    found = f"{ROOT / 'mnist_mlp'}: found this code running; allowed: the folder's own, {tmp_path / 'mnist_mlp'}"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {found}; unset PYTHONSAFEPATH\n")


def run_failing(folder: Path, main: str) -> str:
    """Run a stage of this `main` in a folder. Return the one line that it ends with."""
    (folder / "fails.py").write_text(f"from mnist_mlp.pipeline.stage import run\ndef main(): {main}\nrun(main)\n")
    done = subprocess.run(
        [sys.executable, "-m", "fails"], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    return done.stderr


def test_a_stage_ends_likewise(tmp_path):
    line = run_failing(tmp_path, "import nothing_of_this_name")
    assert line.startswith("error: ModuleNotFoundError: No module named 'nothing_of_this_name'; a fault of the ")


@pytest.mark.parametrize("name", ["queue.py", "numpy/__init__.py"])
def test_a_file_that_hides_a_library_is_named(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    line = run_failing(tmp_path, "import queue, numpy; queue.Queue, numpy.array")
    assert line.startswith("error: AttributeError: module ")
    assert line.endswith(f"; {tmp_path / name}: found in place of a library of that name; rename it\n")
    assert not list(tmp_path.glob("mnist-mlp-*.log"))


def test_a_tree_that_cannot_be_copied_is_one_line_that_names_a_file(tmp_path):
    (tmp_path / "tree").mkdir()
    for name in ("one", "other"):
        (tmp_path / "tree" / name).symlink_to("nothing")
    line = run_failing(tmp_path, "import shutil; shutil.copytree('tree', 'copy')")
    assert re.fullmatch(r"error: copy/(one|other): \[Errno 2\] No such file or directory: \S+\n", line)


def test_a_full_disk_without_a_name_may_be_the_temporary_folders(tmp_path):
    line = run_failing(tmp_path, "raise OSError(28, 'No space left on device')")
    assert line.startswith(f"error: {tmp_path} or {tmp_path}: No space left on device; free some")


def test_an_output_that_nobody_reads_is_not_the_folders_fault(tmp_path):
    main = "import os; read, write = os.pipe(); os.close(read); os.write(write, b' ')"
    assert run_failing(tmp_path, main) == "error: the output can't be written: the program that reads it has ended\n"


@pytest.mark.parametrize("error", [MemoryError(), ImportError("libx.so: failed to map segment from shared object")])
def test_a_want_of_memory_is_no_fault_of_the_program(capsys, error):
    with pytest.raises(SystemExit), errors_as_lines():
        raise error
    line = (
        f"error: {str(error) or 'MemoryError'}: not enough memory; end other programs, or raise the limit (ulimit -v)\n"
    )
    assert capsys.readouterr().err == line
