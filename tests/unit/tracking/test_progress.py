"""The lines that a training prints."""

import fcntl
import os
import struct
import sys
import termios

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
    assert last.startswith("candidate/candidate  epoch 2/2  val_accuracy 100.00%  loss 0.5000  accuracy 75.00%")


def test_the_live_line_names_the_replicates_and_fits_the_terminal(monkeypatch):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        with Progress(make_variant(epochs=6)) as progress:
            for epoch in range(1, 7):
                for seed in (0, 1):
                    progress(seed, epoch, ROW)
            progress.close()
        text = ""
        while "\n" not in text:  # a terminal hands on what was written when it likes
            text += os.read(ours, 100_000).decode()
    os.close(ours)
    *updates, last = text.split("\r\033[K")[1:]
    assert len(updates) == 13
    assert max(map(len, updates)) < 80
    assert updates[-2].startswith("candidate/candidate  epoch 6/6 seed 0, 5/6 seed 1  0 s left  val_accuracy")
    assert "epoch 6/6  val_accuracy" in last
