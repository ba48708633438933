"""The pipeline run whole, by the commands that people type: real DVC, real MLflow, the sample, an epoch a variant."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from mnist_mlp import config
from mnist_mlp.errors import UserError
from tests.helpers.environment import COMPILING, make_hostile
from tests.helpers.params import PARAMS_FILE, ROOT
from tests.helpers.pipeline import LITTER
from tests.helpers.project import KEPT, Project
from tests.helpers.variants import names_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shell")]
TRAINED = [f"train-{study}@{name}" for study, name in names_of(KEPT)]
VARIANTS = len(TRAINED) + 1  # and the candidate
ALL = {"download", "preprocess", *TRAINED, "train-candidate", "evaluate", "compare", "champion"}


def stages_due(project) -> list[str]:
    """What `dvc repro` would run."""
    return project.ran(project.run("dvc", "repro", "--dry"))


def test_repro_runs_every_stage_and_then_nothing(fresh_project, project):
    assert set(project.ran(fresh_project.output)) == ALL
    assert "up to date" in project.run("dvc", "repro")
    assert project.git("status", "--porcelain") == ""


def test_reports_hold_every_replicate(fresh_project):
    reports = fresh_project.folder / "reports"
    results = pd.read_csv(reports / "results.csv")
    assert list(results) == ["study", "variant", "seed", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
                             "test_loss", "test_accuracy", "parameters"]  # fmt: skip
    assert len(results) == 2 * VARIANTS
    labels = np.load(fresh_project.folder / "data/prepared/labels/test.npy")
    for (study, variant), rows in results.groupby(["study", "variant"]):
        stored = np.load(fresh_project.folder / "models" / study / variant / "probabilities.npy")
        hits = (stored.argmax(axis=2) == labels).mean(axis=1)
        np.testing.assert_allclose(rows["test_accuracy"], hits, atol=1e-6)
    history = pd.read_csv(reports / "history.csv")
    assert len(history) == 2 * VARIANTS
    comparison = (reports / "comparison.md").read_text()
    assert "sample" in comparison.splitlines()[2].lower()
    for picture in re.findall(r"\((figures/\w+\.png)\)", comparison):
        assert (reports / picture).stat().st_size > 10_000
    assert sum(path.stat().st_size for path in reports.rglob("*")) < 1_500_000


def test_an_input_penalty_changes_no_prediction(fresh_project):
    models = fresh_project.folder / "models/techniques"
    none, l1, other = (models / name / "probabilities.npy" for name in ("none-relu", "l1-relu", "batchnorm-relu"))
    assert none.read_bytes() == l1.read_bytes() != other.read_bytes()
    variants = pd.read_csv(fresh_project.folder / "reports/variants.csv").set_index("variant")
    assert variants.loc["l1-relu", "identical_to"] == "techniques/none-relu"


def test_a_twin_takes_what_its_own_training_gives(fresh_project):
    """l1-relu differs from none-relu in a penalty on the input alone, which no weight depends on.

    The forced run below trains it by itself, to the same bytes."""
    for seed in (0, 1):
        assert f"techniques/l1-relu  seed {seed} taken from techniques/none-relu\n" in fresh_project.output
    assert fresh_project.output.count("taken from") == 2


def test_another_seed_trains_that_seed_alone(project):
    stage = "train-architectures@model2"
    project.change(lambda params: params["architectures"]["protocol"].update(seeds=[0, 1, 2]))
    output = project.run("dvc", "repro", stage)
    assert [line for line in output.splitlines() if "taken from" in line] == [
        f"architectures/model2  seed {seed} taken from architectures/model2" for seed in (0, 1)
    ]
    (run, *_) = project.runs("tags.variant = 'model2' and tags.kind = 'variant'")
    nested = project.runs(f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    told = {run.info.run_name: run.data.tags["replicate"] for run in nested}
    assert told == {f"seed {seed}": "taken from architectures/model2" for seed in (0, 1)} | {"seed 2": "trained"}
    origins = {run.data.tags["replicate.run"] for run in nested if "replicate.run" in run.data.tags}
    assert origins < {run.info.run_id for run in project.runs("tags.kind = 'variant'")} - {run.info.run_id}

    added = project.digests("models/architectures/model2")
    shutil.rmtree(project.folder / ".cache")
    output = project.run("dvc", "repro", "--force", "--single-item", stage, **COMPILING)
    assert "taken from" not in output
    assert project.digests("models/architectures/model2") == added


def test_a_temporary_copy_takes_the_replicates_of_its_checkout(project):
    output = project.run("dvc", "exp", "run", "--temp", "-S", "seeds=[1,2]")
    assert "seed 1 taken from candidate/candidate\n" in output
    assert "seed 2 taken" not in output


def test_what_is_trained_is_logged(project, monkeypatch):
    monkeypatch.chdir(project.folder)  # artifacts are named from there
    store = project.store()
    runs = store.client.search_runs([store.experiment])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == VARIANTS
    assert len(runs) == 3 * VARIANTS
    assert {run.info.status for run in runs} == {"FINISHED"}
    for parent in parents:
        assert sum(run.data.tags.get("mlflow.parentRunId") == parent.info.run_id for run in runs) == 2
        drawn = [file.path for file in store.client.list_artifacts(parent.info.run_id, "figures")]
        assert drawn == [f"figures/{name}.png" for name in ("accuracy", "errors", "loss")]
        assert 0 < parent.data.metrics["test_accuracy"] < 1
        assert 1 in [point.step for point in store.client.get_metric_history(parent.info.run_id, "val_accuracy")]
        assert parent.data.tags["dataset"] == "mnist-sample"
        assert parent.data.params["activation"]
    assert {run.data.tags["study"] for run in parents} == {"architectures", "techniques", "penalties", "candidate"}


def test_a_run_tells_how_to_load_its_model(project):
    entries = YAML(typ="safe").load((project.folder / "dvc.lock").read_text())["stages"]
    kept = {out["path"]: out["md5"] for entry in entries.values() for out in entry["outs"]}
    for run in project.runs("tags.kind = 'variant'"):
        md5 = kept[f"models/{run.data.tags['study']}/{run.data.tags['variant']}"]
        note = run.data.tags["mlflow.note.content"]
        assert run.data.tags["dvc.md5"] == md5 and note.endswith(f"`{md5}`.")
    (line,) = re.findall("^    (import keras; .*)", note, re.MULTILINE)
    assert "(None, 10)" in project.run("python", "-c", f"{line}; print(model.output_shape)")


def test_editing_one_level_reruns_its_own(project):
    project.change(lambda params: params["techniques"]["factors"]["technique"]["batchnorm"].update(optimizer="sgd"))
    assert stages_due(project) == ["train-techniques@batchnorm-relu", "evaluate", "compare"]


def test_editing_one_variant_reruns_that_one(project):
    project.change(lambda params: params["architectures"]["variants"]["model2"].update(optimizer="adam"))
    assert stages_due(project) == ["train-architectures@model2", "evaluate", "compare"]


def test_one_more_activation_is_a_line_and_trains_each_technique_with_it(project):
    project.change(lambda params: params["techniques"]["factors"]["activation"].append("elu"))
    new = [f"train-techniques@{technique}-elu" for technique in KEPT["techniques"][0]]
    assert stages_due(project) == [*new, "evaluate", "compare"]


def test_an_override_changes_the_lines_of_its_key_alone(project):
    """Twice in a row, comments kept."""
    path = project.folder / "params.yaml"
    path.write_bytes((ROOT / "tests/helpers/params.yaml").read_bytes())
    project.git("commit", "--quiet", "--all", "--message", "as shipped")
    for number, override in enumerate(("activation=tanh", "techniques.protocol.epochs=3"), start=1):
        project.run("dvc", "exp", "run", "--queue", "--set-param", override)  # it sets, and resets, params.yaml
        changes = project.git("diff", "--numstat", "HEAD", "refs/exps/celery/stash", "--", "params.yaml")
        assert changes.split()[:2] == ["1", "1"], number
    from dvc.utils.hydra import apply_overrides

    for overrides in (["activation=tanh"], ["activation=elu"], ["techniques.protocol.epochs=3", "layers=[{dense: 8}]"]):
        apply_overrides(str(path), overrides)
    assert project.git("diff", "--numstat", "--", "params.yaml").split()[:2] == ["3", "5"]
    assert project.git("diff", "--", "params.yaml").count("\n-#") == 0


def test_editing_a_protocol_reruns_its_study(project):
    project.change(lambda params: params["architectures"]["protocol"].update(seeds=[0]))
    assert stages_due(project) == ["train-architectures@model2", "evaluate", "compare"]


def test_a_colour_a_check_or_a_log_line_trains_nothing(project):
    for name in ("mnist_mlp/tracking/runs.py", "mnist_mlp/config/messages.py", "mnist_mlp/tracking/progress.py",
                 "stages/train.py", "mnist_mlp/pipeline/stage.py", "mnist_mlp/report/figures.py"):  # fmt: skip
        with (project.folder / name).open("a") as file:
            file.write("\n# a remark\n")
    assert set(stages_due(project)) <= {"download", "preprocess", "evaluate", "compare"}


@pytest.mark.parametrize("name", ["mnist_mlp/training/networks.py", "mnist_mlp/training/compiled/pixels.py"])
def test_another_training_trains_everything(project, name):
    with (project.folder / name).open("a") as file:
        file.write("\n# a remark\n")
    assert set(TRAINED) < set(stages_due(project))


def test_byte_code_beside_the_code_is_no_change_of_it(project):
    """Python writes some, unless it is told not to."""
    folder = project.folder / "mnist_mlp/training/__pycache__"
    folder.mkdir(exist_ok=True)
    (folder / "program.cpython-399.pyc").write_bytes(b"anything")
    assert stages_due(project) == []
    (project.folder / "mlruns/mlflow.db").unlink()
    tally = project.run("python", "-m", "mnist_mlp", "track").splitlines()[-1]
    assert tally == f"MLflow: {VARIANTS + 2} created, 0 completed, 0 unchanged"  # with the champion and the comparison


def test_litter_of_editors_and_systems_is_no_change(project):
    for folder in ("mnist_mlp/training", "mnist_mlp/config", "published", "models", "models/techniques", "data/raw"):
        for name in LITTER:
            (project.folder / folder / name).write_text("litter")
    (project.folder / "mnist_mlp/data/.#scaling.py").symlink_to("me@host.123")
    assert stages_due(project) == []
    assert project.run("dvc", "status") == "Data and pipelines are up to date.\n"
    project.run("python", "-m", "mnist_mlp", "verify", "preprocess")


def test_a_clone_with_windows_line_ends_has_the_same_digests(project, tmp_path):
    clone = Project.at(tmp_path / "clone")
    project.git("-c", "core.autocrlf=true", "clone", "--quiet", str(project.folder), str(clone.folder))
    (clone.folder / ".dvc/cache").symlink_to(project.folder / ".dvc/cache")
    clone.run("dvc", "checkout", "--quiet")
    assert clone.run("dvc", "status") == "Data and pipelines are up to date.\n"


def test_a_forced_run_gives_the_same_bytes_elsewhere(project, tmp_path):
    """In another folder, among all the settings of a user that were thought of; what needs no minute also among none.

    Of all trainings l1-relu's, which had taken its twin's replicates, and another one; in test_cluster.py all give the
    same."""
    before = project.digests("models", "reports", "data") | {"dvc.lock": (project.folder / "dvc.lock").read_bytes()}
    hostile = make_hostile(tmp_path / "home") | {"MNIST_MLP_FRESH": "1"}
    trained = ["train-techniques@batchnorm-relu", "train-techniques@l1-relu"]
    stages = ["download", "preprocess", *trained, "evaluate", "compare", "champion"]
    empty = ["env", "-i", f"PATH={project.environment['PATH']}"]
    for run in (
        lambda *names: project.run("dvc", "repro", "--force", "--single-item", *names, **hostile),
        lambda *names: project.run(*empty, "dvc", "repro", "--force", "--single-item", *names),
    ):
        output = run(*stages)
        assert project.ran(output) == stages
        assert not re.search("taken from|warning|Traceback", output)
        after = project.digests("models", "reports", "data") | {"dvc.lock": (project.folder / "dvc.lock").read_bytes()}
        assert [name for name in before if before[name] != after.get(name)] == []
        assert after.keys() == before.keys()
        stages = ["preprocess", "evaluate", "compare"]
    assert len(project.store().find(variant="batchnorm-relu", source="training")) == 2


def test_an_experiment_runs_three_stages_and_comes_back_from_the_cache(project):
    output = project.run("dvc", "exp", "run", "-S", "activation=tanh", "-S", "epochs=2")
    assert project.ran(output) == ["train-candidate", "evaluate", "compare"]
    assert "\ncandidate: activation tanh (committed: relu), epochs 2 (committed: 1)\n" in output
    tanh = project.digests("models/candidate")
    (trained,) = current_candidates(project)
    take_back(project, output, "back to the committed candidate: ")
    assert project.digests("models/candidate") != tanh
    output = project.run("dvc", "exp", "run", "-n", "again", "-S", "activation=tanh", "-S", "epochs=2")
    assert project.digests("models/candidate") == tanh
    assert "train-candidate" not in project.ran(output)
    assert "is cached - skipping run" in output
    (cached,) = current_candidates(project)  # is there at once
    assert (cached.info.run_name, cached.info.status, cached.data.tags["restored"]) == ("again", "FINISHED", "true")
    assert cached.data.metrics["test_accuracy"] == trained.data.metrics["test_accuracy"]
    accuracy, place = f"{cached.data.metrics['test_accuracy']:.2%} [", cached.data.tags["place"]
    assert re.fullmatch(r"\d+ of \d+; \d+ to \d+ in 95 % of simulated draws", place)
    assert cached.data.tags["interval"].startswith(accuracy)
    (show,) = re.findall(r"^dvc exp show .*", (ROOT / "README.md").read_text(), re.MULTILINE)
    table = project.run("sh", "-c", show, COLUMNS="1000")
    assert "tanh" in table and not re.search(r"[0-9a-f]{32}", table)  # columns of digests made it 700 wide
    assert max(map(len, table.splitlines())) < 200
    take_back(project, output, "back to the committed candidate: ")


def current_candidates(project) -> list:
    """Return the candidate's runs that are current."""
    return project.runs("tags.study = 'candidate' and tags.kind = 'variant' and tags.current = 'true'")


def take_back(project, output: str, words: str) -> None:
    """Type the way back that a line tells, and find everything as it was committed."""
    (back,) = {line.partition(words)[2] for line in output.splitlines() if words in line}
    project.run("sh", "-c", back)
    assert project.git("status", "--porcelain") == ""
    assert "up to date" in project.run("dvc", "status")


WRONG = (  # what is given at once, each with the line that it gets
    {
        "epochs=0": "epochs: found 0; allowed: at least 1",
        "activation=rleu": "activation: found 'rleu'; allowed: celu, elu, ",
        "optimizer=adma": "optimizer: found 'adma'; allowed: adadelta, ",
        "initializer=glorot": "initializer: found 'glorot'; allowed: glorot_normal, ",
        "learning_rate=nan": "learning_rate: found .nan; allowed: `default`, or a number",
        "seeds=[]": "seeds: found []; allowed: at least 1",
        "layers=[]": "layers: found []; allowed: at least 1",
        "scaling=minmax": "scaling: found 'minmax'; allowed: pixels, unit_columns",
        "+colour=red": "colour: unknown key; allowed there: ",
    },
    {"batch_size=100000": "batch_size of candidate/candidate: found 100000; allowed: at most 3600"},
)
WRONG_TOO = (
    {
        "epochs=ten": "epochs: found 'ten'; allowed: a whole number",
        "activation=''": "activation: found ''; allowed: celu, elu, ",
        "learning_rate=-0.1": "learning_rate: found -0.1; allowed: `default`, or a number",
        "seeds=[1,1]": "seeds: found [1, 1]; allowed: distinct whole numbers",
        "layers=[{dens: 10}]": "layers[0]: found {'dens': 10}; allowed: a layer: {dense: units}, ",
    },
    {
        "epochs=1000000": "epochs: found 1000000; allowed: at most 100000",
        "learning_rate=0": "learning_rate: found 0; allowed: `default`, or a number",
        "seeds=3": "seeds: found 3; allowed: a list, such as [0, 1]",
        "layers=[{dense: 0}]": "layers[0]: found {'dense': 0}; allowed: dense: at least 1",
    },
    {
        "epochs=null": "epochs: found nothing; allowed: a whole number",
        "layers=[{dense: 8},{dropout: 1}]": "layers[1]: found {'dropout': 1}; allowed: dropout: below 1",
    },
)


def test_wrong_overrides_are_refused_in_a_line_and_leave_everything_as_it_was(project):
    store = project.folder / "mlruns/mlflow.db"
    before = project.digests("models", "reports"), store.read_bytes()
    for wrong in WRONG:
        overrides = [word for override in wrong for word in ("-S", override)]
        output = project.run("dvc", "exp", "run", *overrides, status=None)
        check_refusals(wrong, [text for text in output.splitlines() if text.startswith("error: ")])
        assert "Traceback" not in output
        assert "failed to reproduce" in output
        take_back(project, output, "undo all its changes since the last commit: ")
    assert (project.digests("models", "reports"), store.read_bytes()) == before


@pytest.mark.parametrize("wrong", WRONG_TOO)
def test_overrides_are_refused_by_the_values_that_dvc_makes_of_them(wrong, tmp_path):
    """`dvc exp run` sets them by this function of its own."""
    from dvc.utils.hydra import apply_overrides

    path = shutil.copy2(PARAMS_FILE, tmp_path)
    apply_overrides(str(path), list(wrong))
    with pytest.raises(UserError) as caught:
        config.load(path)
    check_refusals(wrong, str(caught.value).splitlines())


def check_refusals(wrong: dict[str, str], said: list[str]) -> None:
    """Check the lines that these overrides got: each override one of its own."""
    assert len(said) == len(wrong), said
    for line in wrong.values():
        assert sum(line in text for text in said) == 1, (line, said)


def wait_for_training(project) -> None:
    """Until the candidate's new training has written a checkpoint."""
    end = time.monotonic() + 120
    while not project.checkpoints():
        assert time.monotonic() < end, "nothing is trained"
        time.sleep(0.2)


def test_ctrl_c_ends_in_a_line(project):
    project.change(lambda params: params.update(epochs=5000))
    process = subprocess.Popen(
        ["dvc", "repro"], cwd=project.folder, env=project.environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for_training(project)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    output, _ = process.communicate(timeout=60)
    assert process.returncode not in (0, -signal.SIGKILL)
    assert "interrupted" in output
    assert "Traceback" not in output


def test_stage_lists_agree_with_params(project):
    """Every variant has a stage."""
    names = project.run("dvc", "stage", "list", "--names-only").split()
    assert {name for name in names if name.startswith("train-")} == {*TRAINED, "train-candidate"}


def test_a_tenth_architecture_is_one_entry(project):
    project.change(
        lambda params: params["architectures"]["variants"].update(
            wide={"activation": "relu", "optimizer": "adam", "layers": [{"dense": 64}, {"dropout": 0.1}]}
        )
    )
    assert project.ran(project.run("dvc", "repro")) == ["train-architectures@wide", "evaluate", "compare"]
    assert "wide" in (project.folder / "reports/comparison.md").read_text()


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("null", "dvc repro"),
        pytest.param("007", "python -m mnist_mlp cluster --jobs 1", marks=pytest.mark.long),
    ],
)
def test_a_renamed_and_a_removed_variant_leave_nothing_behind(project, tmp_path, name, command):
    """Not in models/, in the digests of dvc.lock, or in the registry: a clone has all of it."""
    best = json.loads((project.folder / "reports/champion.json").read_text())
    assert best["study"] == "techniques"

    def edit(params: dict) -> None:
        levels = params["techniques"]["factors"]["technique"]
        levels[name] = levels.pop(best["variant"].removesuffix("-relu"))
        del levels["l1"]

    project.change(edit)
    name = f"{name}-relu"
    output = project.run(*command.split())
    for gone in (best["variant"], "l1-relu"):
        assert f"models/techniques/{gone}: no variant of params.yaml, so it is removed" in output
    assert {path.name for path in (project.folder / "models/techniques").iterdir()} == {"none-relu", name}
    assert "up to date" in project.run("dvc", "repro")
    now = json.loads((project.folder / "reports/champion.json").read_text())
    assert now == best | {"variant": name, "model": f"models/techniques/{name}/seed-{best['seed']}.keras"}
    champion = project.store().client.get_model_version_by_alias("mnist-mlp", "champion")
    assert champion.tags["variant"] == name

    clone = clean_clone(project, tmp_path / "clone")
    assert clone.digests("models", "data") == project.visible("models", "data")


def test_a_model_that_was_trained_with_other_parameters_is_not_reported(project):
    """As with a frozen stage: DVC evaluates the model that is there."""
    before = project.visible("reports", "mlruns/artifacts")
    project.change(lambda params: params.update(activation="tanh"))
    for stage in ("evaluate", "compare"):
        output = project.run("dvc", "repro", "--single-item", stage, status=None)
        assert "error: train-candidate: trained with another `activation` than params.yaml has now; run `dvc " in output
    assert project.visible("reports", "mlruns/artifacts") == before


def test_a_study_without_variants_and_a_removed_one_leave_the_rest_as_it_is(project, tmp_path):
    """In the end there is the candidate alone."""
    project.change(lambda params: params["architectures"].update(variants={}))
    edit_pipeline(project, lambda stages: stages.pop("train-penalties"))
    project.change(lambda params: params.pop("penalties"))
    assert project.ran(project.run("dvc", "repro")) == ["evaluate", "compare"]
    assert {path.name for path in (project.folder / "models").glob("[!.]*")} == {"techniques", "candidate"}
    assert not (project.folder / "reports/figures/grid-penalties.png").exists()
    clean_clone(project, tmp_path / "clone")

    edit_pipeline(project, lambda stages: [stages.pop(f"train-{study}") for study in ("architectures", "techniques")])
    project.change(lambda params: [params.pop(study) for study in ("architectures", "techniques")])
    assert project.ran(project.run("dvc", "repro")) == ["evaluate", "compare", "champion"]
    assert "no study to compare the candidate with" in (project.folder / "reports/comparison.md").read_text()
    assert json.loads((project.folder / "champion/champion.json").read_text())["variant"] == "candidate"
    assert "up to date" in project.run("dvc", "repro")


def clean_clone(project, folder: Path) -> Project:
    """Commit all and return a clone that shares the cache, once `dvc status` is seen to be clean there."""
    project.commit()
    project.git("clone", "--quiet", ".", str(folder))
    clone = Project.at(folder)
    clone.run("dvc", "config", "--local", "cache.dir", str(project.folder / ".dvc/cache"))
    clone.run("dvc", "checkout")
    assert "up to date" in clone.run("dvc", "status")
    return clone


def edit_pipeline(project, edit: Callable[[dict], object]) -> None:
    """Rewrite dvc.yaml as edit(stages) changes it."""
    path, yaml = project.folder / "dvc.yaml", YAML()
    pipeline = yaml.load(path.read_text())
    edit(pipeline["stages"])
    yaml.dump(pipeline, path)


@pytest.mark.long
def test_a_sweep_of_two_at_once_lands_in_the_checkouts_own_store(project):
    """Three values, one of which is the baseline's own, and an experiment that can't run."""
    project.run("dvc", "exp", "run", "--queue", "-S", "activation=relu,tanh,elu")
    project.run("dvc", "exp", "run", "--queue", "-S", "activation=nope")
    # DVC's second worker can miss its message to end, and would wait for ever for it, after all have ended.
    project.run("timeout", "--kill-after=10", "600", "dvc", "exp", "run", "--run-all", "--jobs", "2", status=None)
    shown = json.loads(project.run("dvc", "exp", "show", "--json"))
    experiments = [entry for base in shown for entry in base.get("experiments") or []]
    good = [entry["name"] for entry in experiments if not any(rev.get("error") for rev in entry["revs"])]
    assert len(good) == 3, shown
    assert len(experiments) == 4

    def swept() -> list[list]:
        return [
            [run.info.run_name, run.info.status, run.data.tags, run.data.params]
            for run in project.runs("tags.study = 'candidate'") if "dvc.experiment" in run.data.tags
        ]  # fmt: skip

    def named(runs: list[list]) -> set[str]:
        return {name for name, _, tags, _ in runs if name == tags["dvc.experiment"]}

    trained = swept()
    assert len(trained) == 2  # the third is the baseline: nothing ran
    assert named(trained) < set(good)
    assert {status for _, status, *_ in trained} == {"FINISHED"}
    assert all(tags["dvc.baseline"] == project.git("rev-parse", "HEAD").strip() for *_, tags, _ in trained)
    project.run("python", "-m", "mnist_mlp", "track")
    assert project.run("python", "-m", "mnist_mlp", "track").startswith("MLflow: 0 created, 0 completed, ")
    runs = swept()
    assert named(runs) == set(good)
    assert {params["activation"] for *_, params in runs} == {"relu", "tanh", "elu"}
    assert project.git("status", "--porcelain") == ""


def test_a_training_that_diverges_leaves_a_failed_run_and_the_models_as_they_were(project):
    before = project.digests("models", "reports")
    overrides = [word for setting in ("activation=exponential", "optimizer=sgd", "learning_rate=1000", "epochs=3")
                 for word in ("-S", setting)]  # fmt: skip
    output = project.run("dvc", "exp", "run", *overrides, status=None)
    said = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert "candidate/candidate: the loss is no longer finite in epoch 1" in said[0]
    assert project.digests("models", "reports") == before
    (failed,) = project.runs("attributes.status = 'FAILED' and tags.kind = 'variant'")
    assert "no longer finite" in failed.data.tags["reason"]


def test_plots_name_columns_that_exist(project):
    project.run("dvc", "plots", "show")
    page = (project.folder / "dvc_plots/index.html").read_text()
    assert "cdn.jsdelivr" not in page
    assert page.count("vegaEmbed('#") == 4
    for diff in (("metrics", "show"), ("metrics", "diff"), ("params", "diff"), ("plots", "diff")):
        project.run("dvc", *diff)
    assert 5 < len(json.loads((project.folder / "reports/metrics.json").read_text())) < 25
