"""The lines that a training prints."""

import numpy as np
import pytest

from mnist_mlp.tracking.progress import Progress
from mnist_mlp.training.outputs import Origin, Replicate
from tests.helpers.variants import make_variant

ROW = np.array([0.5, 0.75, 0.25, 1.0])
VARIANT = make_variant(epochs=2)


def taken(seed: int) -> Replicate:
    return Replicate(seed, None, np.stack([ROW, ROW]), {}, np.zeros((1, 10)), Origin("techniques/none-relu", ""))


@pytest.mark.parametrize("trained", [0, 1])
def test_a_replicate_that_is_taken_is_named_with_its_origin(capsys, trained):
    with Progress(VARIANT) as progress:
        for seed in VARIANT.seeds[trained:]:
            progress.take(taken(seed))
        for epoch in range(1, 3 * trained):
            progress(0, epoch, ROW)
        progress.close()
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == [
        f"candidate/candidate  seed {seed} taken from techniques/none-relu" for seed in VARIANT.seeds[trained:]
    ]
    assert last.startswith("candidate/candidate  epoch 2/2  loss 0.5000  accuracy 75.00%")
