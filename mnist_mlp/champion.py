"""The champion: the studies' best variant as a model that takes raw images, and its place in MLflow's model registry.

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
from typing import TYPE_CHECKING, Any

import numpy as np

from mnist_mlp import UserError
from mnist_mlp.config import Params
from mnist_mlp.description import digest, fingerprint
from mnist_mlp.mnist import RAW, replaced
from mnist_mlp.store import Store
from mnist_mlp.training import saving

if TYPE_CHECKING:
    import keras

FOLDER = Path("models/champion")
NAME, ALIAS = "mnist-mlp", "champion"  # `models:/mnist-mlp@champion`
SERVED = Path(__file__).with_name("served.py")


def export(champion: dict[str, Any], folder: Path = FOLDER) -> None:
    """Write model.keras, from raw images to probabilities, and champion.json. champion: of `scoring.champion`.

    Raises UserError where the replicate's file is missing, or another one."""
    path = Path(champion["model"])
    if not path.is_file() or (found := hashlib.md5(path.read_bytes()).hexdigest()) != champion["md5"]:
        found = f"md5 {found}" if path.is_file() else "nothing"
        raise UserError(f"{path}: found {found}; allowed: md5 {champion['md5']}; run `dvc checkout {path.parent}`")
    with replaced(folder) as new:
        saving.save_model(raw_model(path, champion["scaling"]), new / "model.keras")
        (new / "champion.json").write_bytes((json.dumps(champion, indent=2) + "\n").encode())


def raw_model(path: Path, scaling: str) -> "keras.Model":
    """A trained model's file, behind its scaling: grey levels, float32 [n, 28, 28] in 0..255 -> probabilities [n, 10].

    Keras's own layers alone, so that it loads wherever Keras is."""
    from mnist_mlp.training.backend import keras

    layers = {
        "pixels": keras.layers.Rescaling(1 / 255, name="pixels"),
        "unit_columns": keras.layers.UnitNormalization(axis=1, name="unit_columns"),
    }
    inputs = keras.Input((28, 28), name="grey_levels")
    trained = keras.saving.load_model(path)
    return keras.Model(inputs, trained(layers[scaling](inputs)), name="champion")


def register(store: Store, params: Params, folder: Path = FOLDER) -> bool:
    """Have the alias name the version made of `folder`; False where it did. A version is made once for its bytes.

    One process at a time, by `store.lock`. Raises what MLflow raises, and OSError, ValueError or KeyError where the
    folder isn't whole."""
    client, champion = store.client, json.loads((folder / "champion.json").read_text(encoding="utf-8"))
    files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "model.keras", SERVED)]
    key = digest(files, params.software)
    models = client.search_registered_models(f"name = '{NAME}'")
    if not models:
        client.create_registered_model(NAME, description="The studies' best: raw 28 x 28 grey images to digits")
    versions = client.search_model_versions(f"name = '{NAME}' and tags.digest = '{key}'")
    number = str(versions[0].version if versions else _add(store, champion, params, folder, key))
    if models and str(models[0].aliases.get(ALIAS)) == number:
        return False
    client.set_registered_model_alias(NAME, ALIAS, number)
    return True


def _add(store: Store, champion: dict[str, Any], params: Params, folder: Path, key: str) -> str:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    tags = {name: str(champion[name]) for name in ("study", "variant", "seed", "scaling", "md5")} | {"digest": key}
    words = (
        f"{champion['study']}/{champion['variant']}, seed {champion['seed']}: test accuracy "
        f"{champion['test_accuracy']:.2%}. Takes grey images, uint8 [n, 28, 28]; gives class and probabilities."
    )
    columns = [ColSpec(DataType.long, "class"), ColSpec(Array(DataType.float), "probabilities")]
    images = TensorSpec(np.dtype(np.uint8), (-1, 28, 28))
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
    """MLflow's registry looks for a model in the process's default store, whichever client asks."""
    import mlflow

    before = {name: os.environ[name] for name in ("MLFLOW_TRACKING_URI",) if name in os.environ}
    mlflow.set_tracking_uri(address)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # takes the variable away
        os.environ |= before


def _run(store: Store, champion: dict[str, Any], params: Params) -> str | None:
    """The id of the run that trained it."""
    wanted, path = (champion["study"], champion["variant"]), RAW / "dataset.json"
    for variant in params.variants:
        if (variant.study, variant.name) == wanted and path.exists():
            dataset = json.loads(path.read_text(encoding="utf-8"))
            for run in store.find(fingerprint=fingerprint(variant, dataset, params.software)):
                return run.info.run_id
    return None
