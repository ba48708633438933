"""params.yaml: what it holds, and one clear line for each way to get it wrong."""

import csv

import pytest
from ruamel.yaml import YAML

from mnist_mlp import config, paths
from mnist_mlp.config.params import stage_name
from mnist_mlp.errors import UserError
from tests.helpers.params import PARAMS, PARAMS_FILE, ROOT

TEXT = PARAMS_FILE.read_text(encoding="utf-8")


def test_the_variants_are_the_published_ones_penalties_and_a_candidate():
    with (ROOT / paths.PUBLISHED).open(encoding="utf-8") as file:
        published = [(row["study"], row["variant"]) for row in csv.DictReader(file)]
    assert len(published) == 41
    own = [
        ("penalties", f"{penalty}-{activation}")
        for penalty in ("l1-1e-5", "l1-1e-4", "l2-1e-4", "l2-1e-3")
        for activation in ("relu", "leaky_relu", "tanh", "sigmoid")
    ]
    assert [(v.study, v.name) for v in PARAMS.variants] == [*published, *own, ("candidate", "candidate")]


def test_penalties_are_on_the_kernels_of_study_twos_plain_networks():
    assert PARAMS.studies["penalties"].protocol == PARAMS.studies["techniques"].protocol
    for name in [variant.name for variant in PARAMS.variants if variant.study == "penalties"]:
        norm, weight, activation = name[:2], name[3:7], name[8:]
        variant, plain = PARAMS.variant("penalties", name), PARAMS.variant("techniques", f"none-{activation}")
        layers = [{"dense": {"units": layer["dense"], norm: float(weight)}} for layer in plain.parameters()["layers"]]
        assert variant.parameters() == plain.parameters() | {"layers": layers}


def test_protocols_are_those_of_the_notebooks():
    one, two = (PARAMS.studies[study].protocol for study in ("architectures", "techniques"))
    assert (one.scaling, one.validation, one.batch_size, one.epochs) == ("pixels", "test", 128, 50)
    assert (two.scaling, two.validation, two.batch_size, two.epochs) == ("unit_columns", "held_out", 32, 12)
    assert (one.train_metrics, two.train_metrics) == ("last_epoch", "finished_model")
    for body in (one, two, PARAMS.candidate):
        assert (body.learning_rate, body.initializer, body.seeds) == ("default", "glorot_uniform", (0, 1))


def test_the_candidate_is_model8_for_twelve_epochs():
    model8 = PARAMS.variant("architectures", "model8")
    same = ("layers", "activation", "optimizer", "scaling", "batch_size")
    assert all(getattr(PARAMS.candidate, name) == getattr(model8, name) for name in same)
    assert (PARAMS.candidate.epochs, PARAMS.candidate.validation) == (12, "held_out")


@pytest.mark.parametrize(
    ("label", "stage"),
    [
        ("architectures/model1", "train-architectures@model1"),
        ("techniques/none-relu", "train-techniques@none-relu"),
        ("penalties/l1-1e-5-relu", "train-penalties@l1-1e-5-relu"),
        ("candidate/candidate", "train-candidate"),
    ],
)
def test_a_stage_is_named_after_its_study_and_variant(label, stage):
    assert stage_name(PARAMS.variant(*label.split("/"))) == stage


FAULTS = [
    # (written in params.yaml, instead, the line that must come)
    ("epochs: 12\nseeds", "epochs: 0\nseeds", "epochs: found 0; allowed: at least 1"),
    ("epochs: 12\nseeds", "epochs: -3\nseeds", "epochs: found -3; allowed: at least 1"),
    ("epochs: 12\nseeds", "epochs: many\nseeds", "epochs: found 'many'; allowed: a whole number"),
    ("epochs: 12\nseeds", "epochs: true\nseeds", "epochs: found True; allowed: a whole number"),
    ("epochs: 12\nseeds", "epochs: 1.5\nseeds", "epochs: found 1.5; allowed: a whole number"),
    ("epochs: 12\nseeds", "epochs: 9999999\nseeds", "epochs: found 9999999; allowed: at most 100000"),
    ("batch_size: 128\nep", "batch_size: 0\nep", "batch_size: found 0; allowed: at least 1"),
    ("activation: relu\n", "activation: rulu\n", "activation: found 'rulu'; allowed: celu, elu, "),
    ("activation: relu\n", "activation:\n", "activation: found nothing; allowed: celu, elu, "),
    ("optimizer: adam\n", "optimizer: adma\n", "optimizer: found 'adma'; allowed: adadelta, "),
    ("learning_rate: default\n", "learning_rate: .nan\n", "learning_rate: found .nan; allowed: `default`, or a number"),
    ("learning_rate: default\n", "learning_rate: -0.1\n", "learning_rate: found -0.1; allowed: `default`, or a number"),
    ("learning_rate: default\n", "learning_rate: .inf\n", "learning_rate: found .inf; allowed: `default`, or a number"),
    ("learning_rate: default\n", "learning_rat: 0.1\n", "learning_rat: unknown key; allowed there: "),
    ("\n    learning_rate: default\n", "\n", "architectures.protocol.learning_rate: missing; write it"),
    ("seeds:\n- 0\n- 1\n", "seeds: [1, 1]\n", "seeds: found [1, 1]; allowed: distinct whole numbers"),
    ("seeds:\n- 0\n- 1\n", "seeds: [0, -1]\n", "seeds[1]: found -1; allowed: at least 0"),
    ("seeds:\n- 0\n- 1\n", "seeds: []\n", "seeds: found []; allowed: at least 1"),
    ("seeds:\n- 0\n- 1\n", "seeds: 3\n", "seeds: found 3; allowed: a list, such as [0, 1]"),
    ("- dense: 512\n", "- dens: 512\n", "layers[0]: found {'dens': 512}; allowed: a layer: {dense: units}, "),
    ("- dense: 512\n", "- dense: -4\n", "layers[0]: found {'dense': -4}; allowed: dense: at least 1"),
    ("- dense: 512\n", "- dense: {unit: 4}\n", "layers[0]: found {'dense': {'unit': 4}}; allowed: dense: `units`"),
    ("- dense: 512\n", "- batchnorm\n", "layers[0]: found 'batchnorm'; allowed: a layer: "),
    ("- dropout: 0.25", "- dropout: 1.0", "layers[1]: found {'dropout': 1.0}; allowed: dropout: below"),
    ("- dropout: 0.25", "- dropout: -1", "layers[1]: found {'dropout': -1}; allowed: dropout: at least"),
    ("- dense: 128\n", "- dense: 128\n- flatten\n", "allowed: at most one flatten, ahead of every dense layer"),
    (
        "      layers:\n      - dense: 512\n",
        "      layers:\n      - 3\n      - dense: 512\n",
        "architectures.variants.model1.layers[0]: found 3",
    ),
    ("    model1:\n", "    model1:\n      colour: 1\n", "architectures.variants.model1.colour: unknown key"),
    ("    model1:", "    mo.del:", "architectures: found {"),
    ("    model1:", "    mo.del:", "names of a-z, 0-9, _ and -, at most 100 signs, unlike 'mo.del'"),
    ("architectures:\n", "candidate:\n", "candidate: a study's name; allowed: names of a-z"),
    ("architectures:\n", "Uwe's:\n", "Uwe's: a study's name; allowed: names of a-z"),
    (
        "      none: {}\n",
        "      none: {colour: 1}\n",
        "techniques.factors.technique.none.colour: unknown key; allowed there: layers",
    ),
    ("    - relu\n", "    - rulu\n", "techniques.factors.activation.rulu.activation: found 'rulu'; allowed: celu"),
    (
        "    model1:",
        "    null:",
        'architectures.variants: found the key null, no text; allowed: a text; quote it, as in "null"',
    ),
    (
        "    model1:",
        "    007:",
        'architectures.variants: found the key 7, no text; allowed: a text; quote it, as in "7"',
    ),
    ("    model1:", "    1e5:", "architectures.variants: found the key 100000.0, no text; allowed: a text; quote it"),
    ("    model1:", "    true:", "architectures.variants: found the key true, no text; allowed: a text; quote it"),
    (
        "    - $MNIST_DIR",
        "    - ${HOME}/x",
        "datasets.mnist.sources[0]: found '${HOME}/x'; allowed: no ${ (`-S` would replace it); write $HOME/x",
    ),
    ("activation: relu\n", "activation: ${optimizer:x}\n", "activation: found '${optimizer:x}'; allowed: no ${ "),
    ("    batch_size: 32\n", "", "techniques.protocol.batch_size: missing; write it"),
    ("dataset: auto", '"data\\x85set": auto', "data\\x85set: unknown key; allowed there: "),
    ("dataset: auto", "dataset: imagenet", "dataset: found 'imagenet'; allowed: auto, mnist-sample, mnist"),
    ("dataset: auto", "dataset: auto\ndataset: mnist", "not valid YAML: "),
    (
        "bytes: 60008",
        "bytes: x",
        "datasets.mnist.files.train-labels-idx1-ubyte.bytes: found 'x'; allowed: a whole number",
    ),
    ("    - $MNIST_DIR", "    - 3", "datasets.mnist.sources[0]: found 3; allowed: a text"),
    ("  keras: 3", "  kears: 3", "software.kears: found 'kears'; allowed: tensorflow, keras, numpy"),
]


@pytest.mark.parametrize(
    ("before", "after", "line"), FAULTS, ids=[fault[1].strip() or fault[0].strip() for fault in FAULTS]
)
def test_a_fault_is_reported_in_a_line_that_names_the_key(before, after, line, tmp_path):
    assert before in TEXT
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(UserError) as error:
        config.load(path)
    lines = str(error.value).splitlines()
    assert any(line in found for found in lines), lines
    assert all(found.startswith(f"{path}: ") for found in lines)


@pytest.mark.parametrize("name", ["null", "nan", "none", "true", "007", "1e5", "inf", "on", "n-a"])
def test_a_name_that_looks_like_something_else_is_a_text_once_it_is_quoted(name, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("    model1:", f'    "{name}":', 1), encoding="utf-8")
    assert config.load(path).variants[0].name == name


def test_aliases_in_a_circle_are_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("seeds:\n- 0\n- 1\n", "seeds: &a [0, *a]\n", 1), encoding="utf-8")
    with pytest.raises(UserError, match="seeds"):
        config.load(path)


@pytest.mark.parametrize("text", ["", "3", "[1, 2]", "a: [", "\x00", "- a\n- b"])
def test_a_file_without_a_mapping_is_refused(text, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError):
        config.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="not found"):
        config.load(tmp_path / "none.yaml")


def test_an_unknown_variant_is_refused():
    with pytest.raises(UserError, match="no variant 'model10' in 'architectures'"):
        PARAMS.variant("architectures", "model10")


@pytest.mark.parametrize("name", ["$\\frac$", "a|b", "a\nb", "<b>", "", "x" * 101])
def test_a_data_sets_name_is_one_that_reports_can_show(name, tmp_path):
    """Compare drew `$...$` as a formula, and failed there once all was trained."""
    content = YAML(typ="safe").load(TEXT)
    content["datasets"][name] = content["datasets"]["mnist"]
    path = tmp_path / "params.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(content, file)
    with pytest.raises(UserError, match=r"datasets: found .*; allowed: names of a-z, 0-9, _ and -, at most 100"):
        config.load(path)
