"""Export a trained replicate as a model of raw images."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_mlp import files, paths
from mnist_mlp.errors import UserError

if TYPE_CHECKING:
    import keras

KEYS = ("study", "variant", "scaling", "seed", "test_accuracy", "test_images", "model", "md5")  # of champion.json


def export(champion: dict[str, Any], folder: Path = paths.CHAMPION) -> None:
    """Write model.keras, from raw images to probabilities, and champion.json. champion: KEYS, of `tables.champion`.

    Raises UserError if the trained model, paths.BEST, is missing or another one."""
    from mnist_mlp.training.outputs import save_model

    path = paths.BEST
    if not path.is_file() or (found := hashlib.md5(path.read_bytes()).hexdigest()) != champion["md5"]:
        found = f"md5 {found}" if path.is_file() else "nothing"
        raise UserError(f"{path}: found {found}; allowed: md5 {champion['md5']}; run `dvc checkout {path}`")
    with files.replaced_folder(folder) as new:
        save_model(raw_model(path, champion["scaling"]), new / "model.keras")
        files.write(new / "champion.json", champion)


def raw_model(path: Path, scaling: str) -> "keras.Model":
    """Return a trained model behind its scaling: grey levels, float32 [n, height, width] in 0..255 -> probabilities.

    It consists of Keras's own layers, so that it loads wherever Keras is. Raises KeyError for an unknown scaling."""
    from mnist_mlp.training.backend import keras

    layers = {
        "pixels": keras.layers.Rescaling(1 / 255, name="pixels"),
        "unit_columns": keras.layers.UnitNormalization(axis=1, name="unit_columns"),
    }
    trained = keras.saving.load_model(path)
    inputs = keras.Input(trained.input_shape[1:], name="grey_levels")
    return keras.Model(inputs, trained(layers[scaling](inputs)), name="champion")


def image_size(path: Path) -> tuple[int, int]:
    """Return the height and width of the images that a .keras file takes, without Keras.

    Raises OSError, ValueError or KeyError if the file is missing, or no model of images."""
    try:
        with zipfile.ZipFile(path) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: {error}") from None
    _, height, width = layers[0]["config"]["batch_shape"]
    return height, width
