"""The champion of a real run: registered, and served to real requests by the real MLflow."""

import json
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_mlp import paths
from mnist_mlp.data import datasets
from tests.helpers.project import Project
from tests.helpers.servers import end_group, free_port, wait_until_healthy
from tests.helpers.variants import remove

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shell")]


@contextmanager
def serving(project: Project, folder: Path) -> Iterator[Callable[[Any], Any]]:
    """Run README's command; yield a function that sends images and returns the predictions, or the error's status."""
    port, log = free_port(), folder / "serve.log"
    address = f"http://127.0.0.1:{port}"

    def ask(images: Any) -> Any:
        body = json.dumps({"inputs": np.asarray(images).tolist()}).encode()
        request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["predictions"]
        except urllib.error.HTTPError as error:
            return error.code

    with log.open("w") as output:
        server = subprocess.Popen(
            ["mlflow", "models", "serve", "-m", "models:/mnist-mlp@champion", "--env-manager", "local", "--port",
             str(port)],
            cwd=project.folder, env=project.environment | {"PYTHONSAFEPATH": "1"},
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until_healthy(address, server, log)
        yield ask
    finally:
        end_group(server, signal.SIGTERM)


def registered(project: Project) -> dict[str, Any]:
    """Return the champion's version, each version's tags, and the variant that each version's run trained."""
    client = project.store().client
    (model,) = client.search_registered_models()
    versions = client.search_model_versions("name = 'mnist-mlp'")
    trained = {str(v.version): client.get_run(v.run_id).data.tags["variant"] for v in versions if v.run_id}
    tags = {str(v.version): v.tags for v in versions}
    return {"champion": str(model.aliases["champion"]), "versions": tags, "trained": trained}


def champion(project: Project) -> dict[str, Any]:
    return json.loads((project.folder / "reports/champion.json").read_text())


def track(project: Project) -> str:
    return project.run("python", "-m", "mnist_mlp", "track")


def test_the_champion_is_the_studies_best_by_one_half_of_the_images_and_scored_on_the_other(fresh_project):
    best, labels = champion(fresh_project), np.load(fresh_project.folder / "data/prepared/labels/test.npy")
    hits = {
        path.parts[-3:-1]: np.load(path).argmax(axis=2) == labels
        for path in (fresh_project.folder / "models").glob("*/*/probabilities.npy")
        if path.parts[-3] != "candidate"
    }
    chosen = {key: runs[:, ::2].mean() for key, runs in hits.items()}
    own = hits[best["study"], best["variant"]]
    assert chosen[best["study"], best["variant"]] == max(chosen.values())
    assert own[best["seed"], ::2].mean() == own[:, ::2].mean(axis=1).max()
    assert own[best["seed"], 1::2].mean() == pytest.approx(best["test_accuracy"], abs=1e-6)


def test_the_champion_is_registered_once(project):
    best, found = champion(project), registered(project)
    assert (found["champion"], found["trained"]) == ("1", {"1": best["variant"]})
    assert found["versions"]["1"]["md5"] == best["md5"]
    before = project.digests("champion")
    project.run("dvc", "repro", "--force", "--single-item", "champion")
    assert project.digests("champion") == before
    assert project.git("status", "--porcelain") == ""
    assert registered(project) == found


def test_the_served_champion_in_a_moved_checkout_answers_as_it_was_scored(project, tmp_path):
    """On raw test images, as many as the sample has: 1,000."""
    best = champion(project)
    images, labels = datasets.load(project.folder / paths.RAW)[1]
    stored = np.load(project.folder / "models" / best["study"] / best["variant"] / "probabilities.npy")[best["seed"]]
    with serving(project, tmp_path) as ask:
        answers = ask(images[:1000])
        assert ask(images[:1, :5]) == 400
        assert ask(images[:1].astype(int) + 256) == 400
        assert ask(images[:1] / 255) == 400
    np.testing.assert_allclose([answer["probabilities"] for answer in answers], stored[:1000], atol=1e-5)
    predicted = np.array([answer["class"] for answer in answers])
    assert (predicted == labels[:1000])[1::2].mean() == pytest.approx(best["test_accuracy"], abs=1e-6)


def test_another_champion_is_another_version_and_the_former_one_comes_back(project):
    """The alias follows; so it does from `track`, if the store was out of reach while the champion changed."""
    former = champion(project)
    project.change(lambda params: remove(params, former["study"], former["variant"]))
    (project.folder / "mlruns").rename(project.folder / "elsewhere")
    (project.folder / "mlruns").write_text("")
    output = project.run("dvc", "repro")
    assert project.ran(output) == ["evaluate", "compare", "champion"]
    assert output.count("`mnist-mlp track` registers it later") == 1
    (project.folder / "mlruns").unlink()
    (project.folder / "elsewhere").rename(project.folder / "mlruns")
    assert registered(project)["champion"] == "1"
    track(project)
    found = registered(project)
    assert (found["champion"], found["trained"]["2"]) == ("2", champion(project)["variant"])
    assert found["versions"]["2"]["md5"] == champion(project)["md5"] != former["md5"]

    project.git("checkout", "--quiet", ".")
    project.run("dvc", "checkout")
    assert champion(project) == former
    track(project)
    assert track(project).startswith("MLflow: 0 created, 0 completed, ")
    found = registered(project)
    assert (found["champion"], len(found["versions"])) == ("1", 2)
