"""The champion, exported as a model of raw images."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from mnist_mlp import paths
from mnist_mlp.data.scaling import SCALINGS
from mnist_mlp.errors import UserError
from mnist_mlp.serving import export
from stages import champion as stage
from tests.helpers.params import PARAMS_FILE

EXPORTED = {"model.keras": b"the former model", "champion.json": b"{}"}


def write_champion(content: bytes, scaling: str = "pixels") -> dict[str, Any]:
    """Write reports/champion.json for a model of these bytes; return what it holds."""
    scores = {"seed": 1, "test_accuracy": 0.5, "test_images": 100}
    champion = {"study": "techniques", "variant": "none-relu", "scaling": scaling} | scores
    champion |= {"model": "models/techniques/none-relu/seed-1.keras", "md5": hashlib.md5(content).hexdigest()}
    (paths.REPORTS / "champion.json").write_text(json.dumps(champion))
    return champion


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    """Be in a project that holds an earlier export."""
    monkeypatch.chdir(tmp_path)
    paths.PARAMS.write_text(PARAMS_FILE.read_text())
    for path in (paths.CHAMPION, paths.REPORTS):
        path.mkdir(parents=True)
    for name, content in EXPORTED.items():
        (paths.CHAMPION / name).write_bytes(content)


@pytest.mark.parametrize("content", [b"another model", None], ids=["another", "missing"])
def test_a_model_that_is_not_the_one_scored_is_refused(content):
    md5 = write_champion(b"a model")["md5"]
    if content:
        paths.BEST.write_bytes(content)
    found = f"md5 {hashlib.md5(content).hexdigest()}" if content else "nothing"
    with pytest.raises(UserError) as caught:
        stage.main()
    assert str(caught.value) == f"{paths.BEST}: found {found}; allowed: md5 {md5}; run `dvc checkout {paths.BEST}`"
    assert {path.name: path.read_bytes() for path in paths.CHAMPION.iterdir()} == EXPORTED


@pytest.mark.slow
@pytest.mark.parametrize("scaling", SCALINGS)
def test_the_exported_model_predicts_from_raw_images_as_the_trained_one_from_scaled_ones(scaling):
    from mnist_mlp.training.backend import keras

    keras.utils.set_random_seed(0)
    flat = keras.layers.Flatten()
    trained = keras.Sequential([keras.Input((32, 20)), flat, keras.layers.Dense(3, "softmax")])
    trained.save(paths.BEST)
    champion = write_champion(paths.BEST.read_bytes(), scaling)
    export.export(champion)
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 20)).astype(np.uint8)
    images[:, :, :3] = 0  # columns that are dark, as at MNIST's edges
    served = keras.saving.load_model(paths.CHAMPION / "model.keras")
    expected = trained.predict(SCALINGS[scaling](images), verbose=0)
    np.testing.assert_allclose(served.predict(images, verbose=0), expected, atol=1e-5)
    assert json.loads((paths.CHAMPION / "champion.json").read_text()) == champion
    assert export.image_size(paths.CHAMPION / "model.keras") == (32, 20)
    before = (paths.CHAMPION / "model.keras").read_bytes()
    export.export(champion)
    assert (paths.CHAMPION / "model.keras").read_bytes() == before
