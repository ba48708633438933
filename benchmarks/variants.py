"""How the pipeline's cost grows with the number of variants: `python -m benchmarks.variants [--counts 25 50 100 200]`.

In a scratch clone of the committed checkout, on the sample, an epoch and a seed a variant: generated variants join the
study `architectures` in steps, and each step is run by `dvc repro`. A line for each: seconds of a stage that trains,
of evaluate and of compare, of a `dvc repro` that finds nothing to do, of one changed variant, and the sizes of dvc.lock
and the report. --write keeps the table in benchmarks/variants.md.
"""

import argparse
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
COLUMNS = ("variants", "stages", "a training, s", "evaluate, s", "compare, s", "nothing to do, s", "one changed, s",
           "dvc.lock, lines", "comparison.html, KB")  # fmt: skip
OTHERS = {"techniques": "none-relu", "penalties": "l2-1e-3-relu"}


def declare(folder: Path, count: int, units: int = 0) -> None:
    """Have params.yaml declare `count` variants; units: added to the first one's width, which changes it alone."""
    yaml, path = YAML(typ="safe", pure=True), folder / "params.yaml"
    params = yaml.load(path)
    params |= {"dataset": "mnist-sample", "epochs": 1, "seeds": [0]}
    for study in ("architectures", *OTHERS):
        params[study]["protocol"] |= {"epochs": 1, "seeds": [0], "batch_size": 128}
    for study, kept in OTHERS.items():
        params[study]["variants"] = {kept: params[study]["variants"][kept]}
    params["architectures"]["variants"] = {
        f"dense{i}": {"activation": "relu", "optimizer": "adam", "layers": [{"dense": 16 + i + units * (i == 0)}]}
        for i in range(count - len(OTHERS))
    }
    yaml.dump(params, path)


def repro(folder: Path) -> dict[str, float]:
    """Seconds of each stage that one `dvc repro` ran, and of all of it."""
    began, seconds, stage, since = time.monotonic(), {}, "start", time.monotonic()
    with subprocess.Popen(
        ["dvc", "repro"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if found := re.match(r"Running stage '(.*)'", line):
                seconds[stage], stage, since = time.monotonic() - since, found[1], time.monotonic()
    if process.returncode:
        sys.exit("".join(said[-20:]))
    return seconds | {stage: time.monotonic() - since, "all": time.monotonic() - began}


def measure(folder: Path, count: int) -> tuple:
    declare(folder, count)
    first = repro(folder)
    nothing = repro(folder)["all"]
    declare(folder, count, units=1)
    changed = repro(folder)["all"]
    trainings = sorted(value for name, value in first.items() if name.startswith("train"))
    lines = len((folder / "dvc.lock").read_text().splitlines())
    page = (folder / "reports/comparison.html").stat().st_size / 1000
    return (count, count + 6, trainings[len(trainings) // 2], first["evaluate"], first["compare"], nothing, changed,
            lines, page)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[25, 50, 100, 200], help="numbers of variants")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/variants.md")
    arguments = parser.parse_args()
    rows = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "project")
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        (folder / "dvc.lock").unlink()
        for count in sorted(arguments.counts):
            cells = measure(folder, count)
            rows.append("| " + " | ".join(f"{c:,.1f}" if isinstance(c, float) else f"{c:,}" for c in cells) + " |")
            print(rows[-1], flush=True)
    print("\n".join(rows))
    if arguments.write:
        note = (
            "Seconds as measured by `python -m benchmarks.variants --write` on one machine "
            f"({platform.machine()}, Python {platform.python_version()}): an epoch and a seed a variant, on the sample."
        )
        (ROOT / "benchmarks/variants.md").write_text(
            "\n".join(["# Cost by number of variants", "", note, "", *rows, ""])
        )


if __name__ == "__main__":
    main()
