"""Finished replicates, kept by what their bytes follow from, so that none is trained twice.

A file holds what a replicate's outputs are written from: weights, curve, metrics, predictions of the test images. It is
found by a digest of network, protocol, seed, images, code, software and CPU, whichever variant asks. Penalties on the
input change no weight, and so aren't part of the digest: variants that differ in them alone share their replicates.
"""

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
from filelock import FileLock

from mnist_mlp import files
from mnist_mlp.config import Variant
from mnist_mlp.machine import cpu
from mnist_mlp.training.outputs import METRICS, Origin, Replicate
from mnist_mlp.training.splits import Splits

LIMIT = 1_000_000_000  # bytes of all files; the least recently used ones go first
DIGEST = hashlib.sha256().digest_size  # bytes, ahead of a file's content: a torn or altered file is no file
WEIGHT = "weight/"  # what the names of weights begin with in a file


class Cache:
    """The finished replicates of one variant's training, in a folder that others share.

    software: versions by package. The folder may be deleted at any moment."""

    def __init__(self, folder: Path, variant: Variant, splits: Splits, software: dict[str, str], limit: int = LIMIT):
        self.folder, self.variant, self.limit = folder, variant, limit
        self.sizes, self.code = (splits.image, splits.classes), _code()
        self.basis = [_parameters(variant), _images(splits), self.code, software, cpu()]

    def path(self, seed: int) -> Path:
        """Return the file of a seed's replicate."""
        basis = json.dumps([seed, *self.basis], sort_keys=True)
        return self.folder / f"{hashlib.sha256(basis.encode()).hexdigest()}.npz"

    def read(self, seed: int) -> Replicate | None:
        """Return a seed's replicate, or None if it isn't kept whole.

        Its penalty is that of the variant without penalties on the input."""
        from mnist_mlp.training import networks

        path = self.path(seed)
        if not path.is_file():  # a pipe of that name would be waited for
            return None
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
            return None
        with np.load(io.BytesIO(content[DIGEST:]), allow_pickle=False) as arrays:
            model = networks.build(self.variant, seed, *self.sizes)
            for weight in model.weights:
                weight.assign(arrays[WEIGHT + networks.weight_key(weight)])
            metrics = dict(zip([*METRICS, "penalty"], arrays["metrics"].tolist(), strict=True))
            origin = Origin(*arrays["origin"].tolist())
            return Replicate(seed, model, arrays["curve"], metrics, arrays["probabilities"], origin)

    def write(self, replicate: Replicate, run: str = "") -> None:
        """Keep a replicate that was trained just now, and delete the least recently used ones beyond the limit.

        run: the id of its MLflow run. Keeps nothing if the code has changed since. Raises OSError if the folder can't
        be written."""
        from mnist_mlp.training import networks

        if _code() != self.code:
            return
        metrics = replicate.metrics | ({"penalty": 0.0} if networks.input_penalties(self.variant) else {})
        arrays = {WEIGHT + networks.weight_key(weight): weight.numpy() for weight in replicate.model.weights}
        arrays["curve"], arrays["probabilities"] = replicate.curve, replicate.probabilities
        arrays["metrics"] = np.array([metrics[name] for name in (*METRICS, "penalty")])
        arrays["origin"] = np.array([self.variant.label, run])
        packed = io.BytesIO()
        np.savez(packed, allow_pickle=False, **arrays)
        content = packed.getvalue()
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            with files.replaced_file(self.path(replicate.seed)) as partial:
                partial.write_bytes(hashlib.sha256(content).digest() + content)
            self._prune()

    def _prune(self) -> None:
        """Delete the files that were read or written longest ago, so that the others are within the limit."""
        kept = {path: path.stat() for path in self.folder.glob("*.npz*")}  # with what a killed process was writing
        total = 0
        for path, state in sorted(kept.items(), key=lambda item: -item[1].st_mtime_ns):
            total += state.st_size
            if total > self.limit:
                path.unlink(missing_ok=True)


def _parameters(variant: Variant) -> dict[str, object]:
    """Return what the bytes of one replicate follow from, of all that params.yaml says of a variant."""
    from mnist_mlp.training import networks

    layers = variant.layers[len(networks.input_penalties(variant)) :]
    parameters = variant.model_copy(update={"layers": layers}).parameters()
    return {name: value for name, value in parameters.items() if name != "seeds"}


def _images(splits: Splits) -> str:
    digest = hashlib.sha256()
    for images, labels in (splits.all_train, splits.test):
        for array in (images, labels):
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _code() -> dict[str, str]:
    """Return the digests of the code that is running: of this package's files, by name."""
    folder = Path(__file__).parent
    found = sorted(path for path in folder.rglob("*.py") if not path.name.startswith("."))  # an editor's own
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}
