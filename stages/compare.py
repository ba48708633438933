"""Draw and write the comparison of all variants: `python -m stages.compare`.

Reads what evaluate wrote to reports/ and reports/published.csv; writes reports/comparison.html, comparison.md and
figures/. README.md's block is rewritten by `python -m mnist_mlp.report`, not here.
"""

import pandas as pd

from mnist_mlp import config, figures, files, page, report, scoring
from mnist_mlp.findings import REPORTS, Findings, grid, read
from stages import run


def main() -> None:
    findings = read(config.load())
    on = f"on {findings.metrics['dataset']}"
    drawn = {
        "accuracy.png": figures.accuracies(
            findings.results, findings.published, f"Test accuracy of every variant {on}"
        ),
        "techniques.png": figures.technique_map(grid(findings), f"Mean test accuracy by technique and activation {on}"),
        "curves.png": figures.validation_curves(_curves(findings), f"The candidate and the best of each study {on}"),
    }
    texts = {"comparison.md": report.markdown(findings), "comparison.html": page.html(findings)}
    for name, figure in drawn.items():
        figures.save(figure, REPORTS / "figures" / name)
    for name, text in texts.items():
        files.write(REPORTS / name, text)
    print("\n".join(report.spoken(findings)))
    print(f"everything: {REPORTS / 'comparison.html'}; curves: `make ui`, or `dvc plots show`")


def _curves(findings: Findings) -> dict[str, tuple[str, pd.DataFrame]]:
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
