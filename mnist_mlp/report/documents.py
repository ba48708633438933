"""What the pipeline writes into the documents: blocks by document and name, each from the results.

A block stands between the lines `<!-- name -->` and `<!-- /name -->`."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mnist_mlp import paths
from mnist_mlp.report import lessons, terminal
from mnist_mlp.report.markdown import interaction_picture, map_picture, note, picture, study_table
from mnist_mlp.report.results import Results, grids, interactions
from mnist_mlp.report.summary import limits, opening, summary


def short(results: Results) -> str:
    """Return README.md's results: the reproduction, the best and the candidate, the studies' effects; one figure."""
    findings: dict[str, list[str]] = {kind: [] for kind in ("published", "best", "candidate", "effects")}
    for finding in summary(results):
        findings[finding.picture].append(finding.line)
    lines = [findings["published"], findings["best"] + findings["candidate"], findings["effects"]]
    told = "\n".join(f"- {' '.join(line)}" for line in lines if line)
    return "\n\n".join([*note(results), told, picture("accuracy.png", "reports/")])


def printed(results: Results) -> str:
    """Return what the end of an experiment looks like in the terminal: of the committed candidate."""
    return "\n".join(["```text", *terminal.lines(results, plain=True), "```"])


def full(results: Results) -> str:
    """Return docs/results.md's results: every finding with its numbers, every study's table, every figure."""
    folder, maps = "../reports/", grids(results)
    parts = [*note(results), opening(results)]
    parts += ["\n".join(f"- **{finding.line}** {finding.text}".rstrip() for finding in summary(results))]
    parts += [picture("accuracy.png", folder)]
    for study in results.params.studies:
        parts += [f"### Study `{study}`", study_table(results, study)]
        parts += [interaction_picture(study, folder)] if study in interactions(results) else []
        parts += [map_picture(study, maps[study], folder)] if study in maps else []
    parts += ["### Learning and its price", *(picture(name, folder) for name in ("curves.png", "costs.png"))]
    parts += ["### Limits", "\n".join(f"- {line}" for line in limits(results))]
    return "\n\n".join(parts)


BLOCKS: Mapping[Path, Mapping[str, Callable[[Results], str]]] = {
    paths.README: {"results": short, "terminal": printed},
    paths.DOCS / "results.md": {"results": full},
    paths.DOCS / "lessons.md": {
        "placebos": lessons.placebos,
        "one seed": lessons.one_seed,
        "validation": lessons.validation,
        "headings": lessons.headings,
        "closing table": lessons.closing_table,
    },
}
