"""The champion: chosen, exported, registered, and served to real requests by the real MLflow."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import FORKED, ROOT, Project

from mnist_mlp import UserError, config, mnist, scoring

STORE = "sqlite:///mlruns/mlflow.db"


@contextlib.contextmanager
def serving(project: Project, folder: Path) -> Iterator[Callable[[Any], Any]]:
    """README's command; yields a function that sends images and returns the predictions, or the error's status."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    log = folder / "serve.log"

    def ask(images: Any) -> Any:
        body = json.dumps({"inputs": np.asarray(images).tolist()}).encode()
        request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["predictions"]
        except urllib.error.HTTPError as error:
            return error.code

    server = subprocess.Popen(
        ["mlflow", "models", "serve", "-m", "models:/mnist-mlp@champion", "--env-manager", "local", "--port",
         address.rpartition(":")[2]],
        cwd=project.folder, env=project.environment | {"MLFLOW_TRACKING_URI": STORE, "PYTHONSAFEPATH": "1"},
        stdout=log.open("w"), stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end and server.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            time.sleep(0.3)
        assert server.poll() is None, log.read_text()
        yield ask
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def registered(project: Project) -> dict[str, Any]:
    """The champion's version; each version's tags; the variant that its run trained."""
    client = project.store().client
    (model,) = client.search_registered_models()
    versions = client.search_model_versions("name = 'mnist-mlp'")
    trained = {str(v.version): client.get_run(v.run_id).data.tags["variant"] for v in versions if v.run_id}
    tags = {str(v.version): v.tags for v in versions}
    return {"champion": str(model.aliases["champion"]), "versions": tags, "trained": trained}


def champion(project: Project) -> dict[str, Any]:
    return json.loads((project.folder / "reports/champion.json").read_text())


def test_the_candidate_is_no_champion_and_the_lowest_seed_settles_a_tie(tmp_path, monkeypatch):
    first, second, *_, candidate = config.load(ROOT / "params.yaml").variants
    monkeypatch.chdir(tmp_path)
    outcomes = []
    for variant, scores in ((first, [0.1, 0.2]), (second, [0.7, 0.9, 0.9]), (candidate, [1.0])):
        rows = [{"seed": seed, "val_accuracy": score, "test_accuracy": 0.5} for seed, score in enumerate(scores)]
        key = {"study": variant.study, "variant": variant.name}
        outcomes.append(SimpleNamespace(variant=variant, replicates=rows, key=key))
    table = pd.DataFrame({"rank": [3, 2, 1]})
    with pytest.raises(UserError, match=r"seed-1\.keras"):
        scoring.champion(table, outcomes)
    second.folder.mkdir(parents=True)
    (second.folder / "seed-1.keras").write_bytes(b"a model")
    assert scoring.champion(table, outcomes) == {
        "study": second.study, "variant": second.name, "scaling": second.scaling, "seed": 1, "val_accuracy": 0.9,
        "test_accuracy": 0.5, "model": f"{second.folder}/seed-1.keras", "md5": hashlib.md5(b"a model").hexdigest(),
    }  # fmt: skip


@pytest.mark.slow
def test_the_champion_is_the_studies_best_and_is_registered_once(project):
    best = champion(project)
    results = pd.read_csv(project.folder / "reports/results.csv")
    studies = results[results["study"] != "candidate"]
    means = studies.groupby(["study", "variant"])["test_accuracy"].mean().round(9)
    assert means[best["study"], best["variant"]] == means.max()
    own = results[(results["study"] == best["study"]) & (results["variant"] == best["variant"])].set_index("seed")
    assert own.loc[best["seed"], "val_accuracy"] == own["val_accuracy"].max()
    found = registered(project)
    assert found["champion"] == "1"
    assert found["trained"] == {"1": best["variant"]}
    assert found["versions"]["1"]["md5"] == best["md5"]

    assert project.ran(project.run("dvc", "repro")) == []
    before = project.digests("models/champion")
    project.run("dvc", "repro", "--force", "--single-item", "champion")
    assert project.digests("models/champion") == before
    assert project.git("status", "--porcelain") == ""
    assert registered(project) == found


@pytest.mark.slow
def test_the_served_champion_in_a_moved_checkout_answers_as_it_was_scored(project, tmp_path):
    """On raw test images, as many as the sample has: 1,000."""
    best = champion(project)
    images, labels = mnist.load(project.folder / mnist.RAW)[1]
    stored = np.load(project.folder / "models" / best["study"] / best["variant"] / "probabilities.npy")[best["seed"]]
    with serving(project, tmp_path) as ask:
        answers = ask(images[:1000])
        assert ask(images[:1, :5]) == 400
        assert ask(images[:1].astype(int) + 256) == 400
    np.testing.assert_allclose([answer["probabilities"] for answer in answers], stored[:1000], atol=1e-5)
    predicted = np.array([answer["class"] for answer in answers])
    assert (predicted == labels[:1000]).mean() == pytest.approx(best["test_accuracy"], abs=1e-6)


@pytest.mark.slow
def test_another_champion_is_another_version_and_the_former_one_comes_back(project):
    """The alias follows; so it does from track, where the store was out of reach while the champion changed."""
    former = champion(project)
    project.change(lambda params: params[former["study"]]["variants"].pop(former["variant"]))
    (project.folder / "mlruns").rename(project.folder / "elsewhere")
    (project.folder / "mlruns").write_text("")
    output = project.run(*FORKED)
    assert project.ran(output) == ["evaluate", "compare", "champion"]
    assert output.count("`python -m stages.track` registers it later") == 1
    (project.folder / "mlruns").unlink()
    (project.folder / "elsewhere").rename(project.folder / "mlruns")
    assert registered(project)["champion"] == "1"
    project.run("python", "-m", "stages.track")
    found = registered(project)
    assert (found["champion"], found["trained"]["2"]) == ("2", champion(project)["variant"])
    assert found["versions"]["2"]["md5"] == champion(project)["md5"] != former["md5"]

    project.git("checkout", "--quiet", ".")
    project.run("dvc", "checkout")
    assert champion(project) == former
    project.run("python", "-m", "stages.track")
    assert project.run("python", "-m", "stages.track").startswith("0 created, 0 completed, ")
    found = registered(project)
    assert (found["champion"], len(found["versions"])) == ("1", 2)


@pytest.mark.slow
def test_a_model_that_is_not_the_one_scored_is_refused(project):
    path = project.folder / champion(project)["model"]
    before = project.digests("models/champion")
    path.write_bytes(b"no model")
    said = project.run("python", "-m", "stages.champion", status=1)
    assert said.startswith(f"error: {champion(project)['model']}: found md5 ")
    assert said.count("\n") == 1
    path.unlink()
    assert "found nothing; allowed: md5 " in project.run("python", "-m", "stages.champion", status=1)
    assert project.digests("models/champion") == before
