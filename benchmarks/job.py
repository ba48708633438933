"""Where the seconds of a stage and of an experiment go: `python -m benchmarks.job [--rounds N] [--write]`.

Three commands, whose trainings are made anew: techniques/none-relu by plain `dvc repro --force --single-item`, as the
only stage of its `dvc` (cold), and behind another training (warm: from the other's end to its own); and the loop,
`dvc exp run -S activation=tanh -S epochs=2`. Every process of a command is sampled 50 times a second
(benchmarks/sampler), and each moment counts once (benchmarks/phases.py). Shown is the round of median length.

--against PATH: instead, the seconds here and in another checkout, for example of a former commit, by turns: of one
forced stage, of six in one command, of the loop, and of the loop with a value that was tried before. --whole [N]: also
of N runs of everything from nothing, the other one by its `make repro`. Every study has two seeds in both, whatever
params.yaml says; here everything also runs with the seeds that it says. `make repro` must have run in both.

Everything runs in scratch clones of what is committed. --write keeps the tables in benchmarks/job.md.
"""

import argparse
import re
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import phases, reports
from benchmarks.checkouts import ROOT, Checkout, edited
from mnist_mlp.machine import cpu
from mnist_mlp.training.environment import CORES

REPORT = ROOT / "benchmarks/job.md"
SAMPLER = ROOT / "benchmarks/sampler"
FRESH = {"MNIST_MLP_FRESH": "1"}
STAGE, OTHER = "train-techniques@none-relu", "train-techniques@none-tanh"
STAGES = (STAGE, "train-techniques@dropout-tanh", "train-techniques@batchnorm-relu", "train-penalties@l2-1e-3-relu",
          OTHER, "train-penalties@l1-1e-5-relu")  # fmt: skip
REPRO, FORCED = ("dvc", "repro"), ("--force", "--single-item")
EXPERIMENT = ("dvc", "exp", "run", "-S", "activation=tanh")
LOOP = (*EXPERIMENT, "-S", "epochs=2")
FORMER = {"train-architectures": "train-architecture", "train-techniques": "train-technique",
          "train-penalties": "train-penalty"}  # fmt: skip
FRONT = ("python", "-m", "stages.repro")  # what `make repro` of a former commit runs
WHOLE, OWN = "everything from nothing, two seeds", "everything from nothing, params.yaml's seeds against two"
LOOPING, TRIED = "the loop", "the loop, a value tried before"
Column = tuple[str, tuple[str, ...]]  # whose checkout, and its command for stages


def sample(checkout: Checkout, *command: str) -> list[phases.Moment]:
    """Return the timeline of a command."""
    with tempfile.TemporaryDirectory() as folder:
        began, ended = checkout.run(*command, PYTHONPATH=str(SAMPLER), JOB_SAMPLES=folder, **FRESH)
        return phases.timeline([path.read_text() for path in Path(folder).iterdir()], began, ended)


def breakdown(rounds: int) -> str:
    """Return the table of where the seconds go."""
    columns: dict[str, list[list[phases.Moment]]] = {"cold": [], "warm": [], "the loop": []}
    with tempfile.TemporaryDirectory() as scratch:
        here, looping = (Checkout.clone(ROOT, Path(scratch, name)) for name in ("here", "loop"))
        give_seeds(here.folder / "params.yaml")
        for checkout in (here, looping):
            checkout.run(*REPRO, *FORCED, STAGE, **FRESH)  # makes the MLflow store
        loop = _loops(looping)
        for number in range(rounds):
            columns["cold"].append(sample(here, *REPRO, *FORCED, STAGE))
            columns["warm"].append(phases.after(sample(here, *REPRO, *FORCED, OTHER, STAGE), OTHER))
            if loop:
                columns["the loop"].append(sample(looping, *LOOP))
                looping.reset()
            print(f"round {number + 1}/{rounds}", file=sys.stderr)
    medians = {title: phases.seconds(middle(found)) for title, found in columns.items() if found}
    return phases.table(medians)


def middle(timelines: list[list[phases.Moment]]) -> list[phases.Moment]:
    """Return the timeline of median length, of an even number the longer of two."""
    return sorted(timelines, key=len)[len(timelines) // 2]


def against(path: Path, stages: list[str], rounds: int, whole: int) -> str:
    """Return the table of this checkout's seconds against another one's. whole: runs of everything from nothing."""
    columns: list[Column] = [("this", REPRO), ("other", REPRO)]
    if (path / "stages/repro.py").exists():
        columns.append(("other", FRONT))
    found: dict[str, dict[Column, list[float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        sources = {"this": ROOT, "other": path}
        checkouts = {name: Checkout.clone(source, Path(scratch, name)) for name, source in sources.items()}
        looping = {name: Checkout.clone(source, Path(scratch, f"{name}-loop")) for name, source in sources.items()}
        for checkout in checkouts.values():
            give_seeds(checkout.folder / "params.yaml")
        for name, front in columns:  # makes the MLflow stores
            _measure(checkouts[name], front, stages[0])
        for checkout in looping.values():
            _measure(checkout, REPRO, stages[0])
        loops = all([_loops(checkout) for checkout in looping.values()])
        measured = [stages[0], " ".join(stages), *([LOOPING, TRIED] if loops else [])]
        for what in [*measured * rounds, *[WHOLE, OWN] * whole]:
            times = found.setdefault(what, {})
            turn = sum(map(len, times.values()))
            asked = compared(what, columns)
            for column in asked if turn % 2 == 0 else asked[::-1]:
                name, front = column
                at = looping if what in (LOOPING, TRIED) else checkouts
                times.setdefault(column, []).append(_measure(at[name], front, what))
                print(f"{what}: {name} by `{' '.join(front)}` {times[column][-1]:.1f} s", file=sys.stderr)
    if whole:
        found[OWN] = found[WHOLE] | found[OWN]
    return against_table(found, columns)


def compared(what: str, columns: list[Column]) -> list[Column]:
    """Return the columns for which something is measured. Everything takes long: of the other one, its last way."""
    if what in (LOOPING, TRIED):
        return [column for column in columns if column[1] == REPRO]
    return {WHOLE: [columns[0], columns[-1]], OWN: columns[:1]}.get(what, columns)


def give_seeds(path: Path) -> None:
    """Have a params.yaml give every study two seeds."""
    with edited(path) as params:
        for value in params.values():
            if isinstance(value, dict) and "protocol" in value:
                value["protocol"]["seeds"] = [0, 1]


def _loops(checkout: Checkout) -> bool:
    """Return whether an experiment would train the candidate alone. Print a line if not."""
    if not (current := checkout.current()):
        print(f"{checkout.source}: not as dvc.lock has it; the loop is left out till `make repro`, and a commit",
              file=sys.stderr)  # fmt: skip
    return current


def _measure(checkout: Checkout, front: tuple[str, ...], what: str) -> float:
    """Return the seconds of forced stages, of the loop, or of everything."""
    if what in (WHOLE, OWN):
        with tempfile.TemporaryDirectory() as folder:
            clone = Checkout.clone(checkout.source, Path(folder, "whole"), outputs=False)
            if what == WHOLE:
                give_seeds(clone.folder / "params.yaml")
            began, ended = clone.run(*front)
    elif what == LOOPING:
        began, ended = checkout.run(*LOOP, **FRESH)
        checkout.reset()
    elif what == TRIED:
        checkout.run(*LOOP)
        checkout.undo()
        began, ended = checkout.run(*LOOP)
        checkout.reset()
    else:
        pipeline = (checkout.folder / "dvc.yaml").read_text()
        began, ended = checkout.run(*front, *FORCED, *(stage_in(pipeline, one) for one in what.split()), **FRESH)
    return ended - began


def stage_in(pipeline: str, stage: str) -> str:
    """Return a stage's name as a dvc.yaml has it: groups had other names once."""
    group, _, variant = stage.partition("@")
    known = re.search(rf"^  {re.escape(group)}:", pipeline, re.MULTILINE)
    return stage if known else f"{FORMER.get(group, group)}@{variant}"


def against_table(found: dict[str, dict[Column, list[float]]], columns: list[Column]) -> str:
    """Return the Markdown table of median seconds, and the ratios of this checkout's to the other one's."""
    this, *others = columns
    titles = ["", "this, s"]
    for _, front in others:
        titles += [f"other, `{' '.join(front)}`, s", "this / other"]
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for what, times in found.items():
        medians = {column: statistics.median(values) for column, values in times.items()}
        name = f"{number} stages" if (number := len(what.split(" train-"))) > 1 else what
        cells = [name, f"{medians[this]:.1f}"]
        for column in others:
            known = column in medians
            cells += [f"{medians[column]:.1f}", f"{medians[this] / medians[column]:.2f}"] if known else ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(title: str, about: str, found: str) -> None:
    """Put a section into benchmarks/job.md in the place of the one of that title."""
    reports.keep(REPORT, "# Where the seconds go", f"## {title}\n\n{about}\n\n{found}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each command runs (default 3)")
    parser.add_argument("--against", type=Path, metavar="PATH", help="another checkout")
    parser.add_argument("--stages", nargs="+", default=STAGES, metavar="STAGE", help="those compared with --against")
    parser.add_argument("--whole", type=int, nargs="?", const=1, default=0, metavar="N", help="with --against")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/job.md")
    arguments = parser.parse_args()
    on = f"on {CORES} cores ({cpu()})"
    if arguments.against:
        title, option = "Against another checkout", " --against PATH"
        found = against(arguments.against.resolve(), list(arguments.stages), arguments.rounds, arguments.whole)
        about = f"Medians {on}, by turns. Stages by `dvc repro --force --single-item`, in one command, trained anew."
    else:
        title, option = "By phase", ""
        found = breakdown(arguments.rounds)
        about = (
            f"Seconds {on}. Cold: techniques/none-relu, 12 epochs of two seeds, as the only stage of its `dvc`. Warm: "
            "behind another training. The loop: `dvc exp run -S activation=tanh -S epochs=2`."
        )
    print(found)
    if arguments.write:
        write(title, f"`python -m benchmarks.job --rounds {arguments.rounds}{option} --write`. {about}", found)


if __name__ == "__main__":
    main()
