"""A training's live line: epoch, losses, accuracies and time left; plain lines if the output is no terminal."""

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
                self._print(f"{self._state()}  {self._left(now)} left", end="" if self.live else "\n")

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
        self._print(f"{self._state()}  {time.monotonic() - self.start:.0f} s", end="\n")

    def _state(self) -> str:
        epoch = min(epoch for epoch, _ in self.rows.values())
        loss, accuracy, val_loss, val_accuracy = np.mean([row for _, row in self.rows.values()], axis=0)
        return (
            f"epoch {epoch}/{self.variant.epochs}  loss {loss:.4f}  accuracy {accuracy:.2%}  "
            f"val_loss {val_loss:.4f}  val_accuracy {val_accuracy:.2%}"
        )

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
        print(f"\r\033[K{line}" if self.live else line, end=end, flush=True)
