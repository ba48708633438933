"""A training's curves, logged while it trains: each epoch to its replicate's run, the means to the variant's."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mnist_mlp.tracking.store import Point, Store
from mnist_mlp.training.outputs import CURVES

if TYPE_CHECKING:
    from mlflow.entities import Run

INTERVAL = 2.0  # seconds between batches, at least
SHARE = 0.02  # of a core that the thread may take, at most


class Live:
    """Log epochs in batches, by a thread of its own. Called from the replicates' threads with seed, epoch and row.

    replicates: the nested runs, by seed. What the runs hold already isn't logged again. trouble: called with what
    MLflow raises; nothing more is logged then: the end of the training logs what is missing."""

    def __init__(
        self, store: Store, run: "Run", replicates: "dict[int, Run]", trouble: Callable[[Exception], object]
    ) -> None:
        self.store, self.trouble = store, trouble
        self.runs: dict[int | None, Run] = dict([(None, run), *replicates.items()])  # None: of the means
        self.curves = {key: self._logged(one) for key, one in self.runs.items()}  # values by epoch
        self.waiting: dict[int | None, list[Point]] = {}
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def __call__(self, seed: int, epoch: int, row: Sequence[float] | np.ndarray) -> None:
        with self.lock:
            self._add(seed, epoch, [round(float(value), 6) for value in row])  # as history.csv has them
            rows = [curve[epoch] for key, curve in self.curves.items() if key is not None and epoch in curve]
            if len(rows) == len(self.runs) - 1:
                self._add(None, epoch, np.mean(rows, axis=0).round(9).tolist())

    def close(self) -> None:
        """Log what is waiting, and end the thread."""
        self.ended.set()
        self.thread.join()

    def _logged(self, run: "Run") -> dict[int, list[float]]:
        """Return what a run holds of a training that was interrupted."""
        curves = [self.store.history(run, name) for name in CURVES] if run.data.metrics else [{}]
        return {epoch: [curve[epoch] for curve in curves] for epoch in curves[0]}

    def _add(self, key: int | None, epoch: int, values: list[float]) -> None:
        if epoch not in self.curves[key]:
            self.curves[key][epoch], now = values, int(time.time() * 1000)
            points = [(name, epoch, value, now) for name, value in zip(CURVES, values, strict=True)]
            self.waiting.setdefault(key, []).extend(points)

    def _work(self) -> None:
        try:
            pause = INTERVAL
            while not self.ended.wait(pause):
                began = time.thread_time()
                self._flush()
                pause = max(INTERVAL, (time.thread_time() - began) / SHARE)
            self._flush()
        except Exception as error:  # of any kind: no training may be lost by it
            self.trouble(error)

    def _flush(self) -> None:
        with self.lock:
            waiting, self.waiting = self.waiting, {}
        for key, points in waiting.items():
            self.store.log(self.runs[key], points)
