"""The champion in MLflow's model registry.

The candidate is never the champion, however good: experiments come and go, two at a time from the queue. To enter, make
it a variant of a study.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from mnist_mlp import paths
from mnist_mlp.config import Params
from mnist_mlp.serving import export
from mnist_mlp.tracking import metadata, runs
from mnist_mlp.tracking.store import Store

NAME, ALIAS = "mnist-mlp", "champion"  # `models:/mnist-mlp@champion`
SERVED = Path(__file__).with_name("served_model.py")


def register(store: Store, params: Params, folder: Path = paths.CHAMPION) -> bool:
    """Have the alias name the version made of `folder`. Returns whether that changed anything.

    The same bytes of the same variant make one version. One process at a time, by `store.lock`. Raises what MLflow
    raises, and OSError, ValueError or KeyError if the folder isn't whole."""
    client, champion = store.client, json.loads((folder / "champion.json").read_text(encoding="utf-8"))
    files = [
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "model.keras", folder / "champion.json", SERVED)
    ]
    key = metadata.digest(files, params.software)
    models = client.search_registered_models(f"name = '{NAME}'")
    if not models:
        client.create_registered_model(NAME, description="The studies' best: raw grey images to classes")
    versions = client.search_model_versions(f"name = '{NAME}' and tags.digest = '{key}'")
    number = str(versions[0].version if versions else _add(store, champion, params, folder, key))
    if models and str(models[0].aliases.get(ALIAS)) == number:
        return False
    client.set_registered_model_alias(NAME, ALIAS, number)
    return True


def trouble(error: Exception) -> str:
    """Return what went wrong, and where, on a line without passwords: at MLFLOW_REGISTRY_URI, if that is set."""
    told = runs.trouble(error)
    if not (address := os.environ.get("MLFLOW_REGISTRY_URI")):
        return told
    parts = urlsplit(address)
    return f"MLFLOW_REGISTRY_URI: {parts.scheme}://{parts.netloc.rpartition('@')[2]}: {told.split(': ')[1]}"


def _add(store: Store, champion: dict[str, Any], params: Params, folder: Path, key: str) -> str:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    tags = {name: str(champion[name]) for name in ("study", "variant", "seed", "scaling", "md5")} | {"digest": key}
    height, width = export.image_size(folder / "model.keras")
    words = (
        f"{champion['study']}/{champion['variant']}, seed {champion['seed']}: test accuracy "
        f"{champion['test_accuracy']:.2%} on the {champion['test_images']:,} images that didn't choose it. Takes grey "
        f"images, uint8 [n, {height}, {width}]; gives class and probabilities."
    )
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.long, "class"),
        ColSpec(Array(DataType.float), "probabilities"),
    ]
    images = TensorSpec(np.dtype(np.uint8), (-1, height, width))
    packages = params.software | {"mlflow": mlflow.__version__, "pandas": version("pandas")}
    run = _run(store, champion, params)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings(action="ignore"), _default(store.address):
        mlflow.pyfunc.save_model(
            f"{scratch}/model",
            python_model=str(SERVED),
            artifacts={"model": str(folder / "model.keras")},
            signature=ModelSignature(Schema([images]), Schema(columns)),
            pip_requirements=[f"{name}=={number}" for name, number in packages.items()],
        )
        model = store.keep_model(NAME, Path(scratch, "model"), run, tags)
        source = f"models:/{model}"
        return store.client.create_model_version(NAME, source, run, tags, description=words, model_id=model).version


@contextlib.contextmanager
def _default(address: str) -> Iterator[None]:
    """Set the process's default store for a while: MLflow's registry looks for a model there, whichever client asks."""
    import mlflow

    before = {name: os.environ[name] for name in ("MLFLOW_TRACKING_URI",) if name in os.environ}
    mlflow.set_tracking_uri(address)
    try:
        yield
    finally:
        unset: Any = None
        mlflow.set_tracking_uri(unset)  # takes the variable away
        os.environ |= before


def _run(store: Store, champion: dict[str, Any], params: Params) -> str | None:
    """Return the id of the run that trained it."""
    wanted = (champion["study"], champion["variant"])
    for variant in params.variants:
        if (variant.study, variant.name) == wanted and paths.DATASET.exists():
            dataset = json.loads(paths.DATASET.read_text(encoding="utf-8"))
            for run in store.find(fingerprint=metadata.fingerprint(variant, dataset, params.software)):
                return run.info.run_id
    return None
