"""Score every variant's predictions on the test images: `python -m stages.evaluate`.

Reads models/*/*/, data/prepared/{labels,pixels}/test.npy and data/raw/dataset.json; writes reports/*.csv and *.json: a
replicate's row in results.csv, a variant's in variants.csv, a pair's of distinct models in pairs.csv, an effect's in
effects.csv, the candidate's numbers in metrics.json, the rest for figures and for the page.
"""

from pathlib import Path

import pandas as pd

from mnist_mlp import config, effects, files, inference, scoring
from stages import run

DATASET, LABELS = Path("data/raw/dataset.json"), Path("data/prepared/labels/test.npy")
IMAGES = Path("data/prepared/pixels/test.npy")
REPORTS = Path("reports")


def main() -> None:
    params = config.load()
    dataset = files.read_json(DATASET, "name")
    labels = scoring.read_labels(LABELS)
    images = files.read_array(IMAGES, memory=False)
    outcomes = [scoring.read(variant, labels) for variant in params.variants]
    inferred = inference.infer(outcomes, labels)
    results, history, table = scoring.results(outcomes), scoring.history(outcomes), inference.variants(inferred)
    studied, joint = effects.effects(params, inferred)
    metrics = scoring.headline(table, results, dataset["name"], len(labels))
    written = {
        "results.csv": results,
        "variants.csv": table,
        "history.csv": history,
        "curves.csv": scoring.curves(table, history),
        "per_class.csv": scoring.per_class(outcomes, labels),
        "confusion.csv": scoring.confusion(outcomes, labels),
        "calibration.csv": scoring.calibration(outcomes, labels),
        "pairs.csv": inference.named_pairs(inferred),
        "effects.csv": studied,
        "statistics.json": inference.summary(inferred, joint),
        "hardest.json": scoring.hardest([outcomes[i] for i in inferred.first], labels, images),
        "candidate_predictions.csv": pd.DataFrame({"actual": labels, "predicted": outcomes[-1].predicted[0]}),
        "champion.json": scoring.champion(table, outcomes),
        "metrics.json": metrics,
    }
    for name, content in written.items():
        files.write(REPORTS / name, content)


if __name__ == "__main__":
    run(main)
