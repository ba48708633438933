"""Draw and write the comparison of all variants: `python -m stages.compare`.

Reads what evaluate wrote to reports/ and reports/published.csv; writes reports/comparison.md and reports/figures/.
README.md's block is rewritten by `python -m mnist_mlp.report`, not here.
"""

import pandas as pd

from mnist_mlp import config, figures, report, scoring
from stages import run


def main() -> None:
    findings = report.read(config.load())
    on = f"on {findings.metrics['dataset']}"
    drawn = {
        "accuracy.png": figures.accuracies(
            findings.results, findings.published, f"Test accuracy of every variant {on}"
        ),
        "techniques.png": figures.technique_map(
            _grid(findings), f"Mean test accuracy by technique and activation {on}"
        ),
        "curves.png": figures.validation_curves(_curves(findings), f"The candidate and the best of each study {on}"),
    }
    text = report.markdown(findings)
    for name, figure in drawn.items():
        figures.save(figure, report.REPORTS / "figures" / name)
    scoring.write(report.REPORTS / "comparison.md", text)
    print("\n".join(report.spoken(findings)))
    print(f"tables: {report.REPORTS / 'comparison.md'}; curves: `make ui`, or `dvc plots show`")


def _grid(findings: report.Findings) -> pd.DataFrame:
    """Mean test accuracy of each technique (down, the best first, so that twins are neighbours) and activation."""
    table = findings.studied[findings.studied["study"] == "techniques"].set_index("variant")
    activations = [findings.params.techniques.variants[name].activation for name in table.index]
    techniques = [
        name.removesuffix(f"-{activation}") for name, activation in zip(table.index, activations, strict=True)
    ]
    table = table.assign(technique=techniques, activation=activations)
    grid = table.pivot(index="technique", columns="activation", values="test_accuracy")[
        list(dict.fromkeys(activations))
    ]
    grid = grid.loc[list(dict.fromkeys(techniques))]
    return grid.loc[grid.mean(axis=1).round(9).sort_values(ascending=False, kind="stable").index]


def _curves(findings: report.Findings) -> dict[str, tuple[str, pd.DataFrame]]:
    best = scoring.best(findings.studied)
    histories = findings.history.groupby(["study", "variant"])
    curves = {}
    for study, name in [("candidate", "candidate"), *zip(best["study"], best["variant"], strict=True)]:
        variant = findings.params.variant(study, name)
        images = "test images" if variant.validation == "test" else "held-out training images"
        label = study if study == name else f"{study}/{name}"
        curves[f"{label} (validated on {images})"] = (study, histories.get_group((study, name)))
    return curves


if __name__ == "__main__":
    run(main)
