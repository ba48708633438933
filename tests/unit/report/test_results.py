"""Reports, read back."""

import dataclasses
import shutil

import numpy as np
import pytest

from mnist_mlp import paths
from mnist_mlp.errors import UserError
from mnist_mlp.report import markdown, notebooks
from mnist_mlp.report import results as module
from tests.helpers.params import ROOT


@pytest.mark.parametrize(
    "missing", ["results.csv", "variants.csv", "history.csv", "metrics.json", "pairs.csv", "hardest.json"]
)
def test_a_report_that_is_missing_is_named(missing, results, root, tmp_path):
    shutil.copytree(root / paths.REPORTS, tmp_path / paths.REPORTS)
    (tmp_path / paths.REPORTS / missing).unlink()
    with pytest.raises(UserError, match=f"{missing}: .*run `dvc repro`"):
        module.read(results.params, tmp_path / paths.REPORTS, root / paths.PUBLISHED)


def test_published_figures_that_are_missing_come_back_from_git(results, root, tmp_path):
    with pytest.raises(UserError, match=r"notebooks\.yaml: .*run `git checkout .*notebooks\.yaml`"):
        module.read(results.params, root / paths.REPORTS, tmp_path / paths.PUBLISHED)
    shutil.copytree((root / paths.NOTEBOOKS).parent, tmp_path / "published")
    (tmp_path / paths.PUBLISHED).unlink()
    with pytest.raises(UserError, match=r"results\.csv: .*run `git checkout .*results\.csv`"):
        module.read(results.params, root / paths.REPORTS, tmp_path / paths.PUBLISHED)


@pytest.mark.parametrize(
    "old, new, expected",
    [
        (",0.9855,", ",98.55 %,", "test_accuracy 98.55 % of architectures/model8; allowed: a number from 0 to 1"),
        (",0.9855,", ",98.55,", "test_accuracy 98.55 of architectures/model8; allowed: a number from 0 to 1, or none"),
        (",0.085,", ",0,", "test_loss 0.0 of architectures/model8; allowed: a number above 0, or none"),
        (",0.085,", ",inf,", "test_loss inf of architectures/model8; allowed: a number above 0, or none"),
        ("model9,", "model8,", "architectures/model8 twice; allowed: one row per variant"),
        (",", ";", "no column study; allowed: study, variant, train_accuracy,"),
        ("study,", '"study,', "no CSV file; allowed: study, variant, train_accuracy,"),
    ],
)
def test_published_figures_that_are_none_are_refused(old, new, expected, tmp_path):
    path = tmp_path / "results.csv"
    path.write_text((ROOT / paths.PUBLISHED).read_text().replace(old, new))
    with pytest.raises(UserError) as refused:
        notebooks.figures(path)
    assert f"{path}: found {expected}" in str(refused.value)
    assert str(refused.value).endswith(f"; edit it, or run `git checkout {path}`")


def test_published_figures_of_no_variant_compare_none(results, root, tmp_path):
    shutil.copytree((root / paths.NOTEBOOKS).parent, tmp_path / "published")
    path = tmp_path / paths.PUBLISHED
    path.write_text(path.read_text().splitlines()[0] + "\n")
    read = module.read(results.params, root / paths.REPORTS, path)
    assert "No published accuracy is compared." in markdown.markdown(read)


def test_the_models_that_may_be_the_best_are_those_that_none_is_better_than(results):
    distinct = results.studied[results.studied["identical_to"].isna()]
    assert results.best["variant"] in set(results.unbeaten["variant"])
    assert len(results.distinct) == len(distinct)
    unknown = dataclasses.replace(results, table=results.table.assign(behind_high=np.nan))
    assert len(unknown.unbeaten) == len(distinct)


def test_a_grid_holds_each_technique_with_each_activation(results):
    grids = module.grids(results)
    assert list(grids) == ["techniques", "penalties"]
    assert grids["penalties"].index.tolist() in (["none", "l2-1e-3"], ["l2-1e-3", "none"])  # lent by techniques
    grid = grids["techniques"]
    assert (grid.index.name, grid.columns.name) == ("technique", "activation")
    means = results.table.set_index("variant")["test_accuracy"]
    assert list(grid.columns) == ["relu", "tanh"]
    assert set(grid.index) == {"none = l1 = l2", "batchnorm"}  # twins once
    for technique, row in grid.iterrows():
        first = technique.partition(" = ")[0]
        assert row.to_dict() == {activation: means[f"{first}-{activation}"] for activation in row.index}
    averages = grid.mean(axis=1).round(9).tolist()
    assert averages == sorted(averages, reverse=True)


def test_costs_are_of_the_distinct_models_and_the_candidate(results):
    table = module.costs(results)
    assert table["variant"].tolist() == [*results.distinct["variant"], "candidate"]
    own = table.iloc[-1]
    assert own["work"] == own["parameters"] * results.params.candidate.epochs


def test_interactions_are_of_each_studys_first_factor(results):
    found = module.interactions(results)
    assert list(found) == ["techniques"]  # penalties has one activation
    assert found["techniques"][["factor", "level", "within"]].values.tolist() == [
        ["technique", "batchnorm", "relu"], ["technique", "batchnorm", "tanh"]
    ]  # fmt: skip
    assert module.across(results, "techniques") == "activation"


def test_the_best_curves_are_those_of_the_candidate_and_each_studys_best(results):
    curves = module.best_curves(results)
    assert [study for study, _ in curves.values()] == ["candidate", "architectures", "techniques", "penalties"]
    label = f"{results.best['study']}/{results.best['variant']}"
    assert any(name.startswith(f"{label} (validated on ") for name in curves)
    for name, (study, history) in curves.items():
        assert set(history["study"]) == {study}
        on_test = study != "candidate" and results.params.studies[study].protocol.validation == "test"
        assert ("test images" in name) == on_test
