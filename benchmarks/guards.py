"""Take each guard against faults out of the code, and see its test fail: `python -m benchmarks.guards [NAME ...]`.

In a scratch clone of the committed checkout, one guard at a time: the code is changed, the test that should notice is
run (through the command that people type), and the code is put back. Exit status 1 where a test passes all the same.
NAME: only guards whose names hold one of these.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGES, FETCH, MNIST = "stages/__init__.py", "mnist_mlp/fetch.py", "mnist_mlp/mnist.py"
CONFIG = "mnist_mlp/config.py"
ROBUST, PIPELINE = "tests/test_robustness.py", "tests/test_pipeline.py"
HOSTILE = ("tests/test_mnist.py", "skips_every_hostile_source")
CONTENT = ("tests/test_mnist.py", "whose_digests_are_right")


@dataclass(frozen=True)
class Guard:
    """name; file: of the guard; code, without: what it is replaced by; tests, chosen: file and -k words of its test."""

    name: str
    file: str
    code: str
    without: str
    tests: str
    chosen: str


GUARDS = [
    Guard(
        "inputs of a running stage",
        STAGES,
        "    for inputs in _inputs:\n        inputs.check()",
        "    pass",
        ROBUST,
        "what_changes_while",
    ),
    Guard("full disk", STAGES, "    if full:\n", "    if False:\n", ROBUST, "full_disk and evaluate"),
    Guard(
        "folder that can't be written",
        STAGES,
        "    except OSError as error:\n        print",
        "    except ZeroDivisionError as error:\n        print",
        ROBUST,
        "cannot_be_written",
    ),
    Guard(
        "store that can't be opened",
        "mnist_mlp/tracking.py",
        "    except Exception as error:",
        "    except ZeroDivisionError as error:",
        "tests/test_tracking.py",
        "cannot_be_opened",
    ),
    Guard(
        "torn dvc.lock",
        "stages/mend.py",
        "except (UserError, ValueError):",
        "except ZeroDivisionError:",
        ROBUST,
        "dvc_tore and word",
    ),
    Guard("file too short", FETCH, "    if size < expected.bytes:\n", "    if False:\n", *HOSTILE),
    Guard("digest", FETCH, "    if digest.hexdigest() != expected.sha256:\n", "    if False:\n", *HOSTILE),
    Guard("HTML page", FETCH, 'if first[:1] not in (b"\\0", b"\\x1f"):', 'if first == b"never":', *HOSTILE),
    Guard(
        "gzip bomb unpacked in pieces",
        FETCH,
        "decoder.decompress(chunk, CHUNK)",
        'decoder.decompress(b"".join([chunk, *chunks]))',
        *HOSTILE,
    ),
    Guard("file too long", FETCH, "            if size > expected.bytes:\n", "            if False:\n", *HOSTILE),
    Guard("redirects", FETCH, "REDIRECTS = 5", "REDIRECTS = 10**9", *HOSTILE),
    Guard(
        "silence of a server",
        FETCH,
        "ANSWER, SILENCE, WHOLE = 10.0, 10.0,",
        "ANSWER, SILENCE, WHOLE = 10.0, 300.0,",
        *HOSTILE,
    ),
    Guard(
        "no answer of a server",
        FETCH,
        "ANSWER, SILENCE, WHOLE = 10.0, 10.0,",
        "ANSWER, SILENCE, WHOLE = 300.0, 10.0,",
        *HOSTILE,
    ),
    Guard(
        "size by the IDX header",
        MNIST,
        "    if len(content) - start != math.prod(shape) or 0 in shape:\n",
        "    if False:\n",
        *CONTENT,
    ),
    Guard("IDX header", FETCH, 'if first[:1] not in (b"\\0", b"\\x1f"):', 'if first == b"never":', *CONTENT),
    Guard(
        "shape of images",
        MNIST,
        "        if images.ndim != 3 or images.shape[1:] != (28, 28):\n",
        "        if False:\n",
        *CONTENT,
    ),
    Guard("count of images", MNIST, "        if len(images) < least:\n", "        if False:\n", *CONTENT),
    Guard("bounds of a rate", CONFIG, "Field(gt=0, le=1000)", "Field()", PIPELINE, "wrong_overrides"),
    Guard("unknown keys", CONFIG, 'extra="forbid", ', 'extra="ignore", ', PIPELINE, "wrong_overrides"),
    Guard(
        "loss no longer finite",
        "mnist_mlp/training/trainer.py",
        "        if not np.isfinite(curve[epoch - 1]).all():\n",
        "        if False:\n",
        PIPELINE,
        "diverges",
    ),
]


def seen(guard: Guard, clone: Path) -> tuple[bool, float]:
    """Whether the test fails without the guard, and the seconds that this took. Exits where the code isn't there."""
    path = clone / guard.file
    content = path.read_text()
    if guard.code not in content:
        sys.exit(f"{guard.file}: no {guard.code.strip()!r}, the guard {guard.name!r}; has it moved?")
    path.write_text(content.replace(guard.code, guard.without))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n0",
        "-p",
        "no:cacheprovider",
        guard.tests,
        "-k",
        guard.chosen,
    ]
    began = time.monotonic()
    try:
        done = subprocess.run(command, cwd=clone, env=os.environ | {"PYTHONPATH": ""}, capture_output=True, timeout=900)
        failed = done.returncode == 1  # not 5, no test of that name, or 2, no test could be read
        if done.returncode > 1:
            sys.exit(done.stdout.decode()[-2000:])
    except subprocess.TimeoutExpired:
        failed = True
    finally:
        path.write_text(content)
    return failed, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only guards whose names hold one of these")
    arguments = parser.parse_args()
    chosen = [g for g in GUARDS if not arguments.names or any(name in g.name for name in arguments.names)]
    unseen = []
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch, "project")
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        for guard in chosen:
            failed, seconds = seen(guard, clone)
            unseen += [] if failed else [guard.name]
            print(f"{guard.name}: without it its test {'fails' if failed else 'PASSES'}  {seconds:.0f} s", flush=True)
    if unseen:
        sys.exit(f"passed without their guards: {', '.join(unseen)}")


if __name__ == "__main__":
    main()
