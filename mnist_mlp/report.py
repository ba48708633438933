"""The comparison in Markdown: reports/comparison.md, short form of comparison.html, and README.md's block.

`python -m mnist_mlp.report` rewrites what README.md holds between `<!-- results -->` and `<!-- /results -->`.
"""

from pathlib import Path

import numpy as np

from mnist_mlp import UserError, config, files, notebooks, wording
from mnist_mlp.config import Protocol
from mnist_mlp.findings import ALPHA, Findings, identical, read, warning
from mnist_mlp.sentences import limits, summary
from mnist_mlp.wording import accuracy, chance, count, percent, points, span

README = Path("README.md")
START, END = "<!-- results -->", "<!-- /results -->"
FIGURES = {
    "accuracy.png": "Test accuracy of every variant, by study: each seed, the mean, on MNIST the published figure",
    "techniques.png": "Heat map of mean test accuracy by technique and activation",
    "curves.png": "Validation accuracy by epoch: the candidate and the best variant of each study",
}
VERDICTS = {"beats": "beats", "loses": "loses to", "identical": "identical to", "undecided": "undecided"}


def markdown(findings: Findings) -> str:
    """reports/comparison.md."""
    parts = ["# Comparison", *_note(findings), "\n".join(f"- {line}" for line in summary(findings))]
    parts += ["Everything, with the statistics behind it: [comparison.html](comparison.html)."]
    parts += [_picture("accuracy.png"), *_candidate(findings)]
    for study, body in findings.params.studies.items():
        parts += [f"## Study `{study}`", _protocol(body.protocol, len(body.variants)), _study(findings, study)]
        if study == "techniques":
            parts.append(_picture("techniques.png"))
    parts += [*_effects(findings), *_identical(findings)]
    if findings.published is not None:
        parts += [*_agreement(findings), *_contradictions(findings)]
    return "\n\n".join([*parts, "## Limits", "\n".join(f"- {line}" for line in limits(findings))]) + "\n"


def block(findings: Findings) -> str:
    """What README.md shows between its markers."""
    parts = [*_note(findings), " ".join(summary(findings)), _picture("accuracy.png", "reports/")]
    parts += [_study(findings, "architectures"), _picture("techniques.png", "reports/")]
    parts += [_picture("curves.png", "reports/")]
    parts += ["All tables: [reports/comparison.md](reports/comparison.md), and in full reports/comparison.html."]
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
    files.write(readme, f"{before}{START}\n\n{text}\n\n{END}{after}")


def spoken(findings: Findings) -> list[str]:
    """What a person wants to read on the terminal once the comparison is made."""
    candidate, metrics = findings.candidate, findings.metrics
    what = f"mean ± sd of {candidate['replicates']} seeds" if candidate["replicates"] > 1 else "one seed"
    lines = [
        f"candidate: {accuracy(candidate)} % of {metrics['test_images']:,} test images right ({what})",
        f"place: {metrics['rank']} of {len(findings.table)} by its mean "
        f"({metrics['rank_best']} to {metrics['rank_worst']} beyond doubt)",
    ]
    for verdict in ("beats", "loses", "identical"):
        names = findings.names(verdict)
        if names or verdict != "identical":
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            lines.append(f"{VERDICTS[verdict]}{_found(names[:5], len(names))}{more}")
    return [*filter(None, [warning(findings)]), *lines]


def _note(findings: Findings) -> list[str]:
    return [f"> **{line}**" for line in filter(None, [warning(findings)])]


def _candidate(findings: Findings) -> list[str]:
    candidate, variant = findings.candidate, findings.params.candidate
    lists = []
    for verdict in VERDICTS:
        names = [f"`{name}`" for name in findings.names(verdict)]
        lists.append(f"- {VERDICTS[verdict]}{_found(names, len(names))}")
    return [
        "## The candidate",
        f"{wording.layers(variant)}; {variant.activation}, {wording.optimizer(variant)}, batch {variant.batch_size}, "
        f"{count(variant.epochs, 'epoch')}, {count(len(variant.seeds), 'seed')}; {candidate['parameters']:,.0f} "
        f"parameters: {accuracy(candidate)} % of the test images right, test loss {candidate['test_loss']:.4f} nats. "
        "Against the studies' variants it",
        "\n".join(lists),
        "Beats and loses are beyond doubt: in a paired comparison on the same test images that reckons with the "
        "chance in the images and in the seeds, made so that any wrong verdict among the "
        f"{len(findings.studied)} has a chance of {100 * ALPHA:.0f} % at most (Holm). It has more where "
        "the candidate scatters over its seeds much more than the studies' models do: give such a candidate more "
        "seeds. Numbers: [variants.csv](variants.csv); rule: [statistics.py](../mnist_mlp/statistics.py).",
        _picture("curves.png"),
    ]


def _study(findings: Findings, study: str) -> str:
    rows, table = [], findings.studied[findings.studied["study"] == study]
    for _, row in table.iterrows():
        variant = findings.params.variant(study, row["variant"])
        cells = {
            "variant": f"`{variant.name}`",
            "activation": variant.activation,
            "optimizer": wording.optimizer(variant),
            "layers": wording.layers(variant),
            "test accuracy (%)": accuracy(row),
            "95 % interval": span(row["low"], row["high"]),
            "published (%)": percent(row["published"]),
            "difference (points)": points(row["test_accuracy"] - row["published"]),
            "test loss (nats)": f"{row['test_loss']:.4f}",
            "train accuracy (%)": percent(row["train_accuracy"]),
            "parameters": f"{row['parameters']:,.0f}",
            "the candidate": VERDICTS[row["verdict"]],
        }
        if table["published"].isna().all():
            del cells["published (%)"], cells["difference (points)"]
        rows.append(cells)
    return _table(rows)


def _protocol(protocol: Protocol, variants: int) -> str:
    trained = {"last_epoch": "its running mean over the last epoch", "finished_model": "the finished model's"}
    return (
        f"{count(variants, 'variant')}, each of {count(len(protocol.seeds), 'seed')}, "
        f"{count(protocol.epochs, 'epoch')}, batch {protocol.batch_size}. Figures are means over the seeds, the test "
        f"accuracy's with its sd; train accuracy is {trained[protocol.train_metrics]}; losses are cross-entropies, "
        "without penalties."
    )


def _effects(findings: Findings) -> list[str]:
    rows = [
        {
            "effect": f"{row.factor} `{row.level}` against `{row.reference}`",
            "difference (points)": points(row.difference),
            "95 % interval": span(row.low, row.high, points),
            "Holm's p": chance(row.p_holm),
        }
        for row in findings.effects[findings.effects["within"].isna()].itertuples()
    ]
    text = (
        "Differences in test accuracy, averaged over the grid of techniques (or penalties) and activations; identical "
        "models count once."
    )
    joint = [f"{what} {chance(p)}" for what, p in findings.statistics["joint_p"].items() if p is not None]
    if joint:
        text += f" All levels of a factor at once: {', '.join(joint)}."
    return ["## Effects", text, _table(rows)] if rows else []


def _identical(findings: Findings) -> list[str]:
    rows, spreads = [], []
    for group, reason in identical(findings):
        rows.append({
            "identical": " = ".join(f"`{name}`" for name in group["variant"]),
            "test accuracy (%)": accuracy(group.iloc[0]),
            "why": reason,
        })  # fmt: skip
        if findings.published is not None:
            then = group["published"].dropna()
            spreads.append(then.max() - then.min() if len(then) > 1 else np.nan)
            rows[-1] |= {
                "published (%)": ", ".join(map(percent, then)),
                "published spread (points)": percent(spreads[-1]),
            }
    if not rows:
        return ["## Identical models", "None: no two variants gave the same probabilities."]
    text = (
        "These gave the same probabilities to the bit, seed by seed: what sets them apart changes nothing that is "
        "learned."
    )
    if np.isfinite(spreads).any():
        noise, freedom = notebooks.published_noise(findings)
        text += (
            f" Their published figures differ by up to {percent(np.nanmax(spreads))} points: chance, no effect. They "
            f"tell the notebooks' own sd over seeds: {percent(noise)} points ({freedom} degrees of freedom)"
            + "".join(
                f"; ours is {percent(notebooks.run_sd(findings, study))} in `{study}`" for study in _twinned(findings)
            )
            + "."
        )
    return ["## Identical models", text, _table(rows)]


def _twinned(findings: Findings) -> list[str]:
    return list(findings.studied[findings.studied["identical_to"].notna()]["study"].unique())


def _agreement(findings: Findings) -> list[str]:
    rows = []
    for study, group in notebooks.fidelity(findings).groupby("study", sort=False):
        gap = group["test_accuracy"] - group["published"]
        worst = group.loc[gap.abs().idxmax()]
        known = group["run_low"].notna().all()
        rows.append({
            "study": f"`{study}`",
            "figures": f"{len(group)}",
            "mean (points)": points(gap.mean()),
            "mean, unsigned (points)": percent(gap.abs().mean()),
            "largest (points)": f"{points(worst['test_accuracy'] - worst['published'])} (`{worst['variant']}`)",
            "sd over seeds (points)": percent(notebooks.run_sd(findings, study)),
            "within": f"{group['inside'].sum()} of {len(group)}" if known else "",
            "outside": ", ".join(f"`{name}`" for name in group[~group["inside"]]["variant"]) if known else "",
        })  # fmt: skip
    text = (
        "A difference is our mean test accuracy less the published one. The sd is pooled over the study's distinct "
        "models. Within: how many published figures lie where one more run of ours, of a new seed on the same images, "
        "would lie in 95 of 100 cases."
    )
    return ["## Agreement with the published figures", text, _table(rows)]


def _contradictions(findings: Findings) -> list[str]:
    rows, tabled = [], notebooks.tabled(findings)
    for _, row in tabled.iterrows():
        cells = {"variant": f"`{row['study']}/{row['variant']}`"}
        for split in ("train", "test"):
            printed, summed = row[f"{split}_accuracy"], row[f"summary_{split}_accuracy"]
            cells[f"{split}, printed (%)"], cells[f"{split}, summary (%)"] = percent(printed), percent(summed)
            cells[f"{split}, difference (points)"] = points(summed - printed) if summed != printed else ""
        rows.append(cells)
    number = findings.published["summary_test_accuracy"].count()
    text = (
        f"The first notebook ends in a summary table; {len(tabled)} of its {number} rows differ from what the same "
        "notebook printed of the run. Compared above is what was printed."
    )
    lines = "\n".join(f"- {line}" for line in notebooks.contradictions(findings))
    return ["## What the notebooks contradict themselves in", lines, text, _table(rows)]


def _table(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)] if rows else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _picture(name: str, folder: str = "") -> str:
    return f"![{FIGURES[name]}]({folder}figures/{name})"


def _found(names: list[str], number: int) -> str:
    return f": {number or 'none'}{' (' if names else ''}{', '.join(names)}{')' if names else ''}"


def main() -> None:
    rewrite(README, block(read(config.load())))


if __name__ == "__main__":
    from stages import run

    run(main)
