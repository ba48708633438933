"""A training's live line: each replicate's epoch, time left and mean metrics; plain lines if there is no terminal."""

import os
import sys
import threading
import time
from typing import Self

import numpy as np

from mnist_mlp.config import Variant
from mnist_mlp.training.outputs import Replicate

QUIET = 5.0  # seconds between plain lines


class Progress:
    """Print how far a training is. Called from the replicates' threads with seed, epoch and that epoch's row."""

    def __init__(self, variant: Variant):
        self.variant = variant
        self.rows: dict[int, tuple[int, np.ndarray]] = {}
        self.firsts: dict[int, int] = {}
        self.lock, self.live = threading.Lock(), sys.stdout.isatty()
        self.start = self.first = self.printed = time.monotonic()
        self.trains = False

    def __enter__(self) -> Self:
        if self.live:
            self._print("compiling", end="")
        return self

    def __exit__(self, *error: object) -> None:
        if self.live and error[0]:
            print()

    def __call__(self, seed: int, epoch: int, row: np.ndarray) -> None:
        with self.lock:
            now = time.monotonic()
            if not self.trains:
                self.trains, self.first = True, now
            self.rows[seed] = (epoch, row)
            self.firsts.setdefault(seed, epoch)
            if self.live or now - self.printed > QUIET:
                self.printed = now
                text = f"{self._epochs()}  {self._left(now)} left  {self._means()}"
                self._print(text, end="" if self.live else "\n")

    def take(self, replicate: Replicate) -> None:
        """Say that a replicate was taken from an earlier training. Called before any other one trains."""
        self.rows[replicate.seed] = self.variant.epochs, replicate.curve[-1]
        self.firsts[replicate.seed] = self.variant.epochs
        origin = replicate.origin.label if replicate.origin else self.variant.label
        self._print(f"seed {replicate.seed} taken from {origin}", end="\n")
        if self.live and len(self.rows) < len(self.variant.seeds):
            self._print("compiling", end="")

    def close(self) -> None:
        """Print the last state and the seconds it took."""
        seconds = f"{time.monotonic() - self.start:.0f} s"
        self._print(f"epoch {self.variant.epochs}/{self.variant.epochs}  {self._means()}  {seconds}", end="\n")

    def _epochs(self) -> str:
        """Return how far each replicate is. One that hasn't reported yet compiles, or waits for a core."""
        reached = [(seed, self.rows[seed][0] if seed in self.rows else 0) for seed in self.variant.seeds]
        return "epoch " + ", ".join(f"{epoch}/{self.variant.epochs} seed {seed}" for seed, epoch in reached)

    def _means(self) -> str:
        loss, accuracy, val_loss, val_accuracy = np.mean([row for _, row in self.rows.values()], axis=0)
        return f"val_accuracy {val_accuracy:.2%}  loss {loss:.4f}  accuracy {accuracy:.2%}  val_loss {val_loss:.4f}"

    def _left(self, now: float) -> str:
        done = sum(epoch for epoch, _ in self.rows.values())
        todo = len(self.variant.seeds) * self.variant.epochs - done
        measured = done - sum(self.firsts.values())  # a first epoch's time holds the compilation, or earlier ones
        if not measured:
            return "? s"
        seconds = round((now - self.first) / measured * todo)
        return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"

    def _print(self, text: str, end: str) -> None:
        line = f"{self.variant.label}  {text}"
        if self.live:
            line = "\r\033[K" + (line if end else line[: _columns() - 1])  # a line that wraps can't be taken back
        print(line, end=end, flush=True)


def _columns() -> int:
    """Return the terminal's width as it is now; it may be unknown."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80
