"""The champion in the model registry of the real MLflow, over a made-up model."""

import json
from pathlib import Path

import pytest

from mnist_mlp import paths
from mnist_mlp.tracking import registry, store
from tests.helpers.params import PARAMS

SCORED = {"study": "techniques", "variant": "l1-tanh", "seed": 1, "test_accuracy": 0.5, "scaling": "?", "md5": "?"}


def register(model: bytes = b"a model") -> bool:
    """Register a made-up model; return whether that changed anything."""
    paths.CHAMPION.mkdir(parents=True, exist_ok=True)
    (paths.CHAMPION / "model.keras").write_bytes(model)
    (paths.CHAMPION / "champion.json").write_text(json.dumps(SCORED))
    return registry.register(store.open_store(), PARAMS)


def champion() -> str:
    """Return the version that the alias names."""
    client = store.open_store().client
    return str(client.get_model_version_by_alias(registry.NAME, registry.ALIAS).version)


def test_the_same_model_is_registered_once_and_the_alias_follows_the_champion(tracked_checkout):
    assert [register(), register(), champion()] == [True, False, "1"]
    assert [register(b"another model"), champion()] == [True, "2"]
    assert [register(), champion()] == [True, "1"]


@pytest.mark.parametrize("apart", [False, True], ids=["checkout", "store outside of it"])
def test_a_registered_model_is_found_once_its_store_is_moved(tracked_checkout, tmp_path, monkeypatch, apart):
    """Paths are relative in a checkout's own store, and absolute in a store outside of the checkout."""
    if apart:
        (tracked_checkout / "mlruns").rename(tmp_path / "store")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store/mlflow.db")
    register()
    if apart:
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere/mlflow.db")
    else:
        monkeypatch.chdir(tracked_checkout.rename(tmp_path / "elsewhere"))
    client = store.open_store().client
    (version,) = client.search_model_versions(f"name = '{registry.NAME}'")
    kept = Path(client.get_model_version_download_uri(registry.NAME, version.version))
    assert (kept / "artifacts/model.keras").read_bytes() == b"a model"
    assert client.get_model_version_by_alias(registry.NAME, registry.ALIAS).tags["variant"] == "l1-tanh"
