"""The notebooks' figures, and ours against them."""

import dataclasses

import numpy as np
import pytest

from mnist_mlp import paths
from mnist_mlp.report import published
from tests.helpers.made_outputs import rows
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
    assert said("here it is in place 1 ", dataclasses.replace(results, table=results.table.assign(rank=1)))
    assert not said("here it is in place 1 ", dataclasses.replace(results, table=results.table.assign(rank=5)))
    validated_on_test = [name for name, s in results.params.studies.items() if s.protocol.validation == "test"]
    for study in ("architectures", "techniques"):
        assert said(f"`{study}` validates on the test images") == (study in validated_on_test)


def test_without_published_figures_none_is_compared(results):
    table = results.table.assign(published=np.nan)
    assert published.fidelity(dataclasses.replace(results, table=table)).empty
    assert published.agreement(dataclasses.replace(results, table=table)) == "No published figure is compared."
