"""What a run tells of its training, and the digests by which it is found."""

import subprocess

import pytest

from mnist_mlp import paths
from mnist_mlp.config import Variant
from mnist_mlp.config.choices import OPTIMIZERS, SAMPLE
from mnist_mlp.tracking import metadata
from mnist_mlp.training import outputs
from tests.helpers.params import PARAMS
from tests.helpers.tracked import DATASET, SOFTWARE, write_outputs

CANDIDATE = PARAMS.candidate


def test_a_fingerprint_ignores_the_order_of_keys_and_what_was_asked_for(checkout):
    turned = {key: DATASET[key] for key in reversed(DATASET)} | {"requested": "mnist"}
    turned["sha256"] = dict(reversed(DATASET["sha256"].items()))
    software = dict(reversed(SOFTWARE.items()))
    assert metadata.fingerprint(CANDIDATE, turned, software) == metadata.fingerprint(CANDIDATE, DATASET, SOFTWARE)


def test_a_fingerprint_follows_from_what_a_training_depends_on(checkout):
    prints = [
        metadata.fingerprint(CANDIDATE, DATASET, SOFTWARE),
        metadata.fingerprint(CANDIDATE.model_copy(update={"activation": "tanh"}), DATASET, SOFTWARE),
        metadata.fingerprint(CANDIDATE.model_copy(update={"seeds": (1, 0)}), DATASET, SOFTWARE),
        metadata.fingerprint(CANDIDATE.model_copy(update={"name": "other"}), DATASET, SOFTWARE),
        metadata.fingerprint(CANDIDATE, DATASET | {"sha256": {}}, SOFTWARE),
        metadata.fingerprint(CANDIDATE, DATASET, SOFTWARE | {"numpy": "2.4.7"}),
    ]
    (paths.TRAINING_CODE / "networks.py").write_text("# another\n")
    prints.append(metadata.fingerprint(CANDIDATE, DATASET, SOFTWARE))
    assert len(set(prints)) == len(prints)


def test_a_results_digest_follows_from_parameters_and_results(checkout):
    found = outputs.read(write_outputs(CANDIDATE))
    other = outputs.Outputs(found.history, found.finals.assign(test_loss=0.5), found.parameters)
    digests = {
        metadata.results_digest(CANDIDATE, found),
        metadata.results_digest(CANDIDATE, other),
        metadata.results_digest(CANDIDATE.model_copy(update={"activation": "tanh"}), found),
    }
    assert len(digests) == 3


@pytest.mark.slow
def test_a_default_learning_rate_is_logged_as_the_number_that_keras_takes():
    from mnist_mlp.training.backend import keras

    for name in OPTIMIZERS:
        variant = CANDIDATE.model_copy(update={"optimizer": name, "learning_rate": "default"})
        expected = float(keras.optimizers.get(name).learning_rate)
        assert metadata.resolved(variant)["learning_rate"] == pytest.approx(expected), name


def test_a_learning_rate_that_is_given_is_logged():
    variant = CANDIDATE.model_copy(update={"learning_rate": 0.5})
    assert metadata.resolved(variant)["learning_rate"] == 0.5


def test_a_candidates_run_is_named_for_its_experiment_or_by_what_it_is():
    layers = [{"dense": {"units": 64, "l1": 0.1}}, "batch_norm", {"activity_l2": 0.5}]
    other = Variant(**CANDIDATE.model_dump() | {"layers": layers, "activation": "tanh"})
    assert metadata.run_name(other) == "candidate tanh adam [64 l1 0.1, batch norm, activity l2 0.5]"
    assert metadata.run_name(other, changes="activation=tanh, epochs=3") == "activation=tanh, epochs=3"
    assert metadata.run_name(CANDIDATE, "dusky-mole", "activation=tanh") == "dusky-mole"


def test_a_long_run_name_fits_what_mlflow_takes():
    deep = Variant(**CANDIDATE.model_dump() | {"layers": [{"dense": 64}] * 100})
    assert len(metadata.run_name(deep)) == 250


def test_a_variants_run_bears_its_name():
    assert metadata.run_name(PARAMS.variant("architectures", "model1"), "dusky-mole") == "model1"


def test_a_note_warns_of_the_sample():
    assert "no published figure" in metadata.note(CANDIDATE, DATASET | {"name": SAMPLE})
    assert "no published figure" not in metadata.note(CANDIDATE, DATASET)


def test_the_parameters_tell_a_variants_levels():
    told = metadata.resolved(PARAMS.variant("techniques", "l1-tanh"))
    assert (told["technique"], told["activation"], told["learning_rate"]) == ("l1", "tanh", 0.001)


def test_a_tag_tells_what_the_candidate_changes():
    other = CANDIDATE.model_copy(update={"activation": "tanh", "epochs": 3})
    assert metadata.changes_tag(other, CANDIDATE) == {"changes": "epochs=3, activation=tanh"}
    assert metadata.changes_tag(CANDIDATE, CANDIDATE) == {}
    assert metadata.changes_tag(PARAMS.variant("architectures", "model1"), CANDIDATE) == {}


def test_the_candidate_is_compared_with_the_committed_one_and_untold_without_git(checkout):
    other = CANDIDATE.model_copy(update={"seeds": (0, 1, 2)})
    assert metadata.changes_tag(other) == {}
    for words in (["init", "--quiet"], ["add", "params.yaml"], ["commit", "--quiet", "--message", "state"]):
        subprocess.run(["git", "-c", "user.name=test", "-c", "user.email=test@localhost", *words], check=True)
    assert metadata.changes_tag(other) == {"changes": "seeds=[0, 1, 2]"}
