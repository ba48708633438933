"""How long it takes what people type: `python -m benchmarks.times [--rounds N] [--write]`.

In a fresh clone of what is committed: everything from nothing, once, with an environment of its own (packages come
from pip's cache, the images from data/raw); then, medians of N rounds, `dvc repro` with nothing to do, and experiments,
of which those that train do so anew. --write puts the table into README.md.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.checkouts import ROOT, Checkout
from benchmarks.job import EXPERIMENT, FRESH, LOOP
from mnist_mlp import files
from mnist_mlp.commands import readme
from mnist_mlp.machine import cpu
from mnist_mlp.report import markdown
from mnist_mlp.training.environment import CORES

README = ROOT / "README.md"
NOTHING, NOTHING_TO_DO, LONG, SHORT, TRIED = (
    "`make repro`, from nothing",
    "again, nothing to do",
    f"`{' '.join(EXPERIMENT)}`",
    "the same of 2 epochs",
    "again, from the cache",
)
IDENTITY = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")


def measure(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of everything that people type, by what it is."""
    found: dict[str, list[float]] = {}

    def time(what: str, *command: str, **environment: str) -> None:
        began, ended = own.run(*command, **environment)
        found.setdefault(what, []).append(ended - began)
        print(f"{what}: {ended - began:.1f} s", file=sys.stderr)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Checkout.clone(ROOT, Path(scratch, "times"), outputs=False).folder
        own = Checkout(folder, folder)  # commands of the environment that `make repro` makes
        (folder / ".venv/bin").mkdir(parents=True)
        time(NOTHING, "make", "repro", f"PYTHON={Path(sys.executable).resolve()}")
        own.run("git", *IDENTITY, "commit", "--all", "--allow-empty", "--quiet", "--message", "results")
        for _ in range(rounds):
            time(NOTHING_TO_DO, "dvc", "repro")
            for what, command in ((LONG, EXPERIMENT), (SHORT, LOOP)):
                time(what, *command, **FRESH)
                own.undo()
            time(TRIED, *LOOP)
            own.reset()
    return found


def table(found: dict[str, list[float]]) -> str:
    """Return the Markdown table of median times."""
    return markdown.table([{what: _told(statistics.median(seconds)) for what, seconds in found.items()}])


def _told(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of all but the first, which takes minutes (default 3)")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    arguments = parser.parse_args()
    about = f"On {CORES} cores ({cpu()}), all packages downloaded; where it goes: [docs/times.md](docs/times.md)."
    text = f"{about}\n\n{table(measure(arguments.rounds))}"
    print(text)
    if arguments.write:
        files.write(README, readme.fill(README, {"times": text}))


if __name__ == "__main__":
    main()
