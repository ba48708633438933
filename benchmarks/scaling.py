"""The pipeline on Dask, on this machine: `python -m benchmarks.scaling [study] [job] [overhead] [variants] [--write]`.

study: the trainings of `techniques`, one seed each, by `dvc repro` and by JOBS=2, which must give the same bytes. On
MNIST, where a source of it answers.
job: all trainings as params.yaml has them, and what follows, by `dvc repro` and by JOBS=2. On MNIST too.
overhead: a stage on a warm worker, against `dvc repro --single-item` by hand.
variants: the pipeline on generated one-epoch variants of the sample, by their number, by `dvc repro` and with workers;
then a `dvc repro` that finds nothing to do, and one after a change to one variant. Hours: with --write, rows that are
measured stay, so --counts and --jobs may go through the table in parts.
All in scratch clones of the committed checkout. --write keeps the tables in benchmarks/scaling.md, each till it is
measured again.
"""

import argparse
import contextlib
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import psutil
from ruamel.yaml import YAML

from benchmarks import reports
from benchmarks.checkouts import edited
from mnist_mlp.machine import cpu
from mnist_mlp.training.environment import CORES

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "benchmarks/scaling.md"
STARTED, ENDED = re.compile(r"(?:Running stage '|^)(train-[\w@-]+)(?:'|  started)"), re.compile(r"^\[\d+/\d+\] (\S+)  ")
ACTIVATIONS = ["relu", "leaky_relu", "tanh", "sigmoid", "elu", "selu", "gelu", "silu", "softplus", "softsign"]
Lines = list[tuple[float, str]]
VARIANTS = ("Generated variants of an epoch, on the sample: a grid of factors, or, once, by name. "
            "`python -m benchmarks.scaling variants --write`.")  # fmt: skip
WAYS = ("## By number of variants and workers", VARIANTS,
        ("variants", "by", "all, s", "before the first training, s", "a training every, s", "evaluate, s", "compare, s",
         "after the last stage, s", "largest process, MB", "CPU"))  # fmt: skip
SIZES = ("## By number of variants, whoever trained them", VARIANTS,
         ("variants", "nothing to do, s", "one changed, s", "MLflow's table, ms", "params.yaml, lines",
          "dvc.lock, lines", "comparison.html, KB", "it opens in, ms", "CPU"))  # fmt: skip


def clone(folder: Path) -> Path:
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    (folder / "dvc.lock").unlink()
    return folder


def keep(study: dict, *levels: Sequence[str]) -> None:
    """Keep these levels of each factor of a study."""
    for (factor, all_levels), some in zip(study["factors"].items(), levels, strict=True):
        study["factors"][factor] = some if isinstance(all_levels, list) else {name: all_levels[name] for name in some}


def change(folder: Path, study: str, protocol: dict, levels: list[list[str]] | None = None, **params: object) -> None:
    """Have params.yaml give a study this protocol and, of its factors, only these levels."""
    with edited(folder / "params.yaml") as found:
        found.update(params)
        found[study]["protocol"].update(protocol)
        if levels:
            keep(found[study], *levels)


def declare(folder: Path, count: int, units: int = 0, by_name: bool = False) -> None:
    """Have params.yaml declare `count` variants, 12 or more: a grid of first layers' widths and of activations, up to
    ten architectures by name, and a penalty. units: added to the first architecture's width, which changes it alone.
    by_name: the grid has one width, all others are architectures, each with a network: thousands of lines, which DVC
    parses once a stage, to find whether it is up to date."""
    widths, rest = (1, count - 2 - len(ACTIVATIONS)) if by_name else divmod(count - 2, len(ACTIVATIONS))
    with edited(folder / "params.yaml") as params:
        params |= {"dataset": "mnist-sample", "epochs": 1, "seeds": [0]}
        for study in ("architectures", "techniques", "penalties"):
            params[study]["protocol"] |= {"epochs": 1, "seeds": [0], "batch_size": 128}
        for study in ("techniques", "penalties"):
            params[study]["network"]["layers"] = [{"dense": 16}]
        params["architectures"]["variants"] = {
            f"dense{i}": {"activation": "relu", "optimizer": "adam", "layers": [{"dense": 16 + i + units * (i == 0)}]}
            for i in range(rest + 1)
        }
        technique = {f"dense{16 + i}": {"ahead": [{"dense": 16 + i}]} for i in range(1, widths)}
        params["techniques"]["factors"] = {"technique": {"none": {}} | technique, "activation": ACTIVATIONS}
        keep(params["penalties"], ["l2-1e-3"], ["relu"])


class Memory(threading.Thread):
    """Watch, while the block works, how many bytes the largest process takes that works in a folder."""

    def __init__(self, folder: Path):
        super().__init__(daemon=True)
        self.folder, self.largest, self.ended = folder, 0, threading.Event()

    def __enter__(self) -> "Memory":
        self.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self.ended.set()
        self.join()

    def run(self) -> None:
        while not self.ended.wait(1):
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    if Path(process.cwd()).is_relative_to(self.folder):
                        self.largest = max(self.largest, process.memory_info().rss)


def run(folder: Path, *command: str, fresh: bool = True) -> Lines:
    """The lines that a command printed, and the seconds at which it did; the last one, empty, when it ended.

    fresh: no training takes another's replicates."""
    began, lines = time.monotonic(), []
    own = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    own["MNIST_MLP_FRESH"] = str(int(fresh))
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=own
    ) as process:
        for line in process.stdout:
            lines.append((time.monotonic() - began, line))
    if process.returncode:
        sys.exit("".join(line for _, line in lines[-20:]) + f"{shlex.join(command)} failed; {folder} stays as it is")
    return [*lines, (time.monotonic() - began, "")]


def repro(folder: Path, jobs: int, *targets: str, fresh: bool = True) -> Lines:
    workers = (sys.executable, "-u", "-m", "mnist_mlp", "cluster", "--jobs", str(jobs))
    return run(folder, *(workers if jobs else ("dvc", "repro")), *targets, fresh=fresh)


def nothing(folder: Path, *targets: str) -> float:
    """Return the seconds of a `dvc repro` that has nothing to do. Exits if it ran a stage."""
    lines = repro(folder, 0, *targets)
    if ran := [line for _, line in lines if line.startswith("Running stage")]:
        sys.exit(f"{folder}: found a stage that is run again: {ran[0].strip()}")
    return lines[-1][0]


def times(lines: Lines, pattern: re.Pattern) -> dict[str, float]:
    return {found[1]: seconds for seconds, line in lines if (found := pattern.search(line))}


def digests(folder: Path) -> dict[str, bytes]:
    paths = [folder / "dvc.lock", *(folder / "models").rglob("*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


def both_ways(first: Path, title: str, what: str, *targets: str, fresh: bool) -> str:
    """Run targets by `dvc repro` and by JOBS=2, once the data are prepared. Return the section; exit if bytes differ.

    what: what was run; {stages} and {data} in it become the number of trainings and the data set."""
    run(first, "dvc", "repro", "preprocess")
    second = Path(shutil.copytree(first, f"{first}-jobs", symlinks=True))
    seconds = []
    for folder, jobs in ((first, 0), (second, 2)):
        run(folder, "dvc", "status")  # digests the data where they are now
        seconds.append(repro(folder, jobs, *targets, fresh=fresh)[-1][0])
        print(f"{folder.name}: {seconds[-1]:.0f} s", flush=True)
    if digests(first) != digests(second):
        sys.exit(f"dvc.lock or the models differ in {first} and {second}")
    stages = (first / "dvc.lock").read_text().count("\n  train-")
    data = re.search(r'"name": "([\w-]+)"', (first / "data/prepared/dataset.json").read_text())[1]
    return "\n".join([
        f"## {title}", "",
        f"{what.format(stages=stages, data=data)}. dvc.lock and the models are the same to the byte. {cpu()}.", "",
        "| | seconds | ratio |", "| --- | --- | --- |",
        f"| `dvc repro` | {seconds[0]:.0f} | 1 |", f"| JOBS=2 | {seconds[1]:.0f} | {seconds[1] / seconds[0]:.2f} |",
    ])  # fmt: skip


def measure_study(scratch: Path, epochs: int | None) -> str:
    folder = clone(scratch / "study")
    change(folder, "techniques", {"seeds": [0]} | ({"epochs": epochs} if epochs else {}), dataset="auto")
    epochs = YAML(typ="safe").load(folder / "params.yaml")["techniques"]["protocol"]["epochs"]
    what = f"`techniques`: {{stages}} variants, one seed, {epochs} epochs, {{data}}"
    return both_ways(folder, "A study with two workers", what, "train-techniques", fresh=True)


def measure_job(scratch: Path) -> str:
    what = "All {stages} trainings as params.yaml has them, on {data}, and what follows them"
    return both_ways(clone(scratch / "job"), "Everything with two workers", what, fresh=False)


def measure_overhead(scratch: Path) -> str:
    levels = [["none"], ["relu", "tanh", "sigmoid", "leaky_relu"]]
    folder, rows = clone(scratch / "overhead"), []
    change(folder, "techniques", {"seeds": [0], "epochs": 1}, levels, dataset="mnist-sample")
    run(folder, "dvc", "repro", "preprocess")
    stages = [f"train-techniques@none-{activation}" for activation in levels[1]]
    found = repro(folder, 1, *stages)
    began, ended = times(found, STARTED), times(found, ENDED)
    order = sorted(ended, key=ended.get)
    change(folder, "techniques", {"batch_size": 100})
    hand = {stage: run(folder, "dvc", "repro", "--single-item", stage)[-1][0] for stage in order}
    for stage in order[1:]:  # the first one starts the worker
        rows.append((ended[stage] - began[stage], hand[stage]))
    worker, alone = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"overhead: {worker:.2f} s on a worker, {alone:.2f} s by hand", flush=True)
    return "\n".join([
        "## A stage on a warm worker", "",
        "A training of an epoch on the sample, medians of three.", "",
        "| on a worker, s | `dvc repro --single-item`, s | overhead, s |", "| --- | --- | --- |",
        f"| {worker:.2f} | {alone:.2f} | {worker - alone:+.2f} |",
    ])  # fmt: skip


def measure_variants(scratch: Path, counts: list[int], workers: list[int], by_name: bool) -> Iterator[str]:
    """Yield a section after each measured row, with the rows of the report that it doesn't replace."""
    if not (shutil.which("chromedriver") and find_spec("selenium")):
        sys.exit("found no chromedriver or no selenium; `apt-get install chromium chromium-driver`, `make setup`")
    ways, sizes = reports.Table(REPORT, *WAYS, keys=2), reports.Table(REPORT, *SIZES, keys=1)
    for count in counts:
        number = f"{count:,} by name" if by_name else f"{count:,}"
        for jobs in workers:
            folder = clone(scratch / f"variants-{count}-{jobs}")
            declare(folder, count, by_name=by_name)
            with Memory(folder) as memory:
                parts = _parts(repro(folder, jobs))
            by = f"JOBS={jobs}" if jobs else "`dvc repro`"
            yield ways.put(number, by, *_words(*parts, memory.largest // 10**6), cpu())
        yield sizes.put(number, *_words(*_sizes(folder, count, by_name)), cpu())


def _words(*cells: float) -> Iterator[str]:
    return (f"{cell:,.1f}" if isinstance(cell, float) else f"{cell:,}" for cell in cells)


def _sizes(folder: Path, count: int, by_name: bool) -> tuple[float, ...]:
    """Seconds: with nothing to do; with one variant changed. Milliseconds of MLflow's table; lines of params.yaml and
    of dvc.lock; KB of the page, and milliseconds till a browser shows it."""
    none = nothing(folder)
    declare(folder, count, units=1, by_name=by_name)
    changed = repro(folder, 0)[-1][0]
    page = folder / "reports/comparison.html"
    lines = [(folder / name).read_bytes().count(b"\n") for name in ("params.yaml", "dvc.lock")]
    return none, changed, round(1000 * _table_seconds(folder)), *lines, page.stat().st_size // 1000, _opening(page)


def _table_seconds(folder: Path) -> float:
    """Return the seconds until MLflow's store has answered with the runs that its table shows first, median of five."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    moments = [time.monotonic()]
    for _ in range(5):
        client.search_runs(experiments, max_results=100)
        moments.append(time.monotonic())
    return statistics.median(after - before for before, after in pairwise(moments))


def _opening(page: Path) -> int:
    """Return the milliseconds until a browser shows a page, median of five."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox"):
        options.add_argument(flag)
    shown = "const done = arguments[0]; requestAnimationFrame(() => setTimeout(() => done(performance.now())))"
    with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as browser:
        milliseconds = []
        for _ in range(5):
            browser.get("about:blank")  # so that the page is opened, not found open
            browser.get(page.as_uri())
            milliseconds.append(browser.execute_async_script(shown))
    return round(statistics.median(milliseconds))


def _parts(lines: Lines) -> tuple[float, ...]:
    """Seconds: all; till the first training starts; by training, of the time that they take together; evaluate;
    compare; from the last stage's end to the command's."""
    end, began = lines[-1][0], times(lines, STARTED)
    ended = times(lines, ENDED)
    if not ended:  # `dvc repro` tells of starts alone
        starts = {found[1]: at for at, line in lines if (found := re.match(r"Running stage '(.*)'", line))}
        order = [*sorted(starts, key=starts.get), "end"]
        starts["end"] = end
        ended = {name: starts[after] for name, after in pairwise(order)}
    first, trained = min(began.values()), max(at for name, at in ended.items() if name.startswith("train"))
    evaluated = ended["evaluate"]
    return (end, first, (trained - first) / len(began), evaluated - trained,
            ended["compare"] - evaluated, end - max(ended.values()))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="study, job, overhead, variants; by default all of them")
    parser.add_argument("--counts", type=int, nargs="+", default=[58, 200, 500, 1000], help="numbers of variants")
    parser.add_argument("--jobs", type=int, nargs="+", default=[2, 0], help="numbers of workers; 0: `dvc repro`")
    parser.add_argument("--by-name", action="store_true", help="variants by name, each with a network, not a grid")
    parser.add_argument("--epochs", type=int, help="of the study, instead of its own")
    parser.add_argument("--write", action="store_true", help="keep the tables in benchmarks/scaling.md")
    arguments = parser.parse_args()
    measures = {
        "study": lambda scratch: [measure_study(scratch, arguments.epochs)],
        "job": lambda scratch: [measure_job(scratch)],
        "overhead": lambda scratch: [measure_overhead(scratch)],
        "variants": lambda scratch: measure_variants(scratch, arguments.counts, arguments.jobs, arguments.by_name),
    }
    if unknown := set(arguments.what) - set(measures):
        parser.error(f"{', '.join(unknown)}: not among {', '.join(measures)}")
    title = "# The pipeline on Dask's workers"
    note = f"Seconds as measured by `python -m benchmarks.scaling --write` on {CORES} cores ({platform.machine()})."
    for name in arguments.what or measures:
        scratch = Path(tempfile.mkdtemp(prefix="scaling-"))  # stays if a command fails: some take hours
        for section in measures[name](scratch):
            if arguments.write:
                reports.keep(REPORT, f"{title}\n\n{note}", section)
            print(section, flush=True)
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
