"""What a variant costs if a stage trains a chunk of them: `python -m benchmarks.chunks [--variants N] [--chunk N]`.

Generated one-epoch variants of the sample, 5,000 in chunks of 500 unless said otherwise: each chunk is a table and a
stage that trains its variants one after another in one process (benchmarks/chunk.py). Beside it, --beside variants with
a stage each. Then `dvc repro` with nothing to do, and with one variant of a chunk changed. Hours.

In a scratch clone of what is committed. --write keeps the table in benchmarks/scaling.md.
"""

import argparse
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import reports
from benchmarks.checkouts import edited
from benchmarks.scaling import REPORT, clone, declare, nothing, repro, run
from mnist_mlp.machine import cpu

LINE = re.compile(r"^(\d+) of \d+ in ([\d.]+) s, (\d+) MB")
TARGET = "train-sweep"


def tables(variants: int, chunk: int, units: int = 0) -> list[dict[str, Any]]:
    """Return the tables of the chunks. units: added to the first variant's width, which changes it alone."""
    names = [f"dense{i}" for i in range(variants)]
    settings = [
        {"layers": [{"dense": 16 + i % 500 + units * (i == 0)}, {"dense": 16 + i // 500}]} for i in range(variants)
    ]
    pairs = list(zip(names, settings, strict=True))
    return [dict(pairs[start : start + chunk]) for start in range(0, variants, chunk)]


def write_tables(folder: Path, found: list[dict[str, Any]]) -> None:
    """Write the tables, and have dvc.yaml hold a stage for each."""
    (folder / "sweep").mkdir(exist_ok=True)
    with edited(folder / "dvc.yaml") as pipeline:
        for number, table in enumerate(found):
            place = Path("sweep", f"{number}.json")
            (folder / place).write_text(json.dumps(table, indent=1) + "\n")
            pipeline["stages"][f"{TARGET}-{number}"] = {
                "cmd": f"python -m benchmarks.chunk {number}",
                "deps": ["data/prepared", "mnist_mlp/training", str(place)],
                "params": ["architectures.protocol", "software"],
                "outs": [f"models/sweep-{number}"],
            }


def measure(scratch: Path, variants: int, chunk: int, beside: int) -> str:
    folder = clone(scratch / "chunks")
    declare(folder, beside)
    alone = repro(folder, 0, "train-architectures", "train-techniques")
    starts = [at for at, line in alone if line.startswith("Running stage 'train")]
    single = (alone[-1][0] - starts[0]) / len(starts)
    print(f"a stage a variant: {single:.2f} s", flush=True)
    write_tables(folder, tables(variants, chunk))
    stages = [f"{TARGET}-{number}" for number in range(-(-variants // chunk))]
    whole = run(folder, "dvc", "repro", *stages)
    told = [(int(found[1]), float(found[2]), int(found[3])) for _, line in whole if (found := LINE.match(line))]
    none = nothing(folder, *stages)
    write_tables(folder, tables(variants, chunk, units=1))
    changed = run(folder, "dvc", "repro", *stages, fresh=False)[-1][0]
    lock = (folder / "dvc.lock").read_bytes().count(b"\n")
    rows = {
        "a variant with a stage of its own, s": f"{single:.2f}",
        "a variant in a chunk, s": f"{whole[-1][0] / variants:.2f}",
        "of it, in the first chunk's first variants": f"{told[0][1] / told[0][0]:.2f}",
        "and in its last ones": f"{_last(told):.2f}",
        "all, s": f"{whole[-1][0]:,.0f}",
        "nothing to do, s": f"{none:.1f}",
        "one variant changed, s": f"{changed:.1f}",
        "largest process, MB": f"{max(memory for *_, memory in told):,}",
        "dvc.lock, lines": f"{lock:,}",
    }
    return "\n".join([
        "## Chunks of variants", "",
        f"{variants:,} generated variants of an epoch on the sample in chunks of {chunk}, by `python -m "
        f"benchmarks.chunks --write`; beside them, {len(starts)} with a stage each. {cpu()}.", "",
        "| | |", "| --- | --- |", *(f"| {what} | {value} |" for what, value in rows.items()),
    ])  # fmt: skip


def _last(told: list[tuple[int, float, int]]) -> float:
    """Return the seconds a variant between the last two lines of the first chunk."""
    end = next((i for i in range(1, len(told)) if told[i][0] <= told[i - 1][0]), len(told))
    (before, began, _), (after, ended, _) = told[max(end - 2, 0)], told[end - 1]
    return (ended - began) / (after - before) if after > before else ended / after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=5000)
    parser.add_argument("--chunk", type=int, default=500)
    parser.add_argument("--beside", type=int, default=20, help="variants with a stage of their own")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/scaling.md")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="chunks-"))  # stays if a command fails
    section = measure(scratch, arguments.variants, arguments.chunk, arguments.beside)
    shutil.rmtree(scratch)
    if arguments.write:
        reports.keep(REPORT, REPORT.read_text().partition("\n\n## ")[0], section)
    print(section)


if __name__ == "__main__":
    main()
