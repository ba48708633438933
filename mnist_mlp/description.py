"""What MLflow shows of a training: its numbers and figures, name and words, data, code and machine."""

import contextlib
import hashlib
import json
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_mlp.config import SAMPLE, Variant

if TYPE_CHECKING:
    import pandas as pd

CODE = Path("mnist_mlp/training")
CURVES = ["loss", "accuracy", "val_loss", "val_accuracy"]
RATES = {"sgd": 0.01}  # Keras's default learning rates; the other optimizers' is 0.001
FINALS = [f"{split}_{what}" for split in ("train", "val", "test") for what in ("loss", "accuracy")]


@dataclass(frozen=True)
class Outputs:
    """The numbers that a variant's training left; losses in nats, accuracies in [0, 1].

    history: seed, epoch (from 1), loss, accuracy, val_loss, val_accuracy, a row for each replicate's epoch.
    finals: seed, train_loss ... test_accuracy and, unless from the reports, penalty, a row for each replicate.
    parameters: how many the network has.
    """

    history: "pd.DataFrame"
    finals: "pd.DataFrame"
    parameters: int

    @classmethod
    def read(cls, folder: Path) -> "Outputs":
        """What the training stage wrote. Raises OSError, ValueError, KeyError or TypeError where it isn't whole."""
        import pandas as pd

        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        history = pd.read_csv(folder / "history.csv")[["seed", "epoch", *CURVES]]
        return cls(history, pd.DataFrame(metrics["replicates"])[["seed", *FINALS, "penalty"]], metrics["parameters"])

    @classmethod
    def reported(cls, variant: Variant, reports: Path) -> "Outputs":
        """What the git-tracked reports tell of a variant. Raises as `read`."""
        import pandas as pd

        tables = (pd.read_csv(reports / name) for name in ("history.csv", "results.csv"))
        history, results = (t[(t["study"] == variant.study) & (t["variant"] == variant.name)] for t in tables)
        if history.empty or results.empty:
            raise FileNotFoundError(f"{reports}: nothing of {variant.study}/{variant.name}")
        return cls(history[["seed", "epoch", *CURVES]], results[["seed", *FINALS]], int(results["parameters"].iloc[0]))

    def digest(self, variant: Variant) -> str:
        """SHA-256 of parameters and results: the same off the reports and off the training's own files."""
        finals = self.finals[["seed", *FINALS]].round(6).to_dict("records")
        return digest(variant.study, variant.name, variant.parameters(), self.parameters, finals, self._csv())

    def write(self, title: str, folder: Path) -> None:
        """The artifacts: history.csv, metrics.json, figures/accuracy.png, figures/loss.png."""
        from mnist_mlp.figures import learning_curves, save

        metrics = {"parameters": self.parameters, "replicates": self.finals.to_dict("records")}
        (folder / "history.csv").write_bytes(self._csv().encode())
        (folder / "metrics.json").write_bytes((json.dumps(metrics, indent=2) + "\n").encode())
        for metric in ("accuracy", "loss"):
            save(learning_curves(self.history, metric, title), folder / "figures" / f"{metric}.png")

    def _csv(self) -> str:
        return self.history.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def digest(*parts: Any) -> str:
    """SHA-256 of JSON values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint(variant: Variant, dataset: dict[str, Any], software: dict[str, str]) -> str:
    """SHA-256 of what a training's outputs follow from: variant, parameters, data, code, versions.

    dataset: what dataset.json holds. Raises OSError where the code isn't below the current folder."""
    files = sorted(path for path in CODE.iterdir() if path.suffix == ".py")
    code = {path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return digest(variant.study, variant.name, variant.parameters(), dataset["sha256"], code, software)


def resolved(variant: Variant) -> dict[str, Any]:
    """A variant's parameters, the learning rate a number: a default is Keras's own."""
    rate = variant.learning_rate
    return variant.parameters() | {"learning_rate": RATES.get(variant.optimizer, 0.001) if rate == "default" else rate}


def run_name(variant: Variant, experiment: str | None = None) -> str:
    """The variant's own name; the candidate's is that of the DVC experiment, or says what it is."""
    if variant.study != "candidate":
        return variant.name
    readable = f"candidate {variant.activation} {variant.optimizer} [{_layers(variant)}]"
    return experiment or (readable if len(readable) <= 250 else readable[:247] + "...")


def note(variant: Variant, dataset: dict[str, Any], outputs: Outputs | None = None) -> str:
    """A paragraph of Markdown: what the variant is, its data, how it is trained and, once known, the results."""
    held = "the last tenth of the training images, held out" if variant.validation == "held_out" else "the test images"
    rate = "the default" if variant.learning_rate == "default" else variant.learning_rate
    text = (
        f"**{variant.study}/{variant.name}**: layers {_layers(variant)}, with {variant.activation} and "
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
    return text


def inputs(variant: Variant, dataset: dict[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    """Its data sets: context (train, validation, test), name, digest of files and rows, rows."""
    held = dataset["train"] // 10 if variant.validation == "held_out" else 0
    splits = {"train": ("train", dataset["train"] - held), "test": ("t10k", dataset["test"])}
    splits["validation"] = ("train", held) if held else splits["test"]
    for context, (prefix, rows) in splits.items():
        files = {file: sha256 for file, sha256 in dataset["sha256"].items() if file.startswith(prefix)}
        yield context, f"{dataset['name']} {context}", digest(files, rows)[:32], rows


def git() -> dict[str, str]:
    """Tags: the commit, and whether all but what the pipeline itself changes (dvc.lock, reports) is as committed."""

    def output(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        changed = output("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock", ":!reports")
        return {"mlflow.source.git.commit": output("rev-parse", "HEAD"), "git.clean": json.dumps(not changed)}
    except (OSError, subprocess.SubprocessError):
        return {}


def lock_digest() -> dict[str, str]:
    """Tag: the MD5 of dvc.lock as it is."""
    try:
        return {"dvc.lock": hashlib.md5(Path("dvc.lock").read_bytes()).hexdigest()}
    except OSError:
        return {}


def cpu() -> str:
    """The processor's model."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _layers(variant: Variant) -> str:
    def words(layer: Any) -> str:
        if isinstance(layer, str):
            return layer
        (kind, value), = layer.items()  # fmt: skip
        if isinstance(value, dict):
            value = " ".join([str(value["units"]), *(f"{key} {value[key]}" for key in ("l1", "l2") if key in value)])
        return str(value) if kind == "dense" else f"{kind} {value}"

    return ", ".join(map(words, variant.parameters()["layers"])).replace("_", " ")
