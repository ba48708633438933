"""What a run tells of its training: name, note, tags, data, and the digests by which it is found."""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mnist_mlp import config, paths
from mnist_mlp.config import Variant
from mnist_mlp.config.choices import OPTIMIZERS, SAMPLE
from mnist_mlp.config.params import CANDIDATE
from mnist_mlp.errors import UserError
from mnist_mlp.training.outputs import CURVES, METRICS, Outputs

NOTE = "mlflow.note.content"  # the tag that MLflow shows as a run's description
KEPT = "\n\nDVC keeps these models as md5 "


def digest(*parts: Any) -> str:
    """Return the SHA-256 of JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint(variant: Variant, dataset: dict[str, Any], software: dict[str, str]) -> str:
    """Return the SHA-256 of what a training's outputs follow from: variant, parameters, data, code, versions.

    dataset: what dataset.json holds. The code is that below the current folder."""
    files = sorted(paths.TRAINING_CODE.rglob("*.py"))
    code = {path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return digest(variant.study, variant.name, variant.parameters(), dataset["sha256"], code, software)


def results_digest(variant: Variant, outputs: Outputs) -> str:
    """Return the SHA-256 of parameters and results: the same from the reports and from the training's own files."""
    finals = outputs.finals[["seed", *METRICS]].round(6).to_dict("records")
    return digest(variant.study, variant.name, variant.parameters(), outputs.parameters, finals, history_csv(outputs))


def history_csv(outputs: Outputs) -> str:
    """Return the curves as the training writes them."""
    return outputs.history[["seed", "epoch", *CURVES]].to_csv(index=False, float_format="%.6f", lineterminator="\n")


def resolved(variant: Variant) -> dict[str, Any]:
    """Return a variant's parameters, and its level of each factor; a default learning rate is Keras's number."""
    rate = OPTIMIZERS[variant.optimizer] if variant.learning_rate == "default" else variant.learning_rate
    return variant.levels | variant.parameters() | {"learning_rate": rate}


def run_name(variant: Variant, experiment: str | None = None, changes: str = "") -> str:
    """Return a run's name: the variant's own; the candidate's is that of the DVC experiment, or says what it is.

    changes: what it changes in the committed candidate, if anything. It is the name then: MLflow's tables show the
    first words of a name alone."""
    if variant.study != CANDIDATE:
        return variant.name
    readable = changes or f"candidate {variant.activation} {variant.optimizer} [{variant.describe()}]"
    return experiment or (readable if len(readable) <= 250 else readable[:247] + "...")


def note(variant: Variant, dataset: dict[str, Any], outputs: Outputs | None = None) -> str:
    """Return a paragraph of Markdown: what the variant is, its data, how it is trained and, once known, the results."""
    held = "the last tenth of the training images, held out" if variant.validation == "held_out" else "the test images"
    rate = "the default" if variant.learning_rate == "default" else variant.learning_rate
    text = (
        f"**{variant.label}**: layers {variant.describe()}, with {variant.activation} and "
        f"{variant.initializer} weights. {variant.optimizer}, learning rate {rate}, {variant.epochs} epochs in batches "
        f"of {variant.batch_size}. Data: {dataset['name']}, scaled as {variant.scaling}; validated on {held}. "
        f"Replicates: {', '.join(f'seed {seed}' for seed in variant.seeds)}."
    )
    if outputs is not None:
        accuracy, loss = outputs.finals["test_accuracy"], outputs.finals["test_loss"]
        spread = f", standard deviation {accuracy.std(ddof=1) * 100:.2f} points" if len(accuracy) > 1 else ""
        text += (
            f" Test accuracy {accuracy.mean():.2%} (mean of {len(accuracy)}{spread}), test loss {loss.mean():.4f} nats;"
        )
        text += f" {outputs.parameters:,} parameters."
    if dataset["name"] == SAMPLE:
        text += " **Its data are the sample of 5,000 images: compare it with no published figure.**"
    model = f"{variant.folder.as_posix()}/seed-{variant.seeds[0]}.keras"
    return (
        f"{text}\n\nAfter `dvc pull {variant.folder.as_posix()}`, this loads it; it takes images scaled as above:\n\n"
        f'    import keras; model = keras.saving.load_model("{model}")'
    )


def kept(note: str, md5: str) -> dict[str, str]:
    """Return tags: the md5 by which DVC keeps the models, by itself and in a run's note."""
    return {"dvc.md5": md5, NOTE: f"{note.partition(KEPT)[0]}{KEPT}`{md5}`."}


def inputs(variant: Variant, dataset: dict[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    """Yield a variant's data sets: context (train, validation, test), name, digest of files and rows, rows."""
    held = dataset["train"] // 10 if variant.validation == "held_out" else 0
    splits = {"train": ("train", dataset["train"] - held), "test": ("t10k", dataset["test"])}
    splits["validation"] = ("train", held) if held else splits["test"]
    for context, (prefix, rows) in splits.items():
        files = {file: sha256 for file, sha256 in dataset["sha256"].items() if file.startswith(prefix)}
        yield context, f"{dataset['name']} {context}", digest(files, rows)[:32], rows


def git_tags() -> dict[str, str]:
    """Return tags: the commit, and whether all is as committed but what the pipeline changes (dvc.lock, reports)."""

    def output(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        changed = output("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock", ":!reports")
        return {"mlflow.source.git.commit": output("rev-parse", "HEAD"), "git.clean": json.dumps(not changed)}
    except (OSError, subprocess.SubprocessError):
        return {}


def changes_tag(variant: Variant, before: Variant | None = None) -> dict[str, str]:
    """Return a tag: what the candidate changes. before: in whom, by default in the committed one."""
    if variant.study != CANDIDATE or not (before := before or _committed()):
        return {}
    then, now = before.parameters(), variant.parameters()
    changes = [f"{key}={_text(now[key])}" for key in then if now[key] != then[key]]
    return {"changes": ", ".join(changes)} if changes else {}


def _committed() -> Variant | None:
    """Return the committed candidate, or None without git, or if this project can't read it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, paths.PARAMS.name)
        try:
            shown = subprocess.run(
                ["git", "show", f"HEAD:./{paths.PARAMS}"], capture_output=True, check=True, timeout=10
            )
            path.write_bytes(shown.stdout)
            return config.load(path).candidate
        except (OSError, subprocess.SubprocessError, UserError):
            return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def lock_tag() -> dict[str, str]:
    """Return a tag: the MD5 of dvc.lock as it is."""
    try:
        return {"dvc.lock": hashlib.md5(paths.LOCKFILE.read_bytes()).hexdigest()}
    except OSError:
        return {}
