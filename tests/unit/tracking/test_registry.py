"""The champion in the model registry of the real MLflow, over a made-up model."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from mnist_mlp import paths
from mnist_mlp.tracking import registry, store
from tests.helpers.params import PARAMS

SCORED = {"study": "techniques", "variant": "l1-tanh", "seed": 1, "test_accuracy": 0.5, "test_images": 100,
          "scaling": "?", "md5": "?"}  # fmt: skip


def model_of(height: int, width: int = 28) -> bytes:
    """Return what registering reads of a .keras file: the size of the images that it takes."""
    layers = [{"config": {"batch_shape": [None, height, width]}}]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("config.json"), json.dumps({"config": {"layers": layers}}))
    return file.getvalue()


def register(model: bytes = b"", **scored: object) -> bool:
    """Register a made-up model; return whether that changed anything. scored: changes of what champion.json says."""
    paths.CHAMPION.mkdir(parents=True, exist_ok=True)
    (paths.CHAMPION / "model.keras").write_bytes(model or model_of(28))
    (paths.CHAMPION / "champion.json").write_text(json.dumps(SCORED | scored))
    return registry.register(store.open_store(), PARAMS)


def champion() -> str:
    """Return the version that the alias names."""
    client = store.open_store().client
    return str(client.get_model_version_by_alias(registry.NAME, registry.ALIAS).version)


def test_the_same_model_is_registered_once_and_the_alias_follows_the_champion(tracked_checkout):
    assert [register(), register(), champion()] == [True, False, "1"]
    assert [register(model_of(32)), champion()] == [True, "2"]
    assert [register(), champion()] == [True, "1"]


@pytest.mark.parametrize("changed", [{"variant": "renamed"}, {"seed": 0}, {"test_accuracy": 0.6}], ids=str)
def test_the_champion_bears_the_name_that_its_variant_has_now(tracked_checkout, changed):
    """A renamed variant trains to the same bytes, which are registered under the former name."""
    assert [register(), register(**changed), champion()] == [True, True, "2"]
    version = store.open_store().client.get_model_version_by_alias(registry.NAME, registry.ALIAS)
    now = SCORED | changed
    assert {name: version.tags[name] for name in ("variant", "seed")} == {
        "variant": now["variant"],
        "seed": str(now["seed"]),
    }
    assert version.description.startswith(
        f"techniques/{now['variant']}, seed {now['seed']}: test accuracy {now['test_accuracy']:.2%}"
    )
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
    assert (kept / "artifacts/model.keras").read_bytes() == model_of(28)
    assert client.get_model_version_by_alias(registry.NAME, registry.ALIAS).tags["variant"] == "l1-tanh"


def test_the_signature_has_the_image_size_of_the_model(tracked_checkout):
    from mlflow.models import Model

    register(model_of(32, 20))
    client = store.open_store().client
    version = client.get_model_version_by_alias(registry.NAME, registry.ALIAS)
    kept = Path(client.get_model_version_download_uri(registry.NAME, version.version))
    assert Model.load(str(kept)).signature.inputs.inputs[0].shape == (-1, 32, 20)
    assert "uint8 [n, 32, 20]" in version.description


def test_trouble_with_a_registry_of_its_own_names_that_without_its_password(monkeypatch):
    address = "http://me:open-sesame@127.0.0.1:9/?token=open-sesame"
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", address)
    told = registry.trouble(ConnectionError(f"no answer of {address}"))
    assert told == "MLFLOW_REGISTRY_URI: http://127.0.0.1:9: ConnectionError"
    monkeypatch.delenv("MLFLOW_REGISTRY_URI")
    assert registry.trouble(ConnectionError("gone")).startswith("MLflow at sqlite:///mlruns/mlflow.db: ConnectionError")
