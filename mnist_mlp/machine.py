"""The machine that a process runs on."""

import contextlib
import platform
from pathlib import Path


def cpu() -> str:
    """Return the processor's model."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
