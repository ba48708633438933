"""A stage's errors, as lines."""

import errno

import numpy as np
import pytest

from mnist_mlp.errors import UserError
from mnist_mlp.pipeline.stage import errors_as_lines

FULL = "No space left on device; free some, and run the same command again"


@pytest.mark.parametrize(
    ("error", "status", "lines"),
    [
        (UserError("a: no\nb: nor this"), 1, ["error: a: no", "error: b: nor this"]),
        (PermissionError(errno.EACCES, "Permission denied", "reports/a.csv"), 1,
         ["error: reports/a.csv: Permission denied"]),
        (OSError(errno.ENOSPC, "No space left on device", "models/a"), 1, [f"error: models/a: {FULL}"]),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "models/a"), 1, [f"error: models/a: {FULL}"]),
        (KeyboardInterrupt(), 130,
         ["interrupted: nothing of this stage was recorded; run the same command to go on"]),
    ],
    ids=["user error", "no permission", "full disk", "quota", "Ctrl-C"],
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


def test_an_error_of_the_programs_own_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), errors_as_lines():
        raise ZeroDivisionError
