"""The stage compare: as a process, of odd projects, and of reports of another params.yaml."""

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mnist_mlp.pipeline.stage import errors_as_lines
from stages import compare, evaluate
from tests.helpers.made_outputs import HEAVY, contents, make, read_results, run_main, run_stage
from tests.helpers.variants import shrink

# What readers of CSV take for missing values, numbers and truth values.
ODD = ["null", "nan", "na", "none", "true", "007", "1e5", "inf", "n-a", "nat"]


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


def odd_names(params: dict[str, Any]) -> None:
    """Name variants with what a reader of CSV takes for missing values and numbers."""
    one_variant(params)
    (network,) = params["architectures"]["variants"].values()
    params["architectures"]["variants"] |= dict.fromkeys(ODD, network)
    params["techniques"]["factors"]["technique"] |= {name: {} for name in ODD}


def no_model_of_its_own(params: dict[str, Any]) -> None:
    """Have a study's only variant be, to the bit, another study's."""
    one_variant(params)
    params["penalties"]["factors"]["penalty"] = {"none": {}}


def one_model(params: dict[str, Any]) -> None:
    no_model_of_its_own(params)
    params["architectures"]["variants"] = {"none-relu": params["architectures"]["variants"]["model1"]}


@pytest.mark.slow
@pytest.mark.parametrize("error", [None, 0.0], ids=["some errors", "no error"])
@pytest.mark.parametrize(
    "edit", [unpublished, one_seed, one_epoch, one_variant, one_model, no_study, three_factors, lost_reference]
)
def test_odd_projects_are_reported_without_warnings_or_missing_numbers(edit, error, tmp_path):
    make(tmp_path, edit=edit, error=error)
    for stage in (evaluate, compare):
        run_main(stage, tmp_path)  # a warning is an error
    for name in ("comparison.html", "comparison.md", "variants.csv", "statistics.json"):
        text = re.sub(r"<(style|script)>.*?</\1>", "", (tmp_path / "reports" / name).read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(nan|NaN|inf|Infinity|None)\b(?!: no)", text), name


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [[0], [0, 1]], ids=["one seed", "two seeds"])
@pytest.mark.parametrize("edit", [no_model_of_its_own, one_model])
def test_what_cannot_be_said_of_too_few_models_is_said(edit, seeds, tmp_path):
    def with_seeds(params: dict[str, Any]) -> None:
        edit(params)
        for training in (params, *(params[study]["protocol"] for study in STUDIES)):
            training["seeds"] = seeds

    make(tmp_path, edit=with_seeds)
    run_main(evaluate, tmp_path)
    printed = run_main(compare, tmp_path)
    assert printed.startswith("candidate: ")
    text = (tmp_path / "reports/comparison.md").read_text()
    assert "Every model of `penalties` is one of an earlier study, and its seeds are counted there." in text
    assert ("no other model was trained" in text) == (edit is one_model)
    studies = json.loads((tmp_path / "reports/statistics.json").read_text())["studies"]
    assert (studies["penalties"]["models"], studies["penalties"]["freedom"]) == (0, 0)  # none of the candidate's


def test_odd_names_are_read_as_they_were_written(tmp_path):
    params = make(tmp_path, edit=odd_names)
    for stage in (evaluate, compare):
        run_main(stage, tmp_path)
    read = read_results(tmp_path)
    names = [variant.name for variant in params.variants]
    assert read.table["variant"].tolist() == names
    assert read.table["identical_to"].isna().all()  # an empty cell is a missing one
    assert set(read.effects["level"]) <= {name.removesuffix("-relu") for name in names}
    assert {name for name in names if f"`{name}`" in (tmp_path / "reports/comparison.md").read_text()} == set(
        names[:-1]
    )


def test_reports_of_other_seeds_are_refused(root, tmp_path, capsys):
    shutil.copytree(root / "reports", tmp_path / "reports")
    text = (root / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace('"seeds": [0, 1]', '"seeds": [0, 2]', 1))
    with pytest.raises(SystemExit) as ended, errors_as_lines():
        run_main(compare, tmp_path)
    assert ended.value.code == 1
    line = "error: reports/results.csv: other variants or seeds than params.yaml's; run `dvc repro`\n"
    assert capsys.readouterr().err == line


def test_published_figures_that_are_none_are_refused_in_a_line(root, tmp_path, capsys):
    for name in ("params.yaml", "published", "reports"):
        (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, tmp_path / name)
    path = tmp_path / "published/results.csv"
    path.write_text(path.read_text().replace(",0.9855,", ",98.55 %,"))
    before = contents(tmp_path)
    with pytest.raises(SystemExit), errors_as_lines():
        run_main(compare, tmp_path)
    assert contents(tmp_path) == before
    error = capsys.readouterr().err
    assert error.startswith("error: published/results.csv: found test_accuracy 98.55 % of architectures/model8; ")
    assert error.count("\n") == 1
