"""The champion: the studies' best variant as a model that takes raw images, and its place in MLflow's model registry.

The candidate is never the champion, however good: experiments come and go, two at a time from the queue. To enter, make
it a variant of a study.
"""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_mlp import UserError, description, saving
from mnist_mlp.mnist import replaced
from mnist_mlp.store import Store

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
    from mnist_mlp.training import keras  # with its settings

    layers = {
        "pixels": keras.layers.Rescaling(1 / 255, name="pixels"),
        "unit_columns": keras.layers.UnitNormalization(axis=1, name="unit_columns"),
    }
    inputs = keras.Input((28, 28), name="grey_levels")
    trained = keras.saving.load_model(path)
    return keras.Model(inputs, trained(layers[scaling](inputs)), name="champion")


def register(store: Store, software: dict[str, str], run: str | None = None, folder: Path = FOLDER) -> bool:
    """Have the alias name the version made of `folder`; False where it does. A version is made once, found by digest.

    software: the packages' versions that the model needs; run: the id of the run that trained it. One process at a
    time, by `store.lock`. Raises what MLflow raises."""
    champion = json.loads((folder / "champion.json").read_text(encoding="utf-8"))
    files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "model.keras", SERVED)]
    digest = description.digest(files, software)
    found = store.client.search_registered_models(f"name = '{NAME}'")
    if not found:
        store.client.create_registered_model(NAME, description="The studies' best: raw 28 x 28 grey images to digits.")
    versions = store.client.search_model_versions(f"name = '{NAME}' and tags.digest = '{digest}'")
    version = versions[0].version if versions else _add(store, champion, folder, software, run, digest)
    if found and found[0].aliases.get(ALIAS) == version:
        return False
    store.client.set_registered_model_alias(NAME, ALIAS, version)
    return True


def _add(
    store: Store, champion: dict[str, Any], folder: Path, software: dict[str, str], run: str | None, digest: str
) -> str:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from mlflow.types.schema import Array, DataType

    tags = {name: str(champion[name]) for name in ("study", "variant", "seed", "scaling", "md5")} | {"digest": digest}
    words = (
        f"{champion['study']}/{champion['variant']}, seed {champion['seed']}: test accuracy "
        f"{champion['test_accuracy']:.2%}. Takes grey images, uint8 [n, 28, 28]; gives class and probabilities."
    )
    columns = [ColSpec(DataType.long, "class"), ColSpec(Array(DataType.float), "probabilities")]
    images = TensorSpec(type=_uint8(), shape=(-1, 28, 28), name=None)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model")
        mlflow.pyfunc.save_model(
            str(model),
            python_model=str(SERVED),
            artifacts={"model": str(folder / "model.keras")},
            signature=ModelSignature(Schema([images]), Schema(columns)),
            pip_requirements=[f"{name}=={number}" for name, number in (software | {"mlflow": mlflow.__version__}).items()],
        )
        logged = store.keep_model(NAME, model, run, tags)
    made = store.client.create_model_version(NAME, f"models:/{logged}", run, tags, description=words, model_id=logged)
    return made.version


def _uint8() -> Any:
    import numpy as np

    return np.dtype("uint8")
