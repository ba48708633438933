"""Score every variant's predictions on the test images: `python -m stages.evaluate`.

Reads models/*/*/, data/prepared/labels/test.npy and data/raw/dataset.json; writes reports/results.csv, variants.csv,
history.csv, curves.csv, per_class.csv, confusion.csv, candidate_predictions.csv, champion.json and metrics.json.
"""

import json
from pathlib import Path

import pandas as pd

from mnist_mlp import config, scoring
from stages import run

DATASET, LABELS = Path("data/raw/dataset.json"), Path("data/prepared/labels/test.npy")
REPORTS = Path("reports")


def main() -> None:
    variants = config.load().variants
    dataset = scoring.read_json(DATASET, "name")
    labels = scoring.read_labels(LABELS)
    outcomes = [scoring.read(variant, labels) for variant in variants]
    results, table = scoring.results(outcomes), scoring.variants(outcomes, labels)
    history = scoring.history(outcomes)
    metrics = scoring.headline(table, results, dataset["name"], len(labels))
    written = {
        "results.csv": results,
        "variants.csv": table,
        "history.csv": history,
        "curves.csv": scoring.curves(table, history),
        "per_class.csv": scoring.per_class(outcomes, labels),
        "confusion.csv": scoring.confusion(outcomes, labels),
        "candidate_predictions.csv": pd.DataFrame({"actual": labels, "predicted": outcomes[-1].predicted[0]}),
        "champion.json": json.dumps(scoring.champion(table, outcomes), indent=2) + "\n",
        "metrics.json": json.dumps(metrics, indent=2) + "\n",
    }
    for name, content in written.items():
        scoring.write(REPORTS / name, content)


if __name__ == "__main__":
    run(main)
