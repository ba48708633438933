"""dvc.yaml's dependencies are complete: what a stage imports is among them, or can't change its outputs."""

import re

import grimp
import pytest
from ruamel.yaml import YAML

from tests.helpers.params import ROOT
from tests.helpers.pipeline import study_block

PARAMS = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
SCRIPTS = sorted({stage.get("do", stage)["cmd"].split()[2].removeprefix("stages.") for stage in STAGES.values()})

# What can't change a byte of an output, and why. What only such a module imports need be no dependency either.
HARMLESS = {
    "mnist_mlp.errors": "an exception",
    "mnist_mlp.machine": "the CPU's name, for MLflow and for the names of checkpoints and kept replicates",
    "mnist_mlp.paths": "where files lie: DVC fails if an output isn't where dvc.yaml has it",
    "mnist_mlp.pipeline": "runs a stage; opens none of its outputs",
    "mnist_mlp.tracking": "tells MLflow and the terminal what was done; writes to no output",
}
HARMLESS_FOR = {
    "champion": {"mnist_mlp.config": "params.yaml is read for MLflow's registry alone"},
    "preprocess": {"mnist_mlp.files": "replaces the folder; its arrays are written by NumPy"},
    "train": {
        "mnist_mlp.config": "hands on the values of params.yaml, which are the stage's parameters; has no defaults",
        "mnist_mlp.files": "reads inputs; puts whole files and folders in their places",
        "stages.train": "hands on what the training returns",
    },
}


def declared(script: str) -> list[set[str]]:
    """Return the modules and packages among the dependencies of each stage that runs a script."""
    bodies = [stage.get("do", stage) for stage in STAGES.values()]
    return [
        {
            path.removesuffix(".py").replace("/", ".")
            for path in body["deps"]
            if path.startswith(("mnist_mlp", "stages"))
        }
        for body in bodies
        if body["cmd"].split()[2] == f"stages.{script}"
    ]


def undeclared(graph: grimp.ImportGraph, script: str, dependencies: set[str]) -> set[str]:
    """Return the modules that a stage imports, directly or not, and that no dependency nor reason covers."""

    def covered(module: str, by: set[str]) -> bool:
        return any(module == name or module.startswith(f"{name}.") for name in by)

    harmless = {*HARMLESS, *HARMLESS_FOR.get(script, {})}
    waiting, seen = [f"stages.{script}"], set()
    while waiting:
        module = waiting.pop()
        if module not in seen and (module == f"stages.{script}" or not covered(module, harmless)):
            seen.add(module)
            waiting += graph.find_modules_directly_imported_by(module)
    return {module for module in seen if not covered(module, dependencies | harmless)}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("mnist_mlp", "stages")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_stage_depends_on_all_code_that_can_change_its_outputs(script, graph):
    for dependencies in declared(script):
        assert undeclared(graph, script, dependencies) == set()


@pytest.mark.parametrize(
    ("script", "dependency"),
    [("compare", "mnist_mlp.evaluation"), ("train", "mnist_mlp.training"), ("evaluate", "mnist_mlp.files")],
)
def test_a_dependency_taken_away_is_noticed(script, dependency, graph):
    assert undeclared(graph, script, declared(script)[0] - {dependency})


def test_every_dependency_on_code_is_a_folder_or_a_module_that_is_imported(graph):
    for script in SCRIPTS:
        for name in set.union(*declared(script)):
            assert (ROOT / name.replace(".", "/")).is_dir() or name in graph.modules


def test_every_reason_is_needed(graph):
    imported = set().union(*(graph.find_upstream_modules(f"stages.{script}") for script in SCRIPTS))
    assert all(any(module.startswith(name) for module in imported) for name in HARMLESS)
    for script, reasons in HARMLESS_FOR.items():
        own = graph.find_upstream_modules(f"stages.{script}") | {f"stages.{script}"}
        assert all(any(module.startswith(name) for module in own) for name in reasons)


def test_no_attribute_of_another_library_is_replaced():
    """The house's rule: their internals are called, never changed. setattr, sys.modules and the like are not used."""
    forbidden = ("setattr(", "sys.modules[", "importlib.reload", "mock.patch")
    for path in [*ROOT.glob("mnist_mlp/**/*.py"), *ROOT.glob("stages/*.py")]:
        text = path.read_text()
        assert not [word for word in forbidden if word in text], path


def test_no_test_imports_another_test():
    for path in ROOT.glob("tests/**/*.py"):
        imported = re.findall(r"^\s*(?:from|import) ([\w.]+)", path.read_text(), re.MULTILINE)
        assert not [name for name in imported if re.match(r"test_|tests\.(?!helpers)", name)], path


def studies() -> dict[str, dict]:
    return {name: body for name, body in PARAMS.items() if isinstance(body, dict) and "protocol" in body}


@pytest.mark.parametrize("study", studies())
def test_a_studys_block_in_dvc_yaml_declares_all_that_its_trainings_follow_from(study):
    def ordered(block: dict) -> dict:
        stage = block.get("do", block)
        whole = block | {"do": None} | stage | {key: sorted(stage[key]) for key in ("deps", "params", "outs")}
        return {key: value for key, value in whole.items() if key != "desc"}

    block, expected = STAGES[f"train-{study}"], study_block(study, studies()[study])
    assert ordered(block) == ordered(expected)
    assert list(block.get("matrix", {})) == list(expected.get("matrix", {}))  # names a variant by its levels in order


def test_every_stage_says_in_one_line_of_dvc_stage_list_what_it_does():
    for name, block in STAGES.items():
        described = block.get("do", block).get("desc", "")
        assert 10 < len(described) <= 80, name
