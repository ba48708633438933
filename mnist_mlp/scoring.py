"""What the trained variants predict -> tables: results, confusions, ranks, identical models, the candidate's duels."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mnist_mlp import UserError
from mnist_mlp.config import STUDIES, Variant
from mnist_mlp.metrics import accuracy

CLASSES = 10
METRICS = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"]
CURVES = ["loss", "accuracy", "val_loss", "val_accuracy"]
BEYOND_DOUBT = 0.05  # the level of Holm's correction: of any wrong verdict among a candidate's duels


@dataclass(frozen=True)
class Outcome:
    """What a variant's training left. predicted: uint8 [replicates, n_test], in the order of the variant's seeds.

    replicates: metrics.json's, one a seed; history: history.csv; fingerprint: each seed's probabilities, digested.
    """

    variant: Variant
    parameters: int
    replicates: list[dict[str, float]]
    history: pd.DataFrame
    predicted: np.ndarray
    fingerprint: frozenset[tuple[int, str]]

    @property
    def key(self) -> dict[str, str]:
        return {"study": self.variant.study, "variant": self.variant.name}


def read_labels(path: Path) -> np.ndarray:
    """The test images' labels: uint8 [n_test]. Raises UserError where they are missing or no labels."""
    labels = _array(path)
    if labels.dtype != np.uint8 or labels.ndim != 1 or not labels.size or labels.max() >= CLASSES:
        raise _fault(path, f"{labels.dtype} {list(labels.shape)}", f"uint8 [n], each below {CLASSES}")
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
        raise _fault(metrics_path, f"{type(error).__name__} {error}", "what `train` writes") from None
    if found != seeds:
        raise _fault(metrics_path, f"seeds {found}", f"{seeds}, as in params.yaml")
    if not np.isfinite(numbers).all():
        raise _fault(metrics_path, "a metric that isn't finite", "finite numbers")

    history = read_table(history_path, ["seed", "epoch", *CURVES])
    rows = [(seed, epoch) for seed in seeds for epoch in range(1, variant.epochs + 1)]
    if list(zip(history["seed"], history["epoch"], strict=True)) != rows:
        raise _fault(history_path, f"{len(history)} rows", f"{variant.epochs} epochs of each of the seeds {seeds}")

    probabilities, shape = _array(path), (len(seeds), len(labels), CLASSES)
    if probabilities.dtype != np.float32 or probabilities.shape != shape:
        raise _fault(path, f"{probabilities.dtype} {list(probabilities.shape)}", f"float32 {list(shape)}")
    for row, replicate in zip(replicates, probabilities, strict=True):
        scored = accuracy(replicate, labels)
        if not np.isclose(scored, row["test_accuracy"], rtol=0, atol=1e-6):
            raise _fault(
                path, f"test accuracy {scored:.6f} for seed {row['seed']}", f"metrics.json's {row['test_accuracy']}"
            )
    digests = (hashlib.sha256(replicate.tobytes()).hexdigest() for replicate in probabilities)
    predicted = probabilities.argmax(axis=2).astype(np.uint8)
    return Outcome(variant, parameters, replicates, history, predicted, frozenset(zip(seeds, digests, strict=True)))


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


def variants(outcomes: list[Outcome], labels: np.ndarray) -> pd.DataFrame:
    """A row a variant: how it does on the test images, which model it is identical to, its duel with the candidate.

    replicates; test_accuracy (their mean) and test_accuracy_sd (ddof 1; missing for one); rank (1 is best, ties share
    the better); identical_to (the first variant whose probabilities are the same to the bit, seed by seed); and the
    columns of `duels`. outcomes: the candidate is the last one.
    """
    by_variant = results(outcomes).groupby(["study", "variant"], sort=False)["test_accuracy"]
    scored = by_variant.agg(replicates="size", test_accuracy="mean", test_accuracy_sd="std").reset_index()
    scored["test_accuracy"] = scored["test_accuracy"].round(9)  # so that ties are ties
    first = {outcome.fingerprint: outcome for outcome in reversed(outcomes)}
    twins = [first[outcome.fingerprint] for outcome in outcomes]
    scored["rank"] = scored["test_accuracy"].rank(ascending=False, method="min").astype(int)
    scored["identical_to"] = [
        None if twin is own else f"{twin.variant.study}/{twin.variant.name}"
        for twin, own in zip(twins, outcomes, strict=True)
    ]
    return scored.join(duels(outcomes, labels))


def duels(outcomes: list[Outcome], labels: np.ndarray) -> pd.DataFrame:
    """The candidate (the last outcome) against each variant: does it know more of MNIST's digits, whatever the seed?

    A row an outcome, none for the candidate itself. difference: candidate's mean test accuracy less the variant's;
    standard_error; p: two-sided, Holm-corrected over all duels; verdict: `beats`, `loses` (p < 0.05), `undecided`, or
    `identical` (the same probabilities to the bit, no duel).

    The squared standard error sums what two sources of chance do to the difference:
    - the test images: the variance over images of the difference in correctness, each model's averaged over its
      replicates (so the duel is paired), divided by the number of images;
    - the seeds: each model's variance of accuracy over its seeds, divided by their number. Two seeds tell next to
      nothing about one model, so that variance is pooled over the distinct models of the variant's study, for the
      candidate too; a model whose own is larger keeps its own.
    Noise that belongs to one seed and one image is in both, which errs on the side of doubt, as does taking the models'
    seeds as unrelated. t = difference / standard error, with Satterthwaite's degrees of freedom. Where no model of a
    study has replicates, nothing is known of its seeds, and its duels are undecided.

    Simulated (41 models and a candidate, two seeds each, all 98 % accurate, 10,000 images, an sd of 0.1 points over
    seeds), some verdict was wrong in 1 % of trials; in 7 % where the candidate's sd was three times the others', in
    16 % at six times: give such a candidate more seeds.
    """
    from scipy.special import stdtr  # 0.1 s

    *published, candidate = outcomes
    correct = [outcome.predicted == labels for outcome in outcomes]
    scores = [hits.mean(axis=1) for hits in correct]
    own = np.array([score.var(ddof=1) if len(score) > 1 else 0.0 for score in scores])
    number = np.array([len(score) for score in scores])
    pooled, freedom = _pooled(published, own, number)

    hits = np.stack([hit.mean(axis=0) for hit in correct])
    paired = hits[-1] - hits[:-1]
    difference = paired.mean(axis=1)
    images = paired.var(axis=1, ddof=1) / len(labels)
    seeds = np.maximum(own[:-1], pooled) / number[:-1] + np.maximum(own[-1], pooled) / number[-1]
    error = np.sqrt(images + seeds)
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = error**4 / (images**2 / (len(labels) - 1) + seeds**2 / freedom)
        p = np.where(error > 0, 2 * stdtr(degrees, -np.abs(difference / error)), 1.0)
    identical = np.array([outcome.fingerprint == candidate.fingerprint for outcome in published])
    p[~identical] = _holm(p[~identical])
    table = pd.DataFrame({"difference": difference, "standard_error": error, "p": p})
    table["verdict"] = np.select(
        [identical, p >= BEYOND_DOUBT, difference > 0], ["identical", "undecided", "beats"], "loses"
    )
    table.loc[identical, ["standard_error", "p"]] = np.nan
    return table


def _pooled(published: list[Outcome], own: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each variant, the variance over seeds pooled over its study's distinct models, and its degrees of freedom."""
    studies = pd.Series([outcome.variant.study for outcome in published])
    models = pd.DataFrame({"study": studies, "model": [outcome.fingerprint for outcome in published]})
    models = models.assign(freedom=number[:-1] - 1, squares=own[:-1] * (number[:-1] - 1)).drop_duplicates(
        ["study", "model"]
    )
    sums = models.groupby("study")[["squares", "freedom"]].sum()
    return studies.map(sums["squares"] / sums["freedom"]).to_numpy(), studies.map(sums["freedom"]).to_numpy()


def _holm(p: np.ndarray) -> np.ndarray:
    """Holm (1979): the chance of any wrong rejection stays below the level."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected


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
        raise _unreadable(path, error, "Keras model") from None
    scored = {name: replicate[name] for name in ("seed", "val_accuracy", "test_accuracy")}
    return winner.key | {"scaling": winner.variant.scaling} | scored | {"model": path.as_posix(), "md5": md5}


def curves(table: pd.DataFrame, histories: pd.DataFrame) -> pd.DataFrame:
    """epoch, then val_accuracy and val_loss, means over seeds, of the candidate and each study's best: for DVC's plots.

    table: of `variants`; histories: of `history`. A curve that ended earlier leaves the rest of its column empty.
    """
    means = histories.groupby(["study", "variant", "epoch"])[["val_accuracy", "val_loss"]].mean()
    wide = {}
    for study, variant in best(table)[["study", "variant"]].itertuples(index=False):
        who = f"best_{STUDIES[study]}" if study in STUDIES else study
        for metric in ("val_accuracy", "val_loss"):
            wide[f"{who}_{metric}"] = means.loc[(study, variant), metric]
    return pd.DataFrame(wide).rename_axis("epoch").reset_index()


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


def read_json(path: Path, *keys: str) -> dict:
    """A mapping that holds these keys. Raises UserError where it is missing, no JSON, or lacks one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "JSON") from None
    if not isinstance(content, dict) or (missing := [key for key in keys if key not in content]):
        raise _fault(path, f"no key {missing[0]}" if isinstance(content, dict) else "no mapping", f"{', '.join(keys)}")
    return content


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV file of these columns, and perhaps more. Raises UserError where it is missing or lacks one."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, "CSV") from None
    if missing := [column for column in columns if column not in table]:
        raise _fault(path, f"no column {missing[0]}", ", ".join(columns))
    return table


def write(path: Path, content: str | pd.DataFrame) -> None:
    """Write a text, or a table as CSV with six decimals, whole or not at all."""
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content.encode())
    os.replace(partial, path)


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error, "NumPy array") from None


def _fault(path: Path, found: str, allowed: str) -> UserError:
    return UserError(f"{path}: found {found}; allowed: {allowed}; run `dvc repro`")


def _unreadable(path: Path, error: Exception, kind: str) -> UserError:
    if isinstance(error, OSError):
        return UserError(f"{path}: {error.strerror or error}; run `dvc repro`")
    return _fault(path, "something else", f"a valid {kind} file")
