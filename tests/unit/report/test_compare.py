"""The stage compare: as a process, of odd projects, and of reports of another params.yaml."""

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mnist_mlp.pipeline.stage import errors_as_lines
from stages import compare, evaluate
from tests.helpers.made_outputs import HEAVY, contents, make, run_main, run_stage
from tests.helpers.variants import shrink


@pytest.fixture(scope="module")
def process(root, tmp_path_factory) -> tuple[Path, str, set[str]]:
    """A copy in which `python -m stages.compare` ran, what that printed, and the packages that it imported."""
    copy = tmp_path_factory.mktemp("process") / "project"
    shutil.copytree(root, copy)
    for written in ("figures/accuracy.png", "comparison.md", "comparison.html"):
        (copy / "reports" / written).unlink()
    (copy / "matplotlibrc").write_text("font.size: 25\nfigure.facecolor: black\n")
    return copy, *run_stage("compare", copy, PYTHONHASHSEED="3", TZ="Asia/Tokyo", LC_ALL="C", PYTHONUTF8="1")


def test_a_process_with_other_settings_writes_and_prints_the_same(process, root, printed):
    copy, again, _ = process
    assert again == printed
    assert contents(copy / "reports") == contents(root / "reports")


def test_compare_imports_no_tensorflow_keras_or_mlflow(process):
    _, _, imported = process
    assert "matplotlib" in imported
    assert not imported & HEAVY


STUDIES = ("architectures", "techniques", "penalties")


def unpublished(params: dict[str, Any]) -> None:
    params["techniques"]["factors"]["activation"].append("elu")
    params["architectures"]["variants"]["unpublished"] = params["architectures"]["variants"]["model8"]
    params["architectures"]["variants"]["model4"]["activation"] = "tanh"


def one_seed(params: dict[str, Any]) -> None:
    for training in (params, *(params[study]["protocol"] for study in STUDIES)):
        training["seeds"] = [0]


def one_epoch(params: dict[str, Any]) -> None:
    for training in (params, *(params[study]["protocol"] for study in STUDIES)):
        training["epochs"] = 1


def one_variant(params: dict[str, Any]) -> None:
    shrink(
        params, {"architectures": ["model1"], "techniques": [["none"], ["relu"]], "penalties": [["l2-1e-3"], ["relu"]]}
    )


def no_study(params: dict[str, Any]) -> None:
    for study in STUDIES:
        del params[study]


def three_factors(params: dict[str, Any]) -> None:
    """A study of three factors, one of which changes no weight, in place of `penalties`."""
    study = copy.deepcopy(params.pop("penalties"))
    factors = {
        "order": {"as-is": {}, "flat": {"ahead": [{"activity_l1": 0.01}]}},
        "optimizer": ["adam", "sgd"],
        "learning_rate": [0.001, 0.01],
    }
    params["sweep"] = study | {"factors": factors, "reference": None}
    params["sweep"]["network"]["activation"] = "relu"


def lost_reference(params: dict[str, Any]) -> None:
    params["penalties"]["protocol"]["batch_size"] = 64


@pytest.mark.slow
@pytest.mark.parametrize("error", [None, 0.0], ids=["some errors", "no error"])
@pytest.mark.parametrize(
    "edit", [unpublished, one_seed, one_epoch, one_variant, no_study, three_factors, lost_reference]
)
def test_odd_projects_are_reported_without_warnings_or_missing_numbers(edit, error, tmp_path):
    make(tmp_path, edit=edit, error=error)
    for stage in (evaluate, compare):
        run_main(stage, tmp_path)  # a warning is an error
    for name in ("comparison.html", "comparison.md", "variants.csv", "statistics.json"):
        text = re.sub(r"<(style|script)>.*?</\1>", "", (tmp_path / "reports" / name).read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(nan|NaN|inf|Infinity|None)\b(?!: no)", text), name


def test_reports_of_other_seeds_are_refused(root, tmp_path, capsys):
    shutil.copytree(root / "reports", tmp_path / "reports")
    text = (root / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace('"seeds": [0, 1]', '"seeds": [0, 2]', 1))
    with pytest.raises(SystemExit) as ended, errors_as_lines():
        run_main(compare, tmp_path)
    assert ended.value.code == 1
    line = "error: reports/results.csv: other variants or seeds than params.yaml's; run `dvc repro`\n"
    assert capsys.readouterr().err == line
