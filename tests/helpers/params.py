"""The shipped params.yaml, as a copy that no user edits."""

from pathlib import Path

from mnist_mlp import config

ROOT = Path(__file__).parents[2]
PARAMS_FILE = Path(__file__).with_name("params.yaml")
PARAMS = config.load(PARAMS_FILE)
