"""Where everything lies, relative to the project's top folder."""

from pathlib import Path

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
LOCKFILE = Path("dvc.lock")
IGNORED = Path(".dvcignore")
README = Path("README.md")
DOCS = Path("docs")

RAW = Path("data/raw")  # four files in MNIST's IDX format, and dataset.json
PREPARED = Path("data/prepared")  # scaled images and labels, and
DATASET = PREPARED / "dataset.json"  # what they are

MODELS = Path("models")  # models/<study>/<variant>/, a training's outputs
CHECKPOINTS = MODELS / ".checkpoints"
CHAMPION = Path("champion")
REPLICATES = Path(".cache/replicates")  # finished ones, in the checkout also for DVC's temporary copies of it

PUBLISHED = Path("published/results.csv")  # what the notebooks reported
NOTEBOOKS = Path("published/notebooks.yaml")  # what they ran
REPORTS = Path("reports")
FIGURES = REPORTS / "figures"
BEST = REPORTS / "champion.keras"  # the studies' best model, as it was trained; in DVC's cache, not in git

TRAINING_CODE = Path("mnist_mlp/training")  # the code that a training's bytes follow from
DVC_TMP = Path(".dvc/tmp")
