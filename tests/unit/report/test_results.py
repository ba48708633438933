"""Reports, read back."""

import dataclasses
import shutil

import pytest

from mnist_mlp import paths
from mnist_mlp.errors import UserError
from mnist_mlp.report import results as module
from mnist_mlp.report.summary import summary


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


def test_the_variants_that_may_be_the_best_are_those_that_none_is_better_than(results):
    distinct = results.studied[results.studied["identical_to"].isna()]
    assert results.best["variant"] in set(results.unbeaten["variant"])
    certain = dataclasses.replace(results, pairs=results.pairs.assign(p=1e-9))
    assert certain.unbeaten["variant"].tolist() == [results.best["variant"]]
    assert "beyond doubt, no other may be as good." in summary(certain)[1]
    assert len(dataclasses.replace(results, pairs=results.pairs.assign(p=0.9)).unbeaten) == len(distinct)


def test_a_grid_holds_each_technique_with_each_activation(results):
    grids = module.grids(results)
    assert list(grids) == ["techniques", "penalties"]
    assert grids["penalties"].index.tolist() in (["none", "l2-1e-3"], ["l2-1e-3", "none"])  # lent by techniques
    grid = grids["techniques"]
    assert (grid.index.name, grid.columns.name) == ("technique", "activation")
    means = results.table.set_index("variant")["test_accuracy"]
    assert list(grid.columns) == ["relu", "tanh"]
    assert set(grid.index) == {"none", "l1", "l2", "batchnorm"}
    for technique, row in grid.iterrows():
        assert row.to_dict() == {activation: means[f"{technique}-{activation}"] for activation in row.index}
    averages = grid.mean(axis=1).round(9).tolist()
    assert averages == sorted(averages, reverse=True)


def test_the_best_curves_are_those_of_the_candidate_and_each_studys_best(results):
    curves = module.best_curves(results)
    assert [study for study, _ in curves.values()] == ["candidate", "architectures", "techniques", "penalties"]
    label = f"{results.best['study']}/{results.best['variant']}"
    assert any(name.startswith(f"{label} (validated on ") for name in curves)
    for name, (study, history) in curves.items():
        assert set(history["study"]) == {study}
        on_test = study != "candidate" and results.params.studies[study].protocol.validation == "test"
        assert ("test images" in name) == on_test
