"""The benchmark beside JAX and PyTorch: its table, and its networks against params.yaml."""

import pytest

from benchmarks import peers
from mnist_mlp import config
from tests.helpers.params import PARAMS_FILE


def test_table_has_epochs_per_second_and_ratios():
    middle = {("model2", True, who): seconds for who, seconds in (("ours", 0.1), ("JAX", 0.2), ("PyTorch", 0.4))}
    assert peers.table(middle).splitlines()[2:] == ["| model2 | at once | 10.00 | 5.00 | 2.50 | 2.00 | 4.00 |"]


@pytest.mark.parametrize("case", peers.CASES.values(), ids=peers.CASES)
def test_peers_train_the_network_that_the_study_defines(case):
    variant = config.load(PARAMS_FILE).variant(case.study, case.variant)
    assert [784, *(layer.units for layer in variant.layers), 10] == list(case.sizes)
    assert (variant.batch_size, variant.activation) == (case.batch, "relu")
    assert variant.optimizer == ("adam" if case.adam else "sgd")
