"""Predictions -> tables: results, confusions, calibration, the images that most get wrong, the headline."""

import base64
import hashlib
from typing import Any

import numpy as np
import pandas as pd

from mnist_mlp.evaluation import statistics
from mnist_mlp.evaluation.predictions import Predictions
from mnist_mlp.files import unreadable
from mnist_mlp.training.outputs import CURVES, METRICS

BINS = 10  # of equal width, of a prediction's confidence
HARDEST = 24
LABELS = 256  # that a byte can hold


def results(predictions: list[Predictions]) -> pd.DataFrame:
    """Return one row per replicate: study, variant, seed, METRICS, parameters."""
    parts = [one.outputs.finals.assign(**one.key, parameters=one.outputs.parameters) for one in predictions]
    return pd.concat(parts, ignore_index=True)[["study", "variant", "seed", *METRICS, "parameters"]]


def history(predictions: list[Predictions]) -> pd.DataFrame:
    """Return every curve: study, variant, seed, epoch, CURVES."""
    parts = [one.outputs.history.assign(**one.key) for one in predictions]
    return pd.concat(parts, ignore_index=True)[["study", "variant", "seed", "epoch", *CURVES]]


def per_class(predictions: list[Predictions], labels: np.ndarray) -> pd.DataFrame:
    """Return one row per replicate: the test accuracy of each true class, class_0, class_1, ..., up to the last one
    that the test images show; missing for a class that they don't."""
    shown = [labels == true for true in range(labels.max() + 1)]
    return pd.DataFrame(
        one.key | {"seed": seed} | {f"class_{i}": (row[mask] == i).mean() for i, mask in enumerate(shown) if mask.any()}
        for one in predictions
        for seed, row in zip(one.variant.seeds, one.predicted, strict=True)
    ).reindex(columns=["study", "variant", "seed", *(f"class_{i}" for i in range(len(shown)))])


def confusion(predictions: list[Predictions], labels: np.ndarray) -> pd.DataFrame:
    """Return study, variant, true, predicted, count: test images, summed over the replicates; no row for none."""
    tables = []
    for one in predictions:
        counts = np.bincount((labels.astype(np.int64) * LABELS + one.predicted).ravel())
        cells = np.flatnonzero(counts)
        columns = {"true": cells // LABELS, "predicted": cells % LABELS, "count": counts[cells]}
        tables.append(pd.DataFrame(one.key | columns))
    return pd.concat(tables, ignore_index=True)


def calibration(predictions: list[Predictions], labels: np.ndarray) -> pd.DataFrame:
    """Return study, variant, bin, count, confidence, accuracy, low, high: means over the predictions of all replicates
    whose confidence is in a tenth of [0, 1], and Wilson's 95 % interval of the accuracy, as if replicates that read the
    same images told nothing anew; no row for none."""
    tables = []
    for one in predictions:
        confidence = one.confidence.ravel().astype(np.float64)
        place = np.minimum((confidence * BINS).astype(int), BINS - 1)
        count, sure, right = (
            np.bincount(place, weights, BINS) for weights in (None, confidence, (one.predicted == labels).ravel())
        )
        filled = np.flatnonzero(count)
        columns = {"bin": filled, "count": count[filled].astype(int)}
        accuracy = right[filled] / count[filled]
        low, high = statistics.wilson(accuracy, count[filled] / len(one.predicted))
        columns |= {"confidence": sure[filled] / count[filled], "accuracy": accuracy, "low": low, "high": high}
        tables.append(pd.DataFrame(one.key | columns))
    return pd.concat(tables, ignore_index=True)


def hardest(predictions: list[Predictions], labels: np.ndarray, images: np.ndarray) -> dict[str, Any]:
    """Return the test images that most runs get wrong, the worst first.

    predictions: of distinct models; images: [n, height, width] in [0, 1]. Returns runs, their number; height and width;
    images, for each image its index, label, the number of runs that get it wrong, the class that these predict most
    often, and its grey levels, bytes in base 64."""
    predicted = np.concatenate([one.predicted for one in predictions])
    wrong = (predicted != labels).sum(axis=0)
    hard = []
    for i in np.argsort(-wrong, kind="stable")[:HARDEST].tolist():
        instead = np.bincount(predicted[predicted[:, i] != labels[i], i], minlength=1)
        grey = np.rint(np.asarray(images[i]) * 255).astype(np.uint8)
        hard.append({
            "index": i, "label": int(labels[i]), "wrong": int(wrong[i]), "predicted": int(instead.argmax()),
            "pixels": base64.b64encode(grey.tobytes()).decode(),
        })  # fmt: skip
    _, height, width = images.shape
    shown = [image for image in hard if image["wrong"]]
    return {"runs": len(predicted), "height": height, "width": width, "images": shown}


def best(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `comparisons.variants` that are the best of their study, the first of equals, in order."""
    return table.sort_values("rank", kind="stable").drop_duplicates("study").sort_index()


def champion(predictions: list[Predictions], labels: np.ndarray) -> dict[str, Any]:
    """Return the studies' best variant and its best replicate, chosen on one half of the test images (every other one,
    from the first), and its accuracy on the other half, which the choice doesn't flatter: `test_accuracy`.

    The candidate is it only where there is no study. Of equals the first. Raises UserError if its model is missing."""
    studied = predictions[:-1] if len(predictions) > 1 else predictions
    scores = [(one.predicted == labels)[:, ::2].mean(axis=1) for one in studied]
    best = int(np.argmax([score.mean() for score in scores]))
    winner, which = studied[best], int(scores[best].argmax())
    hits, replicate = winner.predicted[which] == labels, winner.outputs.finals.iloc[which]
    path = winner.variant.folder / f"seed-{winner.variant.seeds[which]}.keras"
    try:
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
    except OSError as error:
        raise unreadable(path, error, "Keras model") from None
    other = hits[1::2] if len(hits) > 1 else hits
    return winner.key | {
        "scaling": winner.variant.scaling,
        "seed": winner.variant.seeds[which],
        "val_accuracy": float(replicate["val_accuracy"]),
        "chosen_by": round(float(hits[::2].mean()), 6),
        "test_accuracy": round(float(other.mean()), 6),
        "test_images": len(other),
        "model": path.as_posix(),
        "md5": md5,
    }


def curves(table: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """Return curve, epoch, val_accuracy, val_loss, means over seeds, of the candidate and each study's best.

    For DVC's plots. table: of `comparisons.variants`; histories: of `history`. curve: candidate, or study/variant."""
    means = histories.groupby(["study", "variant", "epoch"])[["val_accuracy", "val_loss"]].mean()
    whose = best(table).set_index(["study", "variant"]).index
    names = [study if study == variant else f"{study}/{variant}" for study, variant in whose]
    drawn = {name: means.loc[key] for name, key in zip(names, whose, strict=True)}
    return pd.concat(drawn, names=["curve"]).reset_index()


def headline(table: pd.DataFrame, candidate: Predictions, dataset: str) -> dict[str, Any]:
    """Return the dozen numbers to compare experiments by. table: of `comparisons.variants`; dataset: its name.

    distinct_models: how many there are; beats, loses: to how many. rank_best, rank_worst: the places that the
    candidate's duels leave it."""
    own, means = table.iloc[-1], candidate.outputs.means
    distinct = table["identical_to"].isna()
    models, others = int(distinct.sum()), table[distinct].iloc[: -1 if distinct.iloc[-1] else None]
    beats, loses = (int((others["verdict"] == verdict).sum()) for verdict in ("beats", "loses"))
    numbers = {
        "dataset": dataset,
        "test_images": candidate.predicted.shape[1],
        **{name: round(means[name], 6) for name in reversed(METRICS) if name != "train_loss"},
        "test_accuracy_low": round(float(own["low"]), 6),
        "test_accuracy_high": round(float(own["high"]), 6),
        "parameters": candidate.outputs.parameters,
        "distinct_models": models,
        "rank": int(own["rank"]),
        "rank_best": 1 + loses,
        "rank_worst": models - beats,
        "beats": beats,
        "loses": loses,
    }
    return {name: value for name, value in numbers.items() if value == value}  # no interval without a second seed
