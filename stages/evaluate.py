"""Score every variant's predictions on the test images.

Reads models/*/*/, data/prepared/{dataset.json,labels,pixels/test.npy}; writes reports/*.csv and *.json:
one row per replicate in results.csv, per variant in variants.csv, per pair of distinct models in pairs.csv, per effect
in effects.csv; the candidate's numbers in metrics.json; the best model in champion.keras; the rest for figures and for
the page.
"""

from mnist_mlp.pipeline.stage import run


def main() -> None:
    import shutil

    import pandas as pd

    from mnist_mlp import config, files, paths
    from mnist_mlp.evaluation import comparisons, effects, predictions, tables

    params = config.load()
    dataset = files.read_json(paths.DATASET, "name")
    labels = predictions.read_labels(paths.PREPARED / "labels/test.npy")
    images = files.read_array(paths.PREPARED / "pixels/test.npy", mapped=True)
    everything = [predictions.read(variant, labels) for variant in params.variants]
    comparison = comparisons.compare(everything, labels)
    results, history, bins = (
        tables.results(everything),
        tables.history(everything),
        tables.calibration(everything, labels),
    )
    table = comparisons.variants(comparison, bins)
    studied, joint = effects.effects(params, comparison)
    written = {
        "results.csv": results,
        "variants.csv": table,
        "history.csv": history,
        "curves.csv": tables.curves(table, history),
        "per_class.csv": tables.per_class(everything, labels),
        "confusion.csv": tables.confusion(everything, labels),
        "calibration.csv": bins,
        "pairs.csv": comparisons.named_pairs(comparison),
        "effects.csv": studied,
        "statistics.json": comparisons.summary(comparison, joint),
        "hardest.json": tables.hardest([everything[i] for i in comparison.first], labels, images),
        "candidate_predictions.csv": pd.DataFrame({"actual": labels, "predicted": everything[-1].predicted[0]}),
        "champion.json": tables.champion(everything, labels),
        "metrics.json": tables.headline(table, everything[-1], dataset["name"]),
    }
    for name, content in written.items():
        files.write(paths.REPORTS / name, content)
    with files.replaced_file(paths.BEST) as partial:
        shutil.copyfile(written["champion.json"]["model"], partial)


if __name__ == "__main__":
    run(main, missing="start for others")
