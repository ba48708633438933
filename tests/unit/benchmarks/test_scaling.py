"""The benchmark of many variants: what it declares, and the tables that keep its rows."""

import shutil

import pytest

from benchmarks import reports, scaling
from mnist_mlp import config
from tests.helpers.params import ROOT


@pytest.mark.parametrize(("count", "by_name"), [(12, False), (12, True), (58, False), (58, True), (1000, False)])
def test_declared_are_so_many_variants_of_one_epoch_and_a_change_changes_one(tmp_path, count, by_name):
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    scaling.declare(tmp_path, count, by_name=by_name)
    variants = config.load(path).variants
    scaling.declare(tmp_path, count, units=1, by_name=by_name)
    changed = [one.name for one, other in zip(variants, config.load(path).variants, strict=True) if one != other]
    assert len(variants) == count + 1  # and the candidate
    assert {(variant.epochs, variant.seeds) for variant in variants} == {(1, (0,))}
    assert {variant.label for variant in variants} > {"techniques/none-softsign", "penalties/l2-1e-3-relu"}
    assert changed == ["dense0"]


def test_measured_rows_stay_till_they_are_measured_again(tmp_path):
    path, table = tmp_path / "report.md", ("## Rows", "Note.", ("variants", "by", "seconds"))
    for cells in (("1,000", "`dvc repro`", "2.0"), ("58", "JOBS=2", "1.0"), ("58", "JOBS=2", "3.0")):
        reports.keep(path, "# Title", reports.Table(path, *table, keys=2).put(*cells))
        reports.keep(path, "# Title", "## Another\n\n| 7 | `dvc repro` | 3.0 |")
    assert "| 58 | JOBS=2 | 3.0 |\n| 1,000 | `dvc repro` | 2.0 |\n\n## Another" in path.read_text()
    assert "JOBS=2 | 1.0" not in path.read_text()
    reworded = reports.Table(path, table[0], "Another note.", table[2], keys=2)
    assert reworded.put("7", "JOBS=2", "0.1").endswith(
        "| 7 | JOBS=2 | 0.1 |\n| 58 | JOBS=2 | 3.0 |\n| 1,000 | `dvc repro` | 2.0 |"
    )
    others = reports.Table(path, *table[:2], ("variants", "by", "minutes"), keys=2)
    assert others.put("7", "JOBS=2", "0.1").endswith(" --- |\n| 7 | JOBS=2 | 0.1 |")
