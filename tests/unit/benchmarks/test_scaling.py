"""The benchmark of many variants: what it declares, and the rows that it keeps."""

import shutil

import pytest

from benchmarks import reports, scaling
from mnist_mlp import config
from tests.helpers.params import ROOT


@pytest.mark.parametrize("count", [12, 58, 1000])
def test_declared_are_so_many_variants_of_one_epoch_and_a_change_changes_one(tmp_path, count):
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    scaling.declare(tmp_path, count)
    variants = config.load(path).variants
    scaling.declare(tmp_path, count, units=1)
    changed = [one.name for one, other in zip(variants, config.load(path).variants, strict=True) if one != other]
    assert len(variants) == count + 1  # and the candidate
    assert {(variant.epochs, variant.seeds) for variant in variants} == {(1, (0,))}
    assert {variant.label for variant in variants} > {"techniques/none-softsign", "penalties/l2-1e-3-relu"}
    assert changed == ["dense0"]


def test_measured_rows_stay_till_they_are_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "REPORT", tmp_path / "scaling.md")
    assert scaling._kept() == {}
    rows = {(58, "JOBS=2"): "| 58 | JOBS=2 | 1.0 |", (1000, "`dvc repro`"): "| 1,000 | `dvc repro` | 2.0 |"}
    reports.keep(
        scaling.REPORT, "# Title", "\n".join([scaling.VARIANTS, "", "Note.", "", *scaling.HEAD, *rows.values()])
    )
    reports.keep(scaling.REPORT, "# Title", "## Another\n\n| 7 | `dvc repro` | 3.0 |")
    assert scaling._kept() == rows
    monkeypatch.setattr(scaling, "HEAD", ["| other |"])
    assert scaling._kept() == {}
