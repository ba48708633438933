"""`mnist-mlp track`, over made-up outputs, reports and dvc.lock."""

import shutil
import subprocess

import pytest

from mnist_mlp import config, paths
from mnist_mlp.commands import track
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import experiments
from mnist_mlp.pipeline.digests import md5
from mnist_mlp.tracking import registry
from mnist_mlp.tracking import runs as tracking
from tests.helpers.params import PARAMS
from tests.helpers.servers import free_port
from tests.helpers.tracked import (
    DATASET,
    SOFTWARE,
    SOME,
    current,
    runs,
    train,
    without_metrics,
    write_lock,
    write_outputs,
    write_reports,
)

MODEL, TECHNIQUE, CANDIDATE = SOME
CANDIDATE_NAME = "candidate relu adam [512, dropout 0.25, 128]"
CACHED = """o'brien's-"100%\""""  # what git allows in the name of an experiment


def test_track_makes_each_missing_run_once(tracked_checkout, capsys):
    train(MODEL)
    for variant in (TECHNIQUE, CANDIDATE):
        write_outputs(variant)
    write_lock(SOME)
    track.main()
    track.main()
    assert capsys.readouterr().out.splitlines() == [
        "MLflow: 2 created, 0 completed, 1 unchanged",
        "MLflow: 0 created, 0 completed, 3 unchanged",
    ]
    assert {run.info.run_name: run.data.tags.get("restored") for run in runs()} == {
        "model8": None,
        "l1-tanh": "true",
        CANDIDATE_NAME: "true",
    }
    assert len(runs(nested=True)) == 6


def test_the_runs_that_dvc_lock_knows_are_current_and_no_others(tracked_checkout):
    """A variant trained with other parameters, trained back, and removed."""
    train(MODEL)
    train(CANDIDATE)
    first, text = CANDIDATE.folder / "history.csv", paths.PARAMS.read_text()
    kept = first.read_bytes()
    assert current() == [CANDIDATE_NAME, "model8"]
    paths.PARAMS.write_text(text.replace("activation: relu", "activation: tanh", 1))
    train(config.load().candidate)
    assert current() == [CANDIDATE_NAME.replace("relu", "tanh"), "model8"]
    write_lock([MODEL, config.load().candidate])
    track.main()
    assert current() == [CANDIDATE_NAME.replace("relu", "tanh"), "model8"]
    paths.PARAMS.write_text(text)
    first.write_bytes(kept)
    write_lock([MODEL, CANDIDATE])
    track.main()
    assert current() == [CANDIDATE_NAME, "model8"]
    write_lock([CANDIDATE])
    track.main()
    assert current() == [CANDIDATE_NAME]
    assert len(runs()) == 3


def test_current_runs_tell_place_interval_and_dvcs_md5(tracked_checkout):
    for variant in SOME[1:]:
        write_outputs(variant)
    write_reports(SOME[1:])
    ranks = "study,variant,rank,rank_low,rank_high,test_accuracy,low,high\n"
    ranks += "techniques,l1-tanh,2,1,2,0.9,0.88,0.92\ncandidate,candidate,1,,,0.95,,\n"
    (paths.REPORTS / "variants.csv").write_text(ranks)
    (paths.REPORTS / "metrics.json").write_text('{"dataset": "mnist", "distinct_models": 2}')
    write_lock(SOME[1:], reported=["variants.csv"])
    track.main()
    told = {run.data.tags["study"]: run.data.tags for run in runs()}
    places = {study: (tags["place"], tags["interval"]) for study, tags in told.items()}
    assert places == {
        "techniques": ("2 of 2; 1 to 2 in 95 % of simulated draws", "90.00% [88.00, 92.00]"),
        "candidate": ("1 of 2", "95.00%"),  # of one seed
    }
    for variant in SOME[1:]:
        tags, kept = told[variant.study], md5(variant.folder)
        assert tags["dvc.md5"] == kept and tags["mlflow.note.content"].endswith(f"`{kept}`.")


def test_a_training_in_a_temporary_copy_is_not_current(tracked_checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("DVC_ROOT", str(tracked_checkout))
    (tmp_path / "copy").mkdir()
    shutil.copytree(paths.TRAINING_CODE, tmp_path / "copy" / paths.TRAINING_CODE)
    monkeypatch.chdir(tmp_path / "copy")
    train(CANDIDATE)
    assert [run.info.status for run in runs()] == ["FINISHED"]
    assert current() == []


def test_track_logs_what_a_failing_store_could_not_take(tracked_checkout):
    with tracking.training(CANDIDATE, DATASET, SOFTWARE) as log, without_metrics():
        log(write_outputs(CANDIDATE))
    write_lock([CANDIDATE])
    track.main()
    assert sorted(run.info.status for run in runs()) == ["FAILED", "FINISHED"]


def test_track_logs_nothing_that_dvc_lock_does_not_vouch_for(tracked_checkout, capsys):
    for variant in SOME:
        write_outputs(variant)
    write_lock([MODEL, CANDIDATE])
    with (CANDIDATE.folder / "history.csv").open("a") as file:
        file.write("\n")
    edited = paths.PARAMS.read_text().replace("    epochs: 50", "    epochs: 51")
    paths.PARAMS.write_text(edited)
    track.main()
    assert capsys.readouterr().out.splitlines() == [
        "architectures/model8: params.yaml changed since it was trained; run `dvc repro`",
        "techniques/l1-tanh: dvc.lock has no train-techniques@l1-tanh; run `dvc checkout` or `dvc repro`",
        "candidate/candidate: models/candidate/candidate isn't what dvc.lock has; run `dvc checkout` or `dvc repro`",
        "MLflow: 0 created, 0 completed, 0 unchanged, 3 skipped",
    ]
    assert runs() == []


def test_outputs_that_cannot_be_read_are_skipped_with_a_line(tracked_checkout, capsys):
    (write_outputs(CANDIDATE) / "metrics.json").write_text("{}")
    write_lock([CANDIDATE])
    track.main()
    line, tally = capsys.readouterr().out.splitlines()
    assert line.startswith("candidate/candidate: its outputs can't be read (")
    assert line.endswith("); run `dvc checkout`")
    assert tally == "MLflow: 0 created, 0 completed, 0 unchanged, 1 skipped"


def test_a_fresh_clone_shows_the_reports_and_the_outputs_complete_them(tracked_checkout, capsys):
    variants = [TECHNIQUE, CANDIDATE]
    for variant in variants:
        write_outputs(variant)
    write_reports(variants)
    write_lock(variants)
    shutil.move("models", "elsewhere")
    shutil.move("data", "elsewhere/data")
    track.main()
    track.main()
    before = {run.info.run_id: run.data.tags["source"] for run in runs()}
    assert [*before.values()] == ["reports"] * 2
    shutil.move("elsewhere/data", "data")
    shutil.move("elsewhere", "models")
    track.main()
    track.main()
    assert capsys.readouterr().out.splitlines() == [
        "MLflow: 2 created, 0 completed, 0 unchanged",
        "MLflow: 0 created, 0 completed, 2 unchanged",
        "MLflow: 0 created, 2 completed, 0 unchanged",
        "MLflow: 0 created, 0 completed, 2 unchanged",
    ]
    assert {run.info.run_id: run.data.tags["source"] for run in runs()} == dict.fromkeys(before, "outputs")


def test_the_comparison_is_tracked_as_dvc_lock_has_it(tracked_checkout, capsys):
    paths.FIGURES.mkdir(parents=True)
    (paths.REPORTS / "comparison.md").write_text("# Tables")
    write_lock([])
    track.main()
    track.main()
    (paths.REPORTS / "comparison.md").write_text("# Other tables")
    track.main()
    write_lock([])
    track.main()
    assert capsys.readouterr().out.splitlines() == [
        "MLflow: 1 created, 0 completed, 0 unchanged",
        "MLflow: 0 created, 0 completed, 1 unchanged",
        "comparison: reports/comparison.md isn't what dvc.lock has; run `dvc checkout` or `dvc repro`",
        "MLflow: 0 created, 0 completed, 0 unchanged, 1 skipped",
        "MLflow: 1 created, 0 completed, 0 unchanged",
    ]
    assert len(runs()) == 2
    assert current() == [runs()[0].info.run_name]


def test_a_champion_is_registered_only_if_dvc_lock_has_it(tracked_checkout, monkeypatch, capsys):
    registered = []
    monkeypatch.setattr(registry, "register", lambda store, params: not registered.append(params))
    paths.CHAMPION.mkdir(parents=True)
    (paths.CHAMPION / "model.keras").write_bytes(b"a model")
    track.main()
    assert registered == []
    assert capsys.readouterr().out.startswith("champion: champion isn't what dvc.lock has; run `dvc checkout`")
    (paths.CHAMPION / "champion.json").write_text('{"variant": "model8"}')
    write_lock([], champion=True)
    track.main()
    assert registered == [PARAMS]
    assert capsys.readouterr().out == "MLflow: 1 created, 0 completed, 0 unchanged\n"
    paths.REPORTS.mkdir()
    (paths.REPORTS / "champion.json").write_text('{"variant": "model9"}')  # evaluated since
    track.main()
    assert registered == [PARAMS]
    line = "champion: champion/champion.json isn't reports/champion.json; run `dvc repro`\n"
    assert capsys.readouterr().out.startswith(line)


def test_changed_parameters_are_told_with_the_commands_that_help(tracked_checkout, capsys):
    """`dvc checkout` brings no params.yaml back."""
    write_outputs(CANDIDATE)
    write_lock([CANDIDATE])
    git("init", "--quiet")
    commit()
    paths.PARAMS.write_text(paths.PARAMS.read_text().replace("activation: relu", "activation: tanh", 1))
    track.main()
    line, _ = capsys.readouterr().out.splitlines()
    assert line == (
        "candidate/candidate: params.yaml changed since it was trained; run `dvc repro` or, to undo all its changes "
        "since the last commit, `git checkout HEAD -- params.yaml dvc.lock && dvc checkout`"
    )


def git(*words: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    return subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True).stdout.strip()


def commit() -> str:
    """Commit all but what a real checkout's .gitignore names; return the commit."""
    git("add", "--all", "--", ".", ":!mlruns", ":!models", ":!data")
    git("commit", "--quiet", "--message", "state")
    return git("rev-parse", "HEAD")


def test_experiments_are_tracked_from_their_commits(tracked_checkout, monkeypatch, capsys):
    """Of three experiments, one trained, one trained nothing (its candidate was trained before), one can't be read."""
    train(CANDIDATE)
    write_reports([CANDIDATE])
    write_lock([CANDIDATE])
    git("init", "--quiet")
    baseline = commit()
    with monkeypatch.context() as patch:
        patch.setenv("DVC_EXP_NAME", "live-mole")
        patch.setenv("DVC_EXP_BASELINE_REV", baseline)
        train(CANDIDATE)
    (paths.REPORTS / "metrics.json").write_text('{"dataset": "mnist", "rank": 1}')
    revision = commit()
    (paths.REPORTS / "history.csv").write_text("epoch")
    broken = commit()
    git("checkout", "--quiet", revision, "--", "reports")
    for name, held in {"live-mole": revision, CACHED: revision, "odd-mole": broken}.items():
        git("update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", held)
    git("update-ref", "refs/exps/stash", broken)  # DVC's own, and no experiment
    assert {found.name for found in experiments.finished()} == {"live-mole", CACHED, "odd-mole"}

    track.main()
    track.main()
    said = capsys.readouterr().out.splitlines()
    assert said[1::2] == [
        "MLflow: 1 created, 0 completed, 2 unchanged, 1 skipped",
        "MLflow: 0 created, 0 completed, 3 unchanged, 1 skipped",
    ]
    assert all(line.startswith("experiment odd-mole: can't be read (") for line in said[::2])
    named = {run.data.tags["dvc.experiment"]: run for run in runs() if "dvc.experiment" in run.data.tags}
    assert {name: run.data.tags["dvc.revision"] for name, run in named.items()} == dict.fromkeys(
        ("live-mole", CACHED), revision
    )
    live, cached = named["live-mole"], named[CACHED]
    assert (cached.info.run_name, cached.info.status) == (CACHED, "FINISHED")
    assert cached.data.tags["restored"] == "true"
    assert cached.data.tags["mlflow.source.git.commit"] == revision
    assert cached.data.metrics["test_accuracy"] == pytest.approx(live.data.metrics["test_accuracy"])


@pytest.mark.parametrize(
    "address", ["http://me:sesame%21@127.0.0.1:{port}", "postgresql://me:sesame!@localhost:{port}/db?password=sesame"]
)
def test_an_unreachable_store_is_an_error_without_the_password(tracked_checkout, monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(port=free_port()))
    with pytest.raises(UserError, match=r"^MLflow at ") as caught:
        track.main()
    assert "sesame" not in str(caught.value)


def test_a_torn_dvc_lock_is_an_error(tracked_checkout):
    paths.LOCKFILE.write_text("<<<<<<< HEAD\n")
    with pytest.raises(UserError, match=r"^dvc\.lock: can't be read: "):
        track.main()
