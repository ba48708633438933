"""A day of use: after each step the runs tagged `current` are those that dvc.lock knows; the browser shows them.

`DAY=full MNIST_DIR=... python -m pytest -n0 tests/pipeline/test_day.py` has 20 experiments, a queue of six, real MNIST,
from that folder, and back; it looks into the browser after each step.
"""

import json
import os
from contextlib import ExitStack
from itertools import product

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tests.helpers.browser import CHROMIUM, DRIVER, open_browser, open_ui, wait_for
from tests.helpers.project import Project

FULL = os.environ.get("DAY") == "full"
IMAGES = {"MNIST_DIR": os.environ["MNIST_DIR"]} if FULL else {}
TRIES = list(product(("tanh", "relu", "elu", "gelu", "selu"), (64, 100, 200, 300)))[: 20 if FULL else 2]
QUEUED = ("softsign", "softplus", "silu", "mish", "celu", "relu6")[: 6 if FULL else 1]
BACK = "git checkout -q HEAD -- params.yaml dvc.lock reports && dvc checkout -q"


def read(project: Project, name: str) -> dict:
    return YAML(typ="safe", pure=True).load((project.folder / name).read_text())


def known(project: Project) -> dict[tuple[str, str], tuple[str, float]]:
    """Return the md5 in dvc.lock of each variant that params.yaml has, and its mean test accuracy in models/."""
    names = [("candidate", "candidate")]
    for study, body in read(project, "params.yaml").items():
        if isinstance(body, dict) and "protocol" in body:
            levels = [body["variants"]] if "variants" in body else body["factors"].values()
            names += [(study, "-".join(one)) for one in product(*levels)]
    outs = [out for entry in read(project, "dvc.lock")["stages"].values() for out in entry["outs"]]
    kept, found = {out["path"]: out["md5"] for out in outs}, {}
    for study, name in names:
        folder = f"models/{study}/{name}"
        rows = json.loads((project.folder / folder / "metrics.json").read_text())["replicates"]
        found[study, name] = (kept[folder], pytest.approx(pd.DataFrame(rows)["test_accuracy"].mean()))
    return found


def check(project: Project, browser=None, link: str = "") -> None:
    """Compare the current runs with what dvc.lock knows: by MLflow's client and, with a browser, in its table."""
    runs = project.runs("tags.current = 'true' and tags.kind = 'variant'")
    current = {
        (run.data.tags["study"], run.data.tags["variant"]): (
            run.data.tags["dvc.md5"],
            run.data.metrics["test_accuracy"],
        )
        for run in runs
    }
    assert current == known(project)
    assert len(runs) == len(current)
    if browser:
        browser.get("about:blank")
        browser.get(link)
        wait_for(browser, "document.body.textContent", lambda text: f"{len(current)} matching runs" in text)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium here: `apt-get install chromium chromium-driver`")
def test_a_day_of_use_leaves_what_dvc_lock_knows_current(project, tmp_path):
    with ExitStack() as stack:
        browser = stack.enter_context(open_browser(tmp_path, "--window-size=1500,1000"))
        view = (browser, stack.enter_context(open_ui(project))["all variants, the best first"])
        each = view if FULL else ()
        check(project)
        for activation, size in TRIES:
            project.run("dvc", "exp", "run", "-S", f"activation={activation}", "-S", f"batch_size={size}")
            check(project, *each)
        project.run("sh", "-c", BACK)
        project.run("python", "-m", "mnist_mlp", "track")
        check(project, *view)
        first = project.git("rev-parse", "HEAD").strip()

        def change(edit) -> None:
            project.change(edit)
            project.run("dvc", "repro", **IMAGES)
            check(project, *each)

        if FULL:
            for name in ("mnist", "mnist-sample"):
                change(lambda params, name=name: params.update(dataset=name))
        change(lambda params: params["techniques"]["factors"]["technique"].pop("l1"))
        levels = read(project, "params.yaml")["techniques"]["factors"]["technique"]
        renamed = {{"batchnorm": "normalized"}.get(name, name): body for name, body in levels.items()}
        change(lambda params: params["techniques"]["factors"].update(technique=renamed))
        model = read(project, "params.yaml")["architectures"]["variants"]["model2"] | {"activation": "tanh"}
        change(lambda params: params["architectures"]["variants"].update(added=model))
        project.commit()
        for commit in (first, "-"):
            project.git("checkout", "--quiet", commit)
            project.run("dvc", "checkout", "--quiet")
            project.run("python", "-m", "mnist_mlp", "track")
            check(project, *view)

        project.run("dvc", "exp", "run", "--queue", "-S", f"activation={','.join(QUEUED)}")
        project.run("dvc", "exp", "run", "--run-all")
        check(project, *view)
        queued = project.runs("tags.study = 'candidate' and tags.source = 'training' and tags.kind = 'variant'")
        assert {run.data.params["activation"] for run in queued if "place" in run.data.tags} >= set(QUEUED)
