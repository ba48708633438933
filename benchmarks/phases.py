"""What a sampled command did and when: the samples of its processes, made one timeline and summed by phase.

Each moment counts once: for the innermost process that works, by the function that its main thread is in, or that its
main thread waits for. benchmarks/sampler/sitecustomize.py says how samples are written.
"""

import re
import statistics
from collections import Counter
from pathlib import Path
from typing import NamedTuple

STEP = 0.01  # seconds of a cell of a timeline
DVC, WAITING = "DVC", "waiting"
SERVER = "start of the warm process"
PROCESS = "the stage: client, fork, imports"
INPUTS = "parameters and inputs read"
MLFLOW = "opening MLflow"
DATA = "data: digested, chosen, packed"
TRACING = "networks built, epoch traced"
COMPILING = "compiling: first epoch less a later one"
EPOCHS = "epochs"
OUTPUTS = "predictions, outputs, replicates kept"
LOGGING = "logging and figures"
REST = "the stage: the rest"
PHASES = {  # by function, or by file
    "tracking/runs.py:_begin": MLFLOW,
    "tracking/runs.py:Log.__call__": LOGGING,
    "training/splits.py:load": DATA,
    "training/cache.py:Cache.__init__": DATA,
    "compiled/epoch.py:pixels_for": DATA,
    "compiled/epoch.py:CompiledEngine._bring_images": DATA,
    "compiled/epoch.py:CompiledEngine.__init__": TRACING,
    "compiled/epoch.py:CompiledReplicate.__init__": TRACING,
    "compiled/epoch.py:CompiledReplicate.run_epoch": EPOCHS,
    "compiled/epoch.py:CompiledReplicate.predict": OUTPUTS,
    "compiled/epoch.py:CompiledReplicate.model": OUTPUTS,
    "training/outputs.py:write": OUTPUTS,
    "training/cache.py:Cache.write": OUTPUTS,
    "pipeline/inputs.py": INPUTS,
    "config/params.py": INPUTS,
}
RANKS = {WAITING: -1, DVC: 0, PROCESS: 1, SERVER: 2}  # of what goes on at once; a stage's own work has 3
IMPORTS = "<frozen importlib._bootstrap"
PARTS = {"imports": IMPORTS, "reading and writing YAML": "yaml/"}  # of DVC's time, by the frames' files
ROWS = ("DVC before the stage", "DVC between stages", SERVER, PROCESS, INPUTS, MLFLOW, DATA, TRACING, COMPILING, EPOCHS,
        OUTPUTS, LOGGING, REST, "evaluate, whole", "compare, whole", "champion, whole", "DVC after it")  # fmt: skip
Stack = list[str]


class Moment(NamedTuple):
    """What goes on. stage: DVC's name of it; part: of DVC's time one of PARTS, of epochs the number."""

    stage: str
    label: str
    part: str = ""


def classify(header: str, stage: str, stacks: list[Stack]) -> Moment | None:
    """Return what a process does, by its file's first line and a sample. None: it has no part in the command."""
    kind, _, script, *_ = [*header.split(), "", ""]
    main = stacks[0]
    if kind == "started" and "warm_server.py" in header:
        return None if _within(main, "pipeline/warm_server.py:Server.serve") else Moment(stage, SERVER)
    if Path(script).name == "dvc":
        if _within(main, "stage/run.py:_run"):
            return Moment("", WAITING)
        return Moment("", DVC, next((part for part, prefix in PARTS.items() if _within(main, prefix)), "the rest"))
    if not re.search(r" stages\.\w+|warm_server\.py", header):
        return None
    if _within(main, "pipeline/warm_client.py:run_forked"):
        return Moment(stage, PROCESS)
    waits = main[0].partition(":")[0].endswith("threading.py")
    phases = [_phase(stack) for stack in (stacks[1:] if waits else [])]
    if known := [phase for phase in phases if phase] or [phase for phase in [_phase(main)] if phase]:
        return Moment(stage, *min(known, key=lambda phase: (phase[0] != EPOCHS, int(phase[1] or 0))))
    starts = _within(main, IMPORTS) or not _within(main, "pipeline/stage.py:_work")
    return Moment(stage, PROCESS if starts else REST)


def _within(stack: Stack, prefix: str) -> bool:
    return any(frame.startswith(prefix) for frame in stack)


def _phase(stack: Stack) -> tuple[str, str] | None:
    """Return the phase of the innermost frame that has one, and its epoch."""
    for frame in stack:
        name, _, epoch = frame.partition(" ")
        if phase := PHASES.get(name) or PHASES.get(name.partition(":")[0]):
            return phase, epoch
    return None


def timeline(processes: list[str], began: float, ended: float) -> list[Moment]:
    """Return what a command did in each STEP of its time. processes: what the file of each process holds.

    A sample stands for the time since the one before: no sample is taken while C code holds Python's lock."""
    cells: list[Moment | None] = [None] * (round((ended - began) / STEP) + 1)
    for text in processes:
        header, *lines = text.splitlines()
        last = None
        for line in lines:
            if line.count("\t") != 2 or not (stacks := line.split("\t")[2]):  # the last one may be torn
                continue
            at, stage, _ = line.split("\t")
            cell = int((float(at) - began) / STEP)
            moment = classify(header, stage, [stack.split(";") for stack in stacks.split("|")])
            for i in range(cell if last is None else last + 1, min(cell + 1, len(cells))):
                if _rank(moment) > _rank(cells[i]):
                    cells[i] = moment
            last = cell
    return _filled(cells)


def _rank(moment: Moment | None) -> int:
    return RANKS.get(moment.label, 3) if moment else -2


def _filled(cells: list[Moment | None]) -> list[Moment]:
    """Return cells without gaps. A process starts or ends where none was seen."""
    filled: list[Moment] = []
    for cell in cells:
        if cell and cell.label == WAITING:
            cell = Moment("", PROCESS)
        filled.append(cell or (filled[-1] if filled else Moment("", DVC, "imports")))
    return filled


def after(cells: list[Moment], stage: str) -> list[Moment]:
    """Return the cells from the end of a stage to that of the last one."""
    named = [i for i, cell in enumerate(cells) if cell.stage]
    return cells[max(i for i in named if cells[i].stage == stage) + 1 : named[-1] + 1]


def seconds(cells: list[Moment]) -> dict[str, float]:
    """Return seconds by row of the table: DVC's by place and part, a training's by phase, other stages' by stage."""
    worked = [i for i, cell in enumerate(cells) if cell.label != DVC]
    rows: Counter[str] = Counter()
    epochs: Counter[int] = Counter()
    for i, (stage, label, part) in enumerate(cells):
        if label == DVC:
            place = "before the stage" if i < worked[0] else "after it" if i > worked[-1] else "between stages"
            rows.update([f"DVC {place}", f"of DVC's: {part}"])
        elif stage and not stage.startswith("train-"):
            rows[f"{stage}, whole"] += 1
        else:
            rows[label] += 1
            if label == EPOCHS:
                epochs[int(part or 0)] += 1
    if later := [count for epoch, count in epochs.items() if epoch > 1]:
        rows[COMPILING] = max(0, epochs[1] - round(statistics.median(later)))
        rows[EPOCHS] -= rows[COMPILING]
    return {row: count * STEP for row, count in rows.items()}


def table(columns: dict[str, dict[str, float]]) -> str:
    """Return the Markdown table. columns: by title, seconds by row."""
    totals = {title: sum(column.get(row, 0) for row in ROWS) for title, column in columns.items()}
    lines = [f"| | {' | '.join(f'{title}, s | share' for title in columns)} |", "|---|" + "---|---|" * len(columns)]
    for row in (*ROWS, "all", *(f"of DVC's: {part}" for part in (*PARTS, "the rest"))):
        values = {title: totals[title] if row == "all" else column.get(row, 0) for title, column in columns.items()}
        if any(values.values()):
            cells = [f"{value:.2f} | {value / totals[title]:.0%}" for title, value in values.items()]
            lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)
