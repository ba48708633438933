"""The notebooks' figures, and ours against them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from mnist_mlp import config, paths
from mnist_mlp.report import notebooks, published
from tests.helpers.made_outputs import read_results, rows
from tests.helpers.params import PARAMS, ROOT


def test_published_figures_are_those_of_the_notebooks():
    figures = {(row["study"], row["variant"]): row for row in rows(ROOT / paths.PUBLISHED)}
    assert len(figures) == 41
    assert figures["architectures", "model8"]["test_accuracy"] == "0.9855"
    assert figures["techniques", "dropout-batchnorm-relu"]["test_loss"] == "0.1047"
    assert list(figures) == [(v.study, v.name) for v in PARAMS.variants[:-1] if v.study != "penalties"]


def test_identical_models_show_the_notebooks_own_sd_over_seeds(results):
    figures = results.table.set_index("variant")["published"]
    groups = [[figures[f"{technique}-{a}"] for technique in ("none", "l1", "l2")] for a in ("relu", "tanh")]
    sd, freedom = published.published_noise(results)
    assert freedom == 4
    assert sd == pytest.approx(np.sqrt(np.mean([np.var(group, ddof=1) for group in groups])))


def test_contradictions_are_said_from_the_data_that_show_them(results):
    def said(part: str, results=results) -> bool:
        return any(part in line for line in published.contradictions(results))

    assert said("model8 is the best model")
    assert said("model8 is in place 1 ", dataclasses.replace(results, table=results.table.assign(rank=1)))
    assert not said("model8 is in place 1 ", dataclasses.replace(results, table=results.table.assign(rank=5)))
    validated_on_test = [name for name, s in results.params.studies.items() if s.protocol.validation == "test"]
    for study in ("architectures", "techniques"):
        assert said(f"`{study}` validates on the test images") == (study in validated_on_test)


def test_a_figure_counts_for_what_the_notebook_ran_alone(root, tmp_path):
    """Another seed is no other definition; another activation, number of epochs or data set is."""
    shutil.copytree(root, tmp_path / "project")
    path = tmp_path / "project/params.yaml"
    raw = json.loads(path.read_text())
    raw["architectures"]["variants"]["model8"]["activation"] = "tanh"
    raw["techniques"]["protocol"]["epochs"] = 4
    changed = notebooks.changed(config.Params.model_validate(raw), tmp_path / "project" / paths.NOTEBOOKS)
    assert {key: keys for key, keys in changed.items() if keys} == {
        ("architectures", "model8"): ["activation"],
        **{("techniques", f"{technique}-{activation}"): ["epochs"]
           for technique in ("none", "l1", "l2", "batchnorm") for activation in ("relu", "tanh")},
    }  # fmt: skip
    path.write_text(json.dumps(raw))
    read = read_results(tmp_path / "project")
    assert read.published["variant"].tolist()[:2] == ["model1", "model2"]
    assert read.studied.dropna(subset="published")["variant"].tolist() == ["model1", "model4"]
    assert (
        "9 variants changed from the notebook, such as `architectures/model8` in its `activation`"
        in (published.agreement(read)[1])
    )
    raw["datasets"]["mnist"]["files"]["t10k-labels-idx1-ubyte"]["sha256"] = "0" * 64
    path.write_text(json.dumps(raw))
    assert read_results(tmp_path / "project").published is None


def test_the_shipped_variants_are_what_the_notebooks_ran():
    changed = notebooks.changed(PARAMS, ROOT / paths.NOTEBOOKS)
    assert len(changed) == 41
    assert not any(changed.values())
    assert notebooks.same_data(PARAMS, "mnist", ROOT / paths.NOTEBOOKS)


def test_without_published_figures_none_is_compared(results):
    table = results.table.assign(published=np.nan)
    assert published.fidelity(dataclasses.replace(results, table=table)).empty
    assert published.agreement(dataclasses.replace(results, table=table)) == ("No published accuracy is compared.", "")
