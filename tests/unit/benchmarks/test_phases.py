"""The samples of a command's processes, made a timeline and summed by phase."""

import ast

import pytest

from benchmarks import phases
from benchmarks.phases import Moment, classify
from tests.helpers.params import ROOT

DVC = "started python /venv/bin/dvc repro"
CLIENT = "started python -m stages.train techniques none-relu"
SERVER = "started python -P mnist_mlp/pipeline/warm_server.py 3 4"
FORK = SERVER.replace("started", "forked")
WORK = ["pipeline/stage.py:_work", "pipeline/stage.py:run_in_fork"]
WAITS = ["python3.11/threading.py:Condition.wait", "training/trainer.py:_train", *WORK]
TRAIN = "train-techniques@none-relu"


def epoch(number: int) -> list[str]:
    return ["eager/execute.py:quick_execute", f"compiled/epoch.py:CompiledReplicate.run_epoch {number}"]


@pytest.mark.parametrize(
    ("header", "stacks", "expected"),
    [
        (DVC, [["stage/run.py:_run", "bin/dvc:<module>"]], Moment("", phases.WAITING)),
        (DVC, [["yaml/parser.py:Parser.parse", "bin/dvc:<module>"]], Moment("", "DVC", "reading and writing YAML")),
        (DVC, [["<frozen importlib._bootstrap>:_find_and_load"]], Moment("", "DVC", "imports")),
        (DVC, [["dvc/output.py:Output.add"]], Moment("", "DVC", "the rest")),
        ("started python -m dvc daemon analytics", [["dvc/daemon.py:daemon"]], None),
        (CLIENT, [["pipeline/warm_client.py:run_forked"]], Moment(TRAIN, phases.PROCESS)),
        (SERVER, [["pipeline/warm_server.py:prepare"]], Moment(TRAIN, phases.SERVER)),
        (SERVER, [["python3.11/selectors.py:select", "pipeline/warm_server.py:Server.serve"]], None),
        (FORK, [["<frozen importlib._bootstrap>:_find_and_load", *WORK]], Moment(TRAIN, phases.PROCESS)),
        (FORK, [["tracking/store.py:open_store", "tracking/runs.py:_begin", *WORK]], Moment(TRAIN, phases.MLFLOW)),
        (FORK, [["stages/train.py:_train", *WORK]], Moment(TRAIN, phases.REST)),
        (FORK, [WAITS, epoch(3), epoch(2)], Moment(TRAIN, phases.EPOCHS, "2")),
        (FORK, [WAITS, ["compiled/epoch.py:CompiledReplicate.predict"], epoch(3)], Moment(TRAIN, phases.EPOCHS, "3")),
        (FORK, [WAITS, ["training/replicates.py:train"]], Moment(TRAIN, phases.REST)),
    ],
)
def test_a_sample_is_classified_by_process_and_innermost_function(header, stacks, expected):
    assert classify(header, TRAIN, stacks) == expected


def test_a_wait_for_another_thread_counts_as_that_threads_work():
    wait = ["python3.11/threading.py:Condition.wait", "compiled/epoch.py:CompiledEngine.__init__"]
    bring = ["compiled/pixels.py:Pixels.packed", "compiled/epoch.py:CompiledEngine._bring_images"]
    assert classify(FORK, TRAIN, [wait, bring]) == Moment(TRAIN, phases.DATA)
    assert classify(FORK, TRAIN, [wait, ["concurrent/thread.py:_worker"]]) == Moment(TRAIN, phases.TRACING)
    assert classify(FORK, TRAIN, [wait[1:], bring]) == Moment(TRAIN, phases.TRACING)


@pytest.mark.parametrize("name", phases.PHASES)
def test_every_function_that_names_a_phase_is_there(name):
    path, _, function = name.partition(":")
    (file,) = (ROOT / "mnist_mlp").rglob(path)
    scopes: list = [ast.parse(file.read_text())]
    for part in filter(None, function.split(".")):
        kinds = (ast.ClassDef, ast.FunctionDef)
        scopes = [node for scope in scopes for node in scope.body if isinstance(node, kinds) and node.name == part]
    assert scopes


def lines(header: str, *samples: tuple[float, str, str]) -> str:
    return "\n".join([header, *("\t".join(map(str, sample)) for sample in samples)]) + "\n10.0\ttorn"


def test_each_moment_of_a_timeline_is_the_innermost_process():
    dvc = lines(DVC, (10.005, "-", "a.py:f"), (10.015, "-", "stage/run.py:_run"), (10.065, "-", "stage/run.py:_run"))
    fork = lines(FORK, (10.035, TRAIN, "tracking/runs.py:_begin"), (10.055, TRAIN, "pipeline/inputs.py:Inputs.check"))
    found = phases.timeline([fork, dvc], 10.0, 10.07)
    waits, opens, reads = (Moment("", phases.PROCESS), Moment(TRAIN, phases.MLFLOW), Moment(TRAIN, phases.INPUTS))
    assert found == [Moment("", "DVC", "the rest"), waits, waits, opens, reads, reads, waits, waits]


def test_seconds_are_summed_by_place_phase_and_stage():
    dvc, done = Moment("", "DVC", "imports"), Moment("evaluate", phases.REST)
    epochs = [Moment(TRAIN, phases.EPOCHS, number) for number in ("1", "1", "1", "2", "3")]
    found = phases.seconds([dvc, *epochs, dvc, dvc, done, done, dvc])
    assert found == pytest.approx({
        "DVC before the stage": 0.01, "DVC between stages": 0.02, "DVC after it": 0.01, "of DVC's: imports": 0.04,
        phases.COMPILING: 0.02, phases.EPOCHS: 0.03, "evaluate, whole": 0.02,
    })  # fmt: skip


def test_what_comes_after_a_stage_ends_with_the_last_stage():
    dvc, first, second = Moment("", "DVC"), Moment("train-a@b", phases.REST), Moment(TRAIN, phases.REST)
    assert phases.after([dvc, first, dvc, second, second, dvc], "train-a@b") == [dvc, second, second]


def test_table_has_rows_in_order_with_shares_of_the_whole():
    columns = {"cold": {phases.EPOCHS: 3.0, "DVC before the stage": 1.0, "of DVC's: imports": 0.5}, "warm": {}}
    columns["warm"] = {phases.EPOCHS: 2.0}
    assert phases.table(columns).splitlines() == [
        "| | cold, s | share | warm, s | share |",
        "|---|---|---|---|---|",
        "| DVC before the stage | 1.00 | 25% | 0.00 | 0% |",
        "| epochs | 3.00 | 75% | 2.00 | 100% |",
        "| all | 4.00 | 100% | 2.00 | 100% |",
        "| of DVC's: imports | 0.50 | 12% | 0.00 | 0% |",
    ]
