"""The comparison in words and tables, all of it made from reports/*.csv: reports/comparison.md and README.md's block.

`python -m mnist_mlp.report` rewrites what README.md holds between `<!-- results -->` and `<!-- /results -->`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mnist_mlp import UserError, config, scoring
from mnist_mlp.config import Params, Protocol, Variant

REPORTS, README = Path("reports"), Path("README.md")
START, END = "<!-- results -->", "<!-- /results -->"
COMPARABLE = "mnist"  # the data set that the published figures are of
FIGURES = {
    "accuracy.png": "Test accuracy of every variant, by study: each seed, the mean, on MNIST the published figure",
    "techniques.png": "Heat map of mean test accuracy by technique and activation",
    "curves.png": "Validation accuracy by epoch: the candidate and the best variant of each study",
}
VERDICTS = {"beats": "beats", "loses": "loses to", "identical": "identical to", "undecided": "undecided"}


@dataclass(frozen=True)
class Findings:
    """What evaluate wrote. table: a row a variant, the candidate last: variants.csv, the means over seeds of test_loss,
    train_accuracy and parameters, and, where it is of MNIST itself, the published test accuracy as `published`."""

    params: Params
    table: pd.DataFrame
    results: pd.DataFrame
    history: pd.DataFrame
    metrics: dict
    published: pd.DataFrame | None

    @property
    def candidate(self) -> pd.Series:
        return self.table.iloc[-1]

    @property
    def studied(self) -> pd.DataFrame:
        return self.table.iloc[:-1]

    def names(self, verdict: str) -> list[str]:
        """The variants with this verdict of their duel with the candidate, the best first."""
        return self.studied[self.studied["verdict"] == verdict].sort_values("rank", kind="stable")["variant"].tolist()


def read(params: Params) -> Findings:
    """Raises UserError where reports/ lacks a file, or was made with another params.yaml."""
    metrics = scoring.read_json(REPORTS / "metrics.json", "dataset", "test_images", "rank", "rank_best", "rank_worst")
    results = scoring.read_table(REPORTS / "results.csv", ["study", "variant", "seed", *scoring.METRICS, "parameters"])
    history = scoring.read_table(REPORTS / "history.csv", ["study", "variant", "seed", "epoch", *scoring.CURVES])
    columns = ["replicates", "test_accuracy", "test_accuracy_sd", "rank", "identical_to", "verdict"]
    table = scoring.read_table(REPORTS / "variants.csv", ["study", "variant", *columns])
    expected = [(variant.study, variant.name, seed) for variant in params.variants for seed in variant.seeds]
    if list(results[["study", "variant", "seed"]].itertuples(index=False, name=None)) != expected:
        raise UserError(f"{REPORTS / 'results.csv'}: other variants or seeds than params.yaml's; run `dvc repro`")
    means = results.groupby(["study", "variant"])[["test_loss", "train_accuracy", "parameters"]].mean()
    table = table.join(means, on=["study", "variant"])
    published = None
    if metrics["dataset"] == COMPARABLE:
        path = REPORTS / "published.csv"
        if not path.exists():
            raise UserError(f"{path}: not found; it belongs to the repository: run `git checkout {path}`")
        names = [f"{summary}{split}_accuracy" for summary in ("", "summary_") for split in ("train", "test")]
        published = scoring.read_table(path, ["study", "variant", *names])
        then = published.set_index(["study", "variant"])["test_accuracy"].rename("published")
        table = table.join(then, on=["study", "variant"])
    return Findings(params, table, results, history, metrics, published)


def summary(findings: Findings) -> str:
    """A paragraph of three to five sentences."""
    table, metrics = findings.studied, findings.metrics
    best = table.loc[table["rank"].idxmin()]
    sentences = [
        f"{len(table)} variants of {table['study'].nunique()} studies and the candidate, {_seeds(findings.table)} "
        f"each, were scored on the {metrics['test_images']:,} test images of {metrics['dataset']}.",
        f"The studies' best is `{best['study']}/{best['variant']}`, which gets {_accuracy(best)} % of them right.",
    ]
    if findings.published is not None and table["published"].notna().any():
        gap = (table["test_accuracy"] - table["published"]).abs()
        largest = table.loc[gap.idxmax()]
        sentences.append(
            f"The {gap.count()} published accuracies are {100 * gap.mean():.2f} points away on average and at most "
            f"{100 * gap.max():.2f} (`{largest['study']}/{largest['variant']}`)."
        )
    if twins := table["identical_to"].count():
        sentences.append(f"{twins} of the {len(table)} are, to the bit, the same model as another one of them.")
    sentences.append(
        f"The candidate gets {_accuracy(findings.candidate)} % right: place {metrics['rank']} of {len(findings.table)} "
        f"by its mean ({metrics['rank_best']} to {metrics['rank_worst']} beyond doubt)."
    )
    return " ".join(sentences)


def markdown(findings: Findings) -> str:
    """reports/comparison.md."""
    parts = ["# Comparison", *_note(findings), summary(findings), _picture("accuracy.png"), *_candidate(findings)]
    for study, body in findings.params.studies.items():
        parts += [f"## Study `{study}`", _protocol(body.protocol, len(body.variants)), _study(findings, study)]
        if study == "techniques":
            parts.append(_picture("techniques.png"))
    parts += _identical(findings)
    if findings.published is not None:
        parts += [*_agreement(findings), *_contradictions(findings)]
    return "\n\n".join([*parts, *_limits(findings)]) + "\n"


def block(findings: Findings) -> str:
    """What README.md shows between its markers."""
    parts = [*_note(findings), summary(findings), _picture("accuracy.png", "reports/")]
    parts += [_study(findings, "architectures"), _picture("techniques.png", "reports/")]
    parts += [_picture("curves.png", "reports/"), "All tables: [reports/comparison.md](reports/comparison.md)."]
    return "\n\n".join(parts)


def rewrite(readme: Path, text: str) -> None:
    """Put text between the markers. Raises UserError where the file or a marker is missing."""
    try:
        content = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{readme}: {error.strerror}; run from the project's top folder") from None
    before, start, rest = content.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise UserError(f"{readme}: no block to rewrite; write a line {START}, and one {END} below it")
    scoring.write(readme, f"{before}{START}\n\n{text}\n\n{END}{after}")


def spoken(findings: Findings) -> list[str]:
    """What a person wants to read on the terminal once the comparison is made."""
    candidate, metrics = findings.candidate, findings.metrics
    what = f"mean ± sd of {candidate['replicates']} seeds" if candidate["replicates"] > 1 else "one seed"
    lines = [
        f"candidate: {_accuracy(candidate)} % of {metrics['test_images']:,} test images right ({what})",
        f"place: {metrics['rank']} of {len(findings.table)} by its mean "
        f"({metrics['rank_best']} to {metrics['rank_worst']} beyond doubt)",
    ]
    for verdict in ("beats", "loses", "identical"):
        names = findings.names(verdict)
        if names or verdict != "identical":
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            lines.append(f"{VERDICTS[verdict]}{_found(names[:5], len(names))}{more}")
    return [*_warning(findings), *lines]


def _warning(findings: Findings) -> list[str]:
    if findings.published is not None:
        return []
    name = findings.metrics["dataset"]
    what = "ONLY A SAMPLE OF MNIST" if name == config.SAMPLE else "NOT MNIST"
    return [f"{what}: these results are of `{name}`, and no published figure compares with them."]


def _note(findings: Findings) -> list[str]:
    return [f"> **{line}**" for line in _warning(findings)]


def _candidate(findings: Findings) -> list[str]:
    candidate, variant = findings.candidate, findings.params.candidate
    lists = []
    for verdict in VERDICTS:
        names = [f"`{name}`" for name in findings.names(verdict)]
        lists.append(f"- {VERDICTS[verdict]}{_found(names, len(names))}")
    return [
        "## The candidate",
        f"{_layers(variant)}; {variant.activation}, {_optimizer(variant)}, batch {variant.batch_size}, "
        f"{_count(variant.epochs, 'epoch')}, {_count(len(variant.seeds), 'seed')}; {candidate['parameters']:,.0f} "
        f"parameters: {_accuracy(candidate)} % of the test images right, test loss {candidate['test_loss']:.4f} nats. "
        "Against the studies' variants it",
        "\n".join(lists),
        "Beats and loses are beyond doubt: in a paired comparison on the same test images that reckons with the "
        "chance in the images and in the seeds, made so that any wrong verdict among the "
        f"{len(findings.studied)} has a chance of {100 * scoring.BEYOND_DOUBT:.0f} % at most (Holm). It has more where "
        "the candidate scatters over its seeds much more than the studies' models do: give such a candidate more "
        "seeds. Numbers: [variants.csv](variants.csv); rule: `duels` in [scoring.py](../mnist_mlp/scoring.py).",
        _picture("curves.png"),
    ]


def _study(findings: Findings, study: str) -> str:
    rows = []
    for _, row in findings.studied[findings.studied["study"] == study].iterrows():
        variant, then = findings.params.variant(study, row["variant"]), row.get("published", np.nan)
        cells = {
            "variant": f"`{variant.name}`",
            "activation": variant.activation,
            "optimizer": _optimizer(variant),
            "layers": _layers(variant),
            "test accuracy (%)": _accuracy(row),
            "published (%)": _percent(then),
            "difference (points)": _points(row["test_accuracy"] - then),
            "test loss (nats)": f"{row['test_loss']:.4f}",
            "train accuracy (%)": _percent(row["train_accuracy"]),
            "parameters": f"{row['parameters']:,.0f}",
            "the candidate": VERDICTS[row["verdict"]],
        }
        if pd.isna(then):
            del cells["published (%)"], cells["difference (points)"]
        rows.append(cells)
    return _table(rows)


def _protocol(protocol: Protocol, variants: int) -> str:
    trained = {"last_epoch": "its running mean over the last epoch", "finished_model": "the finished model's"}
    return (
        f"{_count(variants, 'variant')}, each of {_count(len(protocol.seeds), 'seed')}, "
        f"{_count(protocol.epochs, 'epoch')}, batch {protocol.batch_size}. Figures are means over the seeds, the test "
        f"accuracy's with its sd; train accuracy is {trained[protocol.train_metrics]}; losses are cross-entropies, "
        "without penalties."
    )


def _identical(findings: Findings) -> list[str]:
    table, rows, spreads = findings.table, [], []
    own = table["study"] + "/" + table["variant"]
    for first in table["identical_to"].dropna().unique():
        group = table[(own == first) | (table["identical_to"] == first)]
        rows.append({
            "identical": " = ".join(f"`{name}`" for name in group["variant"]),
            "test accuracy (%)": _accuracy(group.iloc[0]),
        })  # fmt: skip
        if findings.published is not None:
            then = group["published"].dropna()
            spreads.append(then.max() - then.min() if len(then) > 1 else np.nan)
            rows[-1] |= {
                "published (%)": ", ".join(map(_percent, then)),
                "published spread (points)": _percent(spreads[-1]),
            }
    if not rows:
        return ["## Identical models", "None: no two variants gave the same probabilities."]
    text = (
        "These gave the same probabilities to the bit, seed by seed: what sets them apart changes nothing that is "
        "learned."
    )
    if np.isfinite(spreads).any():
        text += f" Their published figures differ by up to {100 * np.nanmax(spreads):.2f} points: chance, no effect."
    return ["## Identical models", text, _table(rows)]


def _agreement(findings: Findings) -> list[str]:
    rows = []
    for study, group in findings.studied.dropna(subset="published").groupby("study", sort=False):
        gap = (group["test_accuracy"] - group["published"]).abs()
        worst = group.loc[gap.idxmax()]
        distinct = group[group["identical_to"].isna() & (group["replicates"] > 1)]
        variance = (
            np.average(distinct["test_accuracy_sd"] ** 2, weights=distinct["replicates"] - 1)
            if len(distinct)
            else np.nan
        )
        beyond = gap > 2 * np.sqrt(variance * (1 + 1 / group["replicates"]))  # one run against a mean of some
        rows.append({
            "study": f"`{study}`",
            "figures": f"{len(group)}",
            "mean, unsigned (points)": _percent(gap.mean()),
            "largest (points)": f"{_points(worst['test_accuracy'] - worst['published'])} (`{worst['variant']}`)",
            "sd over seeds (points)": _percent(np.sqrt(variance)),
            "more than seeds explain": f"{beyond.sum()}" if len(distinct) else "",
        })  # fmt: skip
    text = (
        "A difference is our mean test accuracy less the published one. The sd is pooled over the study's distinct "
        "models; the last column counts differences of more than twice what that sd makes of one run against our mean."
    )
    return ["## Agreement with the published figures", text, _table(rows)]


def _contradictions(findings: Findings) -> list[str]:
    rows, published = [], findings.published
    tabled = published.dropna(subset="summary_test_accuracy")
    for _, row in tabled.iterrows():
        cells = {"variant": f"`{row['study']}/{row['variant']}`"}
        for split in ("train", "test"):
            printed, summed = row[f"{split}_accuracy"], row[f"summary_{split}_accuracy"]
            cells[f"{split}, printed (%)"], cells[f"{split}, summary (%)"] = _percent(printed), _percent(summed)
            cells[f"{split}, difference (points)"] = _points(summed - printed) if summed != printed else ""
        if any(cells[f"{split}, difference (points)"] for split in ("train", "test")):
            rows.append(cells)
    best = [
        f"The best of `{study}` is `{group.loc[group['published'].idxmax(), 'variant']}` by the published figures and "
        f"`{group.loc[group['rank'].idxmin(), 'variant']}` here."
        for study, group in findings.studied.dropna(subset="published").groupby("study", sort=False)
    ]
    text = (
        f"The notebook of {' and '.join(f'`{study}`' for study in tabled['study'].unique())} ends in a summary "
        f"table; {len(rows)} of its {len(tabled)} rows differ from what the same notebook printed of the run. Compared "
        "above is what was printed. " + " ".join(best)
    )
    return ["## What the notebooks contradict themselves in", text, _table(rows)]


def _limits(findings: Findings) -> list[str]:
    on_test = [f"`{study}`" for study, body in findings.params.studies.items() if body.protocol.validation == "test"]
    lines = [
        f"- {_seeds(findings.table)} a variant: an sd of so few is a rough guess, so the duels pool it over a study.",
        "- The best of many is picked by the images it is scored on, which flatters it a little.",
    ]
    if on_test:
        lines.append(
            f"- In {' and '.join(on_test)} the validation images are the test images, as in the notebook: its "
            "validation curves are no independent evidence."
        )
    if findings.published is not None:
        lines.append("- A published figure is of one run with an unknown seed.")
    return ["## Limits", "\n".join(lines)]


def _table(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)] if rows else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _picture(name: str, folder: str = "") -> str:
    return f"![{FIGURES[name]}]({folder}figures/{name})"


def _layers(variant: Variant) -> str:
    words = []
    for layer in variant.parameters()["layers"]:
        kind, value = (layer, "") if isinstance(layer, str) else next(iter(layer.items()))
        if isinstance(value, dict):
            value = " ".join([f"{value['units']}", *(f"{key} {value[key]:g}" for key in ("l1", "l2") if key in value)])
        words.append(f"{'' if kind == 'dense' else kind.replace('_', ' ')} {value}".strip())
    return ", ".join(words)


def _optimizer(variant: Variant) -> str:
    return variant.optimizer + ("" if variant.learning_rate == "default" else f" {variant.learning_rate:g}")


def _found(names: list[str], number: int) -> str:
    return f": {number or 'none'}{' (' if names else ''}{', '.join(names)}{')' if names else ''}"


def _seeds(table: pd.DataFrame) -> str:
    fewest, most = table["replicates"].min(), table["replicates"].max()
    return _count(most, "seed") if fewest == most else f"{fewest} to {most} seeds"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _accuracy(row: pd.Series) -> str:
    sd = row["test_accuracy_sd"]
    return _percent(row["test_accuracy"]) + (f" ± {100 * sd:.2f}" if pd.notna(sd) else "")


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if pd.notna(share) else ""


def _points(difference: float) -> str:
    return f"{100 * difference:+z.2f}" if pd.notna(difference) else ""


def main() -> None:
    rewrite(README, block(read(config.load())))


if __name__ == "__main__":
    from stages import run

    run(main)
