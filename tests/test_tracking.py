"""The real MLflow on SQLite in a folder of the test's own, over outputs that the test makes up."""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from mnist_mlp import UserError, champion, config, store, tracking
from mnist_mlp.description import CODE, fingerprint, note, resolved, run_name
from mnist_mlp.locked import md5
from mnist_mlp.restoring import Trained
from stages import track

ROOT = Path(__file__).parents[1]
FILES = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
DATASET = {"name": "mnist", "requested": "auto", "train": 60000, "test": 10000, "sha256": {f: f for f in FILES}}
SOFTWARE = config.load().software
WAITING = f"""
import time
from mnist_mlp import config, tracking
params = config.load()
with tracking.training(params.candidate, {DATASET!r}, params.software):
    print("training", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A store made once, since MLflow takes a second and a half for it."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        clean(patch, folder)
        store.open_store()
    return folder / "mlruns"


def clean(patch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("DVC_", "MLFLOW_")):
            patch.delenv(name)
    patch.chdir(folder)


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / CODE, folder / CODE, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    for name in ("data/raw", "data/prepared"):
        (folder / name).mkdir(parents=True)
    (folder / track.DATASET).write_text(json.dumps(DATASET))
    clean(monkeypatch, folder)
    return folder


@pytest.fixture
def made(checkout, empty_store) -> Path:
    shutil.copytree(empty_store, checkout / "mlruns")
    return checkout


def write_outputs(variant: config.Variant) -> Path:
    """What the training stage would write, of random numbers."""
    random, replicates = np.random.default_rng(len(variant.name)), []
    history = [[seed, epoch, *random.random(4)] for seed in variant.seeds for epoch in range(1, variant.epochs + 1)]
    table = pd.DataFrame(history, columns=["seed", "epoch", *tracking.CURVES]).round(6)
    for seed, rows in table.groupby("seed", sort=False):
        numbers = dict(zip(tracking.FINALS, random.random(6).round(6).tolist(), strict=True))
        last = rows.iloc[-1][["val_loss", "val_accuracy"]].to_dict()
        replicates.append({"seed": int(seed), **numbers, **last, "penalty": 0.25})
    variant.folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(variant.folder / "history.csv", index=False, float_format="%.6f")
    metrics = {"parameters": 1234, "replicates": replicates}
    (variant.folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return variant.folder


def write_reports(variants: list[config.Variant]) -> None:
    results, histories = [], []
    for variant in variants:
        keys = {"study": variant.study, "variant": variant.name}
        metrics = json.loads((variant.folder / "metrics.json").read_text())
        histories.append(pd.read_csv(variant.folder / "history.csv").assign(**keys))
        results += [keys | row | {"parameters": metrics["parameters"]} for row in metrics["replicates"]]
    Path("reports").mkdir()
    pd.concat(histories).to_csv("reports/history.csv", index=False, float_format="%.6f")
    pd.DataFrame(results).drop(columns="penalty").to_csv("reports/results.csv", index=False, float_format="%.6f")
    Path("reports/metrics.json").write_text('{"dataset": "mnist"}')


def write_lock(variants: list[config.Variant], reports: bool = False) -> None:
    """dvc.lock, as DVC writes it once these are trained."""
    raw = YAML(typ="safe").load(Path("params.yaml").read_text())
    code = {"path": CODE.as_posix(), "hash": "md5", "md5": md5(CODE)}
    data = {"path": "data/prepared", "hash": "md5", "md5": md5(Path("data/prepared"))}
    stages = {"preprocess": {"cmd": "...", "outs": [data]}}
    for variant in variants:
        study, name = variant.study, variant.name
        stage = Trained(variant, None, {}, {}).stage
        if study == "candidate":
            params = {key: raw[key] for key in [*variant.parameters(), "software"]}
        else:
            params = {f"{study}.protocol": raw[study]["protocol"], "software": raw["software"]}
            params[f"{study}.variants.{name}"] = raw[study]["variants"][name]
        out = {"path": variant.folder.as_posix(), "hash": "md5", "md5": md5(variant.folder)}
        stages[stage] = {
            "deps": [data, code], "params": {"params.yaml": params}, "outs": [out],
        }  # fmt: skip
    if reports:
        outs = [{"path": path.as_posix(), "hash": "md5", "md5": md5(path)} for path in track.REPORTED]
        read = {"path": "params.yaml", "hash": "md5", "md5": md5(config.PARAMS)}
        stages["evaluate"] = {"deps": [read], "outs": outs}
    if Path("reports/comparison.md").exists():
        compared = [{"path": path, "md5": md5(Path(path))} for path in ("reports/comparison.md", "reports/figures")]
        stages["compare"] = {"outs": compared}
    YAML(typ="safe").dump({"schema": "2.0", "stages": stages}, Path("dvc.lock"))


def train(variant: config.Variant) -> None:
    with tracking.training(variant, DATASET, SOFTWARE) as log:
        log(write_outputs(variant))


def runs(nested: bool = False) -> list:
    opened = store.open_store()
    found = opened.client.search_runs([opened.experiment])
    return [run for run in found if ("mlflow.parentRunId" in run.data.tags) == nested]


def some_variants() -> list[config.Variant]:
    params = config.load()
    return [params.variant("architectures", "model8"), params.variant("techniques", "l1-tanh"), params.candidate]


def test_a_training_is_logged_whole(made, monkeypatch, capfd):
    Path("dvc.lock").write_text("stages: {}\n")
    settings = {"DVC_STAGE": "train-architecture@model4", "DVC_EXP_NAME": "dusky-mole", "DVC_EXP_BASELINE_REV": "abc"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    variant = config.load().variant("architectures", "model4").model_copy(update={"epochs": 260, "seeds": (7, 3)})
    train(variant)
    assert capfd.readouterr() == ("", "")

    (run,), children = runs(), runs(nested=True)
    history = pd.read_csv(variant.folder / "history.csv")
    finals = pd.DataFrame(json.loads((variant.folder / "metrics.json").read_text())["replicates"])
    assert (run.info.run_name, run.info.status) == ("model4", "FINISHED")
    expected = {"study": "architectures", "variant": "model4"} | variant.parameters() | {"learning_rate": 0.01}
    assert run.data.params == {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in expected.items()
    }
    metrics = run.data.metrics
    for name in tracking.FINALS:
        assert metrics[name] == pytest.approx(finals[name].mean(), abs=1e-6)
    assert metrics["test_accuracy_std"] == pytest.approx(finals["test_accuracy"].std(ddof=1), abs=1e-6)
    assert {"train_accuracy_std", "val_accuracy_std"} < metrics.keys()
    assert "test_loss_std" not in metrics
    assert (metrics["parameters"], metrics["penalty"]) == (1234, 0.25)
    assert 0 < metrics["training_seconds"] < 5
    means = history.groupby("epoch")["val_loss"].mean()
    client = store.open_store().client
    curve = {point.step: point.value for point in client.get_metric_history(run.info.run_id, "val_loss")}
    assert curve == pytest.approx(means.to_dict())

    tags = run.data.tags
    assert [tags[f"dvc.{what}"] for what in ("stage", "experiment", "baseline")] == [*settings.values()]
    assert (tags["study"], tags["variant"]) == ("architectures", "model4")
    assert (tags["dataset"], tags["version.keras"]) == ("mnist", dict(config.load().software)["keras"])
    assert tags["fingerprint"] == fingerprint(variant, DATASET, config.load().software)
    assert tags["dvc.lock"] == md5(Path("dvc.lock"))
    assert {"cpu", "version.python", "version.tensorflow", "version.mlflow", "version.dvc"} < tags.keys()
    assert "512, dropout 0.25, 128, batch norm, 64" in tags["mlflow.note.content"]
    assert f"{finals['test_accuracy'].mean():.2%}" in tags["mlflow.note.content"]
    contexts = {
        given.tags[0].value: json.loads(given.dataset.profile)["num_rows"] for given in run.inputs.dataset_inputs
    }
    assert contexts == {"train": 60000, "validation": 10000, "test": 10000}

    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {run.info.run_id}
    for child in children:
        seed = int(child.data.params["seed"])
        own = history[history["seed"] == seed].set_index("epoch")["accuracy"]
        curve = {point.step: point.value for point in client.get_metric_history(child.info.run_id, "accuracy")}
        assert (child.info.run_name, child.info.status) == (f"seed {seed}", "FINISHED")
        assert curve == pytest.approx(own.to_dict())
        assert child.data.metrics["test_loss"] == finals.set_index("seed")["test_loss"][seed]
    folder = made / run.info.artifact_uri
    assert (folder / "history.csv").read_bytes() == (variant.folder / "history.csv").read_bytes()
    assert (folder / "metrics.json").read_bytes() == (variant.folder / "metrics.json").read_bytes()
    assert {path.name for path in (folder / "figures").iterdir()} == {"accuracy.png", "loss.png"}


def test_a_moved_checkout_shows_its_figures_and_one_elsewhere_writes_to_it(made, tmp_path, monkeypatch):
    copy = tmp_path / "temporary copy"
    shutil.copytree(made, copy, ignore=shutil.ignore_patterns("mlruns"))
    monkeypatch.setenv("DVC_ROOT", str(made))
    monkeypatch.chdir(copy)
    train(config.load().candidate)
    assert not (copy / "mlruns").exists()
    monkeypatch.delenv("DVC_ROOT")
    moved = made.rename(tmp_path / "moved é 100%20?")
    monkeypatch.chdir(moved)
    (run,) = runs()
    listed = store.open_store().client.list_artifacts(run.info.run_id, "figures")
    assert [file.path for file in listed] == ["figures/accuracy.png", "figures/loss.png"]
    train(config.load().candidate)
    assert len(list(moved.glob("mlruns/artifacts/*/artifacts/figures/*.png"))) == 4


@pytest.mark.parametrize("apart", [False, True])
def test_a_registered_model_is_found_once_its_store_is_moved(made, tmp_path, monkeypatch, apart):
    """apart: a store outside of the checkout, whose paths are absolute, is moved; else the checkout is."""
    if apart:
        (made / "mlruns").rename(tmp_path / "store")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/store/mlflow.db")
    champion.FOLDER.mkdir(parents=True)
    (champion.FOLDER / "model.keras").write_bytes(b"a model")
    scored = {"study": "techniques", "variant": "l1-tanh", "seed": 1, "test_accuracy": 0.5, "scaling": "?", "md5": "?"}
    (champion.FOLDER / "champion.json").write_text(json.dumps(scored))
    changed = [champion.register(store.open_store(), config.load()) for _ in range(2)]
    assert changed == [True, False]
    if apart:
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere/mlflow.db")
    else:
        monkeypatch.chdir(made.rename(tmp_path / "elsewhere"))
    client = store.open_store().client
    (version,) = client.search_model_versions(f"name = '{champion.NAME}'")
    kept = Path(client.get_model_version_download_uri(champion.NAME, version.version))
    assert (kept / "artifacts/model.keras").read_bytes() == b"a model"
    assert client.get_model_version_by_alias(champion.NAME, champion.ALIAS).tags["variant"] == "l1-tanh"


def test_processes_that_open_a_missing_store_at_once_lose_no_run(checkout):
    code = """
from mnist_mlp import store
opened = store.open_store()
opened.end(opened.start("a run", {}), "FINISHED")
"""
    started = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment())
        for _ in range(4)
    ]
    assert [process.communicate(timeout=180)[1] for process in started] == [""] * 4
    assert [run.info.status for run in runs()] == ["FINISHED"] * 4


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_a_block_that_raises_fails_and_one_interrupted_is_killed(made, capsys):
    candidate = config.load().candidate
    for error in (UserError("the loss is no longer finite"), KeyboardInterrupt()):
        with pytest.raises(type(error)), tracking.training(candidate, DATASET, SOFTWARE):
            raise error
    with tracking.training(candidate, DATASET, SOFTWARE):
        pass
    found = {run.info.status: run.data.tags[store.REASON] for run in runs() if run.info.status == "KILLED"}
    assert found == {"KILLED": "Ctrl-C"}
    reasons = {run.data.tags[store.REASON] for run in runs() if run.info.status == "FAILED"}
    assert reasons == {"UserError: the loss is no longer finite", "its outputs were not logged"}
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_process_killed_leaves_no_running_run(made, sent, status):
    process = subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout.readline() == "training\n"
    (run,) = runs()
    assert run.info.status == "RUNNING"
    process.send_signal(sent)
    assert process.wait(timeout=20) == status
    process.stdout.close()
    (run,) = runs()
    assert run.info.status == "KILLED"
    assert run.data.tags[store.REASON] == ("its process is gone" if status < 0 else "SIGTERM")
    if status < 0:
        train(config.load().candidate)
        assert sorted(run.info.status for run in runs()) == ["FINISHED", "KILLED"]


def test_trouble_with_mlflow_is_a_line_without_the_password(made, monkeypatch, capfd):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for address in (f"http://me:sesame%21@127.0.0.1:{port}", "postgresql://me:sesame!@localhost/db?password=sesame"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        train(config.load().candidate)
        said = capfd.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"warning: MLflow at {address.partition(':')[0]}://")
        assert said.err.count("\n") == 1
        assert "the training goes on; `python -m stages.track` logs it later" in said.err
        assert "sesame" not in said.err
        with pytest.raises(UserError, match=r"^MLflow at ") as caught:
            track.main()
        assert "sesame" not in str(caught.value)
    assert (config.load().candidate.folder / "history.csv").exists()


@pytest.mark.parametrize("obstacle", ["file", "folder", "junk"])
def test_a_store_that_cannot_be_opened_loses_no_training(checkout, capfd, obstacle):
    database = checkout / "mlruns/mlflow.db"
    if obstacle == "file":
        database.parent.write_text("")
    elif obstacle == "folder":
        database.mkdir(parents=True)
    else:
        database.parent.mkdir()
        database.write_text("no database")
    train(config.load().candidate)
    said = capfd.readouterr().err
    assert said.startswith("warning: MLflow at sqlite:///mlruns/mlflow.db: ")
    assert said.count("\n") == 1


def test_a_store_that_fails_midway_loses_no_training_and_track_makes_up_for_it(made, capfd):
    candidate = config.load().candidate
    with tracking.training(candidate, DATASET, SOFTWARE) as log:
        with contextlib.closing(sqlite3.connect("mlruns/mlflow.db")) as database, database:
            database.execute("ALTER TABLE metrics RENAME TO hidden")
        log(write_outputs(candidate))
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("warning: MLflow at sqlite:///mlruns/mlflow.db: OperationalError: ")
    assert said.err.count("\n") == 1
    with contextlib.closing(sqlite3.connect("mlruns/mlflow.db")) as database, database:
        database.execute("ALTER TABLE hidden RENAME TO metrics")
    write_lock([candidate])
    track.main()
    assert sorted(run.info.status for run in runs()) == ["FAILED", "FINISHED"]


@pytest.mark.slow
def test_a_server_gets_runs_and_figures_and_nobody_its_password(made, tmp_path, monkeypatch, capfd):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
               "--artifacts-destination", tmp_path / "kept", "--port", str(port), "--workers", "1"]  # fmt: skip
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(
        command, env=environment() | quiet, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True
    ) as server:
        try:
            for _ in range(200):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health").close()
                    break
                except OSError:
                    time.sleep(0.2)
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:sesame@127.0.0.1:{port}")
            train(config.load().candidate)
            assert [run.info.status for run in runs()] == ["FINISHED"]
            assert len(list((tmp_path / "kept").rglob("*.png"))) == 2
            assert capfd.readouterr() == ("", "")
            with tracking.training(config.load().candidate, DATASET, SOFTWARE) as log:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()
                log(config.load().candidate.folder)
            said = capfd.readouterr()
            assert said.out == ""
            assert said.err.startswith(f"warning: MLflow at http://127.0.0.1:{port}: ConnectionRefusedError")
            assert said.err.count("\n") == 1
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)


def test_track_creates_what_is_missing_once(made, capsys):
    model, technique, candidate = some_variants()
    train(model)
    for variant in (technique, candidate):
        write_outputs(variant)
    write_lock([model, technique, candidate])
    track.main()
    track.main()
    assert capsys.readouterr().out.splitlines() == [
        "2 created, 0 completed, 1 unchanged",
        "0 created, 0 completed, 3 unchanged",
    ]
    assert {run.info.run_name: run.data.tags.get("restored") for run in runs()} == {
        "model8": None,
        "l1-tanh": "true",
        "candidate relu adam [512, dropout 0.25, 128]": "true",
    }
    assert len(runs(nested=True)) == 6


def test_track_labels_nothing_that_dvc_lock_does_not_vouch_for(made, capsys):
    model, technique, candidate = variants = some_variants()
    for variant in variants:
        write_outputs(variant)
    write_lock([model, candidate])
    candidate.folder.joinpath("history.csv").write_text(candidate.folder.joinpath("history.csv").read_text() + "\n")
    edited = Path("params.yaml").read_text().replace("    epochs: 50", "    epochs: 51")
    Path("params.yaml").write_text(edited)
    track.main()
    assert capsys.readouterr().out.splitlines() == [
        "architectures/model8: params.yaml changed since it was trained; run `dvc checkout` or `dvc repro`",
        "techniques/l1-tanh: dvc.lock has no train-technique@l1-tanh; run `dvc checkout` or `dvc repro`",
        "candidate/candidate: models/candidate/candidate isn't what dvc.lock has; run `dvc checkout` or `dvc repro`",
        "0 created, 0 completed, 0 unchanged, 3 skipped",
    ]
    write_lock(variants)
    (CODE / "metrics.py").write_text("# another\n")
    track.main()
    assert "mnist_mlp/training changed since it was trained" in capsys.readouterr().out
    (made / technique.folder / "metrics.json").write_text("{}")
    Path("dvc.lock").write_text("<<<<<<< HEAD\n")
    with pytest.raises(UserError, match=r"^dvc\.lock: can't be read: "):
        track.main()
    assert runs() == []


def test_a_fresh_clone_shows_the_reports_and_the_outputs_complete_them(made, capsys):
    variants = some_variants()[1:]
    for variant in variants:
        write_outputs(variant)
    write_reports(variants)
    write_lock(variants, reports=True)
    shutil.move("models", "elsewhere")
    shutil.move("data", "elsewhere/data")
    track.main()
    track.main()
    before = {run.info.run_id for run in runs()}
    assert {run.data.tags["source"] for run in runs()} == {"reports"}
    assert len(list(made.glob("mlruns/artifacts/*/artifacts/figures/*.png"))) == 4
    assert "penalty" not in runs()[0].data.metrics
    shutil.move("elsewhere/data", "data")
    shutil.move("elsewhere", "models")
    track.main()
    track.main()
    assert capsys.readouterr().out.splitlines() == [
        "2 created, 0 completed, 0 unchanged",
        "0 created, 0 completed, 2 unchanged",
        "0 created, 2 completed, 0 unchanged",
        "0 created, 0 completed, 2 unchanged",
    ]
    assert {run.info.run_id for run in runs()} == before
    assert len(runs(nested=True)) == 4
    for run in runs():
        assert run.data.tags["source"] == "outputs"
        assert run.data.metrics["penalty"] == 0.25
        curve = store.open_store().client.get_metric_history(run.info.run_id, "loss")
        assert sorted(point.step for point in curve) == [*range(1, int(run.data.params["epochs"]) + 1)]
        assert len(run.inputs.dataset_inputs) == 3


def test_the_reports_are_one_run_for_each_state_of_theirs(made, capsys):
    Path("reports/figures").mkdir(parents=True)
    for name, content in {
        "comparison.md": "# Tables",
        "figures/map.png": "",
        "metrics.json": '{"dataset": "mnist", "rank": 3}',
    }.items():
        Path("reports", name).write_text(content)
    write_lock([])
    track.main()
    track.main()
    (run,) = runs()
    assert (run.info.run_name, run.info.status, run.data.tags["study"]) == ("comparison", "FINISHED", "comparison")
    assert run.data.metrics == {"comparison/rank": 3}
    kept = made / run.info.artifact_uri
    assert (kept / "comparison.md").read_text() == "# Tables"
    assert (kept / "figures/map.png").exists()
    Path("reports/comparison.md").write_text("# Other tables")
    track.main()
    write_lock([])
    track.main()
    assert capsys.readouterr().out.splitlines() == [
        "1 created, 0 completed, 0 unchanged",
        "0 created, 0 completed, 1 unchanged",
        "comparison: reports/comparison.md isn't what dvc.lock has; run `dvc checkout` or `dvc repro`",
        "0 created, 0 completed, 0 unchanged, 1 skipped",
        "1 created, 0 completed, 0 unchanged",
    ]
    assert len(runs()) == 2


def test_an_experiment_that_trained_nothing_gets_a_run_of_its_name(made, monkeypatch, capsys):
    """Its candidate was trained before: by the checkout itself, here, and by another experiment."""

    def git(*words: str) -> str:
        who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        return subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True).stdout.strip()

    def commit() -> str:
        git("add", "--all", "--", ".", ":!mlruns", ":!models", ":!data")
        git("commit", "--quiet", "--message", "state")
        return git("rev-parse", "HEAD")

    candidate = config.load().candidate
    train(candidate)
    write_reports([candidate])
    write_lock([candidate], reports=True)
    git("init", "--quiet")
    baseline = commit()
    with monkeypatch.context() as patch:
        patch.setenv("DVC_EXP_NAME", "live-mole")
        patch.setenv("DVC_EXP_BASELINE_REV", baseline)
        train(candidate)
    Path("reports/metrics.json").write_text('{"dataset": "mnist", "rank": 1}')
    revision = commit()
    Path("reports/history.csv").write_text("epoch")
    broken = commit()
    git("checkout", "--quiet", revision, "--", "reports")
    for name, held in {"live-mole": revision, "cached-mole": revision, "odd-mole": broken}.items():
        git("update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", held)
    git("update-ref", "refs/exps/stash", broken)
    track.main()
    track.main()
    said = capsys.readouterr().out.splitlines()
    assert said[1::2] == [
        "1 created, 0 completed, 2 unchanged, 1 skipped",
        "0 created, 0 completed, 3 unchanged, 1 skipped",
    ]
    assert all(line.startswith("experiment odd-mole: can't be read (") for line in said[::2])
    named = {run.data.tags["dvc.experiment"]: run for run in runs() if "dvc.experiment" in run.data.tags}
    assert {name: run.data.tags["dvc.revision"] for name, run in named.items()} == {
        "live-mole": revision,
        "cached-mole": revision,
    }
    cached = named["cached-mole"]
    assert (cached.info.run_name, cached.info.status) == ("cached-mole", "FINISHED")
    assert cached.data.tags["restored"] == "true"
    assert cached.data.tags["mlflow.source.git.commit"] == revision
    assert cached.data.metrics["test_accuracy"] == pytest.approx(named["live-mole"].data.metrics["test_accuracy"])


def test_a_folder_is_digested_as_by_dvc(tmp_path):
    for name, text in {"b.txt": "one\n", "y/a.txt": "two\n", "é.txt": "é\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert md5(tmp_path) == "8df02df500db29f161e6f539da9486f9.dir"  # `dvc add`, 3.67.1


def test_a_fingerprint_follows_from_what_a_training_depends_on(checkout):
    params = config.load()
    variant, software = params.candidate, params.software
    same = fingerprint(variant, DATASET, software)
    turned = {key: DATASET[key] for key in reversed(DATASET)} | {"requested": "mnist"}
    turned["sha256"] = dict(reversed(DATASET["sha256"].items()))
    assert fingerprint(variant, turned, dict(reversed(software.items()))) == same
    others = {
        fingerprint(variant.model_copy(update={"activation": "tanh"}), DATASET, software),
        fingerprint(variant.model_copy(update={"seeds": (1, 0)}), DATASET, software),
        fingerprint(variant.model_copy(update={"name": "other"}), DATASET, software),
        fingerprint(variant, DATASET | {"sha256": {}}, software),
        fingerprint(variant, DATASET, software | {"numpy": "2.4.7"}),
    }
    (CODE / "networks.py").write_text("# another\n")
    assert len(others | {same, fingerprint(variant, DATASET, software)}) == 7


def test_a_default_learning_rate_is_logged_as_kerass_own(checkout):
    from mnist_mlp.training.backend import keras

    for name in config.OPTIMIZERS:
        variant = config.load().candidate.model_copy(update={"optimizer": name})
        expected = float(keras.optimizers.get(name).learning_rate)
        assert resolved(variant)["learning_rate"] == pytest.approx(expected), name
    assert resolved(variant.model_copy(update={"learning_rate": 0.5}))["learning_rate"] == 0.5


def test_names_and_notes(checkout):
    candidate = config.load().candidate
    layers = [{"dense": {"units": 64, "l1": 0.1}}, "batch_norm", {"activity_l2": 0.5}]
    other = config.Variant(**{**candidate.model_dump(), "layers": layers, "activation": "tanh"})
    assert run_name(other) == "candidate tanh adam [64 l1 0.1, batch norm, activity l2 0.5]"
    assert run_name(candidate, "dusky-mole") == "dusky-mole"
    assert run_name(config.load().variant("architectures", "model1")) == "model1"
    assert "no published figure" in note(candidate, DATASET | {"name": config.SAMPLE})
    assert "no published figure" not in note(candidate, DATASET)
