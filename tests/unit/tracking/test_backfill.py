"""Runs made later: off a training's outputs, off the reports in git, and of the reports themselves."""

import re
from dataclasses import replace

import pytest

from mnist_mlp import paths
from mnist_mlp.pipeline.experiments import Experiment
from mnist_mlp.tracking import backfill, store
from mnist_mlp.tracking.backfill import Trained
from mnist_mlp.training import outputs
from tests.helpers.params import PARAMS
from tests.helpers.tracked import DATASET, SOFTWARE, current, runs, train, write_outputs, write_reports

CANDIDATE = PARAMS.candidate


def off_outputs() -> Trained:
    return Trained(CANDIDATE, outputs.read(CANDIDATE.folder), DATASET, SOFTWARE)


def off_reports() -> Trained:
    return Trained(CANDIDATE, backfill.outputs_of_reports(CANDIDATE), {"name": "mnist"}, SOFTWARE)


@pytest.fixture
def reported(tracked_checkout) -> None:
    """Be in a checkout with a candidate's outputs and the reports on it."""
    write_outputs(CANDIDATE)
    write_reports([CANDIDATE])


@pytest.mark.usefixtures("reported")
def test_reports_and_outputs_of_a_training_have_the_same_digest():
    assert off_reports().results == off_outputs().results


@pytest.mark.usefixtures("reported")
def test_reports_that_tell_nothing_of_a_variant_are_no_outputs():
    with pytest.raises(FileNotFoundError):
        backfill.outputs_of_reports(PARAMS.variant("techniques", "l1-tanh"))


@pytest.mark.usefixtures("reported")
def test_a_run_made_off_reports_has_figures_and_no_penalty(tracked_checkout):
    assert backfill.restore(store.open_store(), off_reports()) == "created"
    (run,) = runs()
    assert run.data.tags["source"] == "reports"
    assert "penalty" not in run.data.metrics
    assert len(list(tracked_checkout.glob("mlruns/artifacts/*/artifacts/figures/*.png"))) == 2


@pytest.mark.usefixtures("reported")
def test_outputs_complete_the_run_made_off_reports():
    opened = store.open_store()
    backfill.restore(opened, off_reports())
    (before,) = runs()
    assert backfill.restore(opened, off_outputs()) == "completed"
    (run,) = runs()
    assert run.info.run_id == before.info.run_id
    assert run.data.tags["source"] == "outputs"
    assert run.data.metrics["penalty"] == 0.25
    assert len(run.inputs.dataset_inputs) == 3
    assert len(runs(nested=True)) == len(CANDIDATE.seeds)
    curve = opened.client.get_metric_history(run.info.run_id, "loss")
    assert sorted(point.step for point in curve) == [*range(1, CANDIDATE.epochs + 1)]  # each epoch once


@pytest.mark.usefixtures("reported")
def test_a_restored_run_tells_nothing_that_is_not_known():
    backfill.restore(store.open_store(), off_outputs())
    (run,) = runs()
    assert run.data.tags["restored"] == "true"
    assert not {"cpu", "version.python"} & run.data.tags.keys()
    assert "training_seconds" not in run.data.metrics


@pytest.mark.usefixtures("reported")
def test_an_experiment_that_trained_nothing_gets_a_run_of_its_name():
    experiment = Experiment("cached-mole", "0" * 40, "1" * 40)
    made = [backfill.restore_experiment(store.open_store(), off_reports(), experiment) for _ in range(2)]
    assert made == ["created", "unchanged"]
    (run,) = runs()
    assert (run.info.run_name, run.info.status) == ("cached-mole", "FINISHED")
    assert run.data.tags["restored"] == "true"
    assert run.data.tags["mlflow.source.git.commit"] == experiment.revision


@pytest.mark.usefixtures("reported")
def test_an_experiment_that_trained_has_its_commit_noted(monkeypatch):
    experiment = Experiment("live-mole", "0" * 40, "1" * 40)
    with monkeypatch.context() as patch:
        patch.setenv("DVC_EXP_NAME", experiment.name)
        patch.setenv("DVC_EXP_BASELINE_REV", experiment.baseline)
        train(CANDIDATE)
    assert backfill.restore_experiment(store.open_store(), off_reports(), experiment) == "unchanged"
    (run,) = runs()
    assert run.data.tags["dvc.revision"] == experiment.revision


@pytest.mark.usefixtures("reported")
@pytest.mark.parametrize("tracked", [True, False], ids=["tracked before", "not yet tracked"])
def test_an_experiment_that_is_renamed_keeps_its_run(monkeypatch, tracked):
    experiment = Experiment("live-mole", "0" * 40, "1" * 40)
    with monkeypatch.context() as patch:
        patch.setenv("DVC_EXP_NAME", experiment.name)
        patch.setenv("DVC_EXP_BASELINE_REV", experiment.baseline)
        train(CANDIDATE)
    if tracked:
        backfill.restore_experiment(store.open_store(), off_reports(), experiment, [experiment.name])
    renamed = replace(experiment, name="best-mole")
    assert backfill.restore_experiment(store.open_store(), off_reports(), renamed, [renamed.name]) == "unchanged"
    (run,) = runs()
    assert (run.info.run_name, run.data.tags["dvc.experiment"]) == ("best-mole", "best-mole")
    another = replace(experiment, name="same-mole")
    names = [renamed.name, another.name]
    assert backfill.restore_experiment(store.open_store(), off_reports(), another, names) == "created"


def test_each_state_of_the_reports_is_one_run(tracked_checkout):
    paths.FIGURES.mkdir(parents=True)
    (paths.FIGURES / "map.png").write_bytes(b"")
    (paths.REPORTS / "comparison.md").write_text("# Tables")
    (paths.REPORTS / "metrics.json").write_text('{"dataset": "mnist", "rank": 3}')
    opened = store.open_store()
    assert [backfill.comparison(opened), backfill.comparison(opened)] == ["created", "unchanged"]
    (run,) = runs()
    assert (run.info.status, run.data.tags["study"]) == ("FINISHED", "comparison")
    assert run.data.metrics == {"comparison/rank": 3}
    kept = tracked_checkout / run.info.artifact_uri
    assert (kept / "comparison.md").read_text() == "# Tables"
    assert (kept / "figures/map.png").exists()
    (paths.REPORTS / "comparison.md").write_text("# Other tables")
    assert backfill.comparison(opened) == "created"
    assert current() == [runs()[0].info.run_name]
    (paths.REPORTS / "comparison.md").write_text("# Tables")
    assert backfill.comparison(opened) == "unchanged"
    assert current() == [run.info.run_name]
    names = {run.info.run_name for run in runs()}
    assert len({name[:16] for name in names}) == 2  # MLflow's tables show no more of it
    assert all(re.fullmatch("comparison [0-9a-f]{5} mnist", name) for name in names)
