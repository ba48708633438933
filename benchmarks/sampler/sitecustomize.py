"""Sample the stacks of every Python process of a measured command.

Python imports a module of this name from PYTHONPATH as it starts. benchmarks/job.py puts this folder there, and names
in JOB_SAMPLES a folder for one file per process. A file's first line is `started` or `forked` and the command line.
Every other line is a sample of three fields: time, DVC's stage, and the stacks of all threads, the main thread's first.
A stack is a list of `folder/file.py:function`, the innermost first.
"""

import os
import sys
import threading
import time

FOLDER = os.environ.get("JOB_SAMPLES", "")
INTERVAL = 0.02  # seconds; a sample takes up to one thousandth of a second
EPOCH = "CompiledReplicate.run_epoch"  # its `epoch` stands behind its name


def start(kind: str) -> None:
    """Sample this process until it ends."""
    threading.Thread(target=_sample, args=(kind,), daemon=True).start()


def _sample(kind: str) -> None:
    main, own = threading.main_thread().ident, threading.get_ident()
    names: dict = {}
    path = os.path.join(FOLDER, f"{os.getpid()}-{time.monotonic_ns()}")
    file = os.open(path, os.O_WRONLY | os.O_CREAT)  # unbuffered: no lock that a fork or the end of Python could meet
    os.write(file, f"{kind} {' '.join(sys.orig_argv)}\n".encode())
    while True:
        frames = {ident: frame for ident, frame in sys._current_frames().items() if ident != own}
        stacks = "|".join(_stack(frames[ident], names) for ident in sorted(frames, key=lambda ident: ident != main))
        os.write(file, f"{time.monotonic()}\t{os.environ.get('DVC_STAGE', '-')}\t{stacks}\n".encode())
        frames.clear()
        time.sleep(INTERVAL)


def _stack(frame, names: dict) -> str:
    found = []
    while frame:
        code = frame.f_code
        if (name := names.get(code)) is None:
            name = names[code] = f"{'/'.join(code.co_filename.split(os.sep)[-2:])}:{code.co_qualname}"
        found.append(f"{name} {frame.f_locals['epoch']}" if code.co_qualname == EPOCH else name)
        frame = frame.f_back
    return ";".join(found)


if FOLDER:
    os.register_at_fork(after_in_child=lambda: start("forked"))
    start("started")
