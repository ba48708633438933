"""What the trained variants predict -> tables: results, confusions, calibration, the images that most get wrong."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mnist_mlp.config import Variant
from mnist_mlp.files import fault, read_array, read_json, read_table, unreadable
from mnist_mlp.training.metrics import accuracy

CLASSES = 10
METRICS = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"]
CURVES = ["loss", "accuracy", "val_loss", "val_accuracy"]
BINS = 10  # of equal width, of a prediction's confidence
HARDEST = 24


@dataclass(frozen=True)
class Outcome:
    """What a variant's training left. predicted: uint8 [replicates, n_test], in the order of the variant's seeds.

    confidence: float32, of the same shape, the probability of what is predicted; replicates: metrics.json's, one a
    seed; history: history.csv; fingerprint: each seed's probabilities, digested.
    """

    variant: Variant
    parameters: int
    replicates: list[dict[str, float]]
    history: pd.DataFrame
    predicted: np.ndarray
    confidence: np.ndarray
    fingerprint: frozenset[tuple[int, str]]

    @property
    def key(self) -> dict[str, str]:
        return {"study": self.variant.study, "variant": self.variant.name}


def read_labels(path: Path) -> np.ndarray:
    """The test images' labels: uint8 [n_test]. Raises UserError where they are missing or no labels."""
    labels = read_array(path)
    if labels.dtype != np.uint8 or labels.ndim != 1 or not labels.size or labels.max() >= CLASSES:
        raise fault(path, f"{labels.dtype} {list(labels.shape)}", f"uint8 [n], each below {CLASSES}")
    return labels


def read(variant: Variant, labels: np.ndarray) -> Outcome:
    """Read what `train` wrote for a variant. labels: uint8 [n_test].

    Raises UserError where a file is missing, or doesn't fit params.yaml, the labels or the others."""
    metrics_path, history_path, path = (
        variant.folder / name for name in ("metrics.json", "history.csv", "probabilities.npy")
    )
    metrics, seeds = read_json(metrics_path, "parameters", "replicates"), list(variant.seeds)
    try:
        parameters, replicates = int(metrics["parameters"]), list(metrics["replicates"])
        found = [row["seed"] for row in replicates]
        numbers = np.array([[row[name] for name in METRICS] for row in replicates], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise fault(metrics_path, f"{type(error).__name__} {error}", "what `train` writes") from None
    if found != seeds:
        raise fault(metrics_path, f"seeds {found}", f"{seeds}, as in params.yaml")
    if not np.isfinite(numbers).all():
        raise fault(metrics_path, "a metric that isn't finite", "finite numbers")

    history = read_table(history_path, ["seed", "epoch", *CURVES])
    rows = [(seed, epoch) for seed in seeds for epoch in range(1, variant.epochs + 1)]
    if list(zip(history["seed"], history["epoch"], strict=True)) != rows:
        raise fault(history_path, f"{len(history)} rows", f"{variant.epochs} epochs of each of the seeds {seeds}")

    probabilities, shape = read_array(path), (len(seeds), len(labels), CLASSES)
    if probabilities.dtype != np.float32 or probabilities.shape != shape:
        raise fault(path, f"{probabilities.dtype} {list(probabilities.shape)}", f"float32 {list(shape)}")
    for row, replicate in zip(replicates, probabilities, strict=True):
        scored = accuracy(replicate, labels)
        if not np.isclose(scored, row["test_accuracy"], rtol=0, atol=1e-6):
            raise fault(
                path, f"test accuracy {scored:.6f} for seed {row['seed']}", f"metrics.json's {row['test_accuracy']}"
            )
    digests = (hashlib.sha256(replicate.tobytes()).hexdigest() for replicate in probabilities)
    predicted, confidence = probabilities.argmax(axis=2).astype(np.uint8), probabilities.max(axis=2)
    fingerprint = frozenset(zip(seeds, digests, strict=True))
    return Outcome(variant, parameters, replicates, history, predicted, confidence, fingerprint)


def results(outcomes: list[Outcome]) -> pd.DataFrame:
    """A row a replicate: study, variant, seed, losses (cross-entropy, nats), accuracies in [0, 1], parameters."""
    rows = [
        outcome.key | {name: row[name] for name in ["seed", *METRICS]} | {"parameters": outcome.parameters}
        for outcome in outcomes
        for row in outcome.replicates
    ]
    return pd.DataFrame(rows)


def history(outcomes: list[Outcome]) -> pd.DataFrame:
    """Every curve: study, variant, seed, epoch, loss, accuracy, val_loss, val_accuracy."""
    return pd.concat([outcome.history.assign(**outcome.key) for outcome in outcomes], ignore_index=True)[
        ["study", "variant", "seed", "epoch", *CURVES]
    ]


def per_class(outcomes: list[Outcome], labels: np.ndarray) -> pd.DataFrame:
    """A row a replicate: the test accuracy of each true digit, digit_0 ... digit_9; missing where no image shows it."""
    shown = [labels == digit for digit in range(CLASSES)]
    return pd.DataFrame(
        outcome.key
        | {"seed": seed}
        | {f"digit_{d}": (row[mask] == d).mean() for d, mask in enumerate(shown) if mask.any()}
        for outcome in outcomes
        for seed, row in zip(outcome.variant.seeds, outcome.predicted, strict=True)
    ).reindex(columns=["study", "variant", "seed", *(f"digit_{digit}" for digit in range(CLASSES))])


def confusion(outcomes: list[Outcome], labels: np.ndarray) -> pd.DataFrame:
    """study, variant, true, predicted, count: test images summed over the replicates, where there are any."""
    tables = []
    for outcome in outcomes:
        pairs = (labels.astype(np.int64) * CLASSES + outcome.predicted).ravel()
        counts = np.bincount(pairs, minlength=CLASSES**2)
        cells = np.flatnonzero(counts)
        columns = {"true": cells // CLASSES, "predicted": cells % CLASSES, "count": counts[cells]}
        tables.append(pd.DataFrame(outcome.key | columns))
    return pd.concat(tables, ignore_index=True)


def calibration(outcomes: list[Outcome], labels: np.ndarray) -> pd.DataFrame:
    """study, variant, bin, count, confidence, accuracy: means over the predictions, of all replicates, whose confidence
    is in a tenth of [0, 1], where there are any."""
    tables = []
    for outcome in outcomes:
        confidence = outcome.confidence.ravel().astype(np.float64)
        place = np.minimum((confidence * BINS).astype(int), BINS - 1)
        count, sure, right = (
            np.bincount(place, weights, BINS) for weights in (None, confidence, (outcome.predicted == labels).ravel())
        )
        told = np.flatnonzero(count)
        columns = {"bin": told, "count": count[told].astype(int)}
        columns |= {"confidence": sure[told] / count[told], "accuracy": right[told] / count[told]}
        tables.append(pd.DataFrame(outcome.key | columns))
    return pd.concat(tables, ignore_index=True)


def hardest(outcomes: list[Outcome], labels: np.ndarray, images: np.ndarray) -> dict:
    """The test images that most runs get wrong, the worst first. outcomes: distinct models; images: [n, 28, 28] in
    [0, 1].

    runs: how many there are; digits: of each image its index, label, in how many runs it is read wrong, as what most
    often, and its grey levels, 784 bytes in base 64."""
    predicted = np.concatenate([outcome.predicted for outcome in outcomes])
    wrong = (predicted != labels).sum(axis=0)
    digits = []
    for i in np.argsort(-wrong, kind="stable")[:HARDEST].tolist():
        read_as = np.bincount(predicted[predicted[:, i] != labels[i], i], minlength=CLASSES)
        grey = np.rint(np.asarray(images[i]) * 255).astype(np.uint8)
        digits.append({
            "index": i, "label": int(labels[i]), "wrong": int(wrong[i]), "read_as": int(read_as.argmax()),
            "pixels": base64.b64encode(grey.tobytes()).decode(),
        })  # fmt: skip
    return {"runs": len(predicted), "digits": [digit for digit in digits if digit["wrong"]]}


def best(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `variants`' table that are the best of their study, the first of equals, in the table's order."""
    return table.sort_values("rank", kind="stable").drop_duplicates("study").sort_index()


def champion(table: pd.DataFrame, outcomes: list[Outcome]) -> dict[str, str | int | float]:
    """The studies' best variant (never the candidate) and, of its replicates, the first best by validation accuracy.

    table: of `variants`, a row an outcome. Raises UserError where that replicate's model is missing."""
    winner = outcomes[table.iloc[:-1]["rank"].idxmin()]
    replicate = max(winner.replicates, key=lambda row: (row["val_accuracy"], -row["seed"]))
    path = winner.variant.folder / f"seed-{replicate['seed']}.keras"
    try:
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
    except OSError as error:
        raise unreadable(path, error, "Keras model") from None
    scored = {name: replicate[name] for name in ("seed", "val_accuracy", "test_accuracy")}
    return winner.key | {"scaling": winner.variant.scaling} | scored | {"model": path.as_posix(), "md5": md5}


def curves(table: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """curve, epoch, val_accuracy, val_loss, means over seeds, of the candidate and each study's best: for DVC's plots.

    table: of `variants`; histories: of `history`. curve: candidate, or study/variant. One row an epoch of a curve.
    """
    means = histories.groupby(["study", "variant", "epoch"])[["val_accuracy", "val_loss"]].mean()
    whose = best(table).set_index(["study", "variant"]).index
    names = [study if study == variant else f"{study}/{variant}" for study, variant in whose]
    drawn = {name: means.loc[key] for name, key in zip(names, whose, strict=True)}
    return pd.concat(drawn, names=["curve"]).reset_index()


def headline(table: pd.DataFrame, scores: pd.DataFrame, dataset: str, test_images: int) -> dict[str, float | str]:
    """The dozen numbers to compare experiments by. table: of `variants`; scores: of `results`.

    rank_best, rank_worst: the places that the candidate's duels leave it.
    """
    candidate, others = table.iloc[-1], table.iloc[:-1]
    own = scores[scores["study"] == candidate["study"]]
    beats, loses = (int((others["verdict"] == verdict).sum()) for verdict in ("beats", "loses"))
    numbers = {
        "dataset": dataset,
        "test_images": test_images,
        **{name: round(float(own[name].mean()), 6) for name in reversed(METRICS) if name != "train_loss"},
        "test_accuracy_sd": round(float(candidate["test_accuracy_sd"]), 6),
        "parameters": int(own["parameters"].iloc[0]),
        "rank": int(candidate["rank"]),
        "rank_best": 1 + loses,
        "rank_worst": len(table) - beats,
        "beats": beats,
        "loses": loses,
    }
    return {name: value for name, value in numbers.items() if value == value}  # no sd of one seed
