"""A study's block of dvc.yaml, as its entry in params.yaml asks for it, and files that are no input of a stage."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

# What Vim, Emacs, other editors, merges, macOS and Windows leave beside files.
LITTER = (".layers.py.swp", "layers.py~", "#layers.py#", "4913", "layers.py.orig", "layers.py.bak", ".DS_Store",
          "._layers", "Thumbs.db", "desktop.ini")  # fmt: skip


def study_block(study: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the block. body: the study's entry. The levels in a stage's name need not be parameters of it."""
    params = ["software", f"{study}.protocol"] + ([f"{study}.network"] if "network" in body else [])
    stage = {
        "cmd": f"python -m stages.train {study} ${{key}}",
        "deps": ["data/prepared", "mnist_mlp/training"],
        "outs": [f"models/{study}/${{key}}"],
    }
    if "variants" in body:
        stage["params"] = sorted([*params, f"{study}.variants.${{key}}"])
        return {"foreach": f"${{{study}.variants}}", "do": stage}
    by_name = [factor for factor, levels in body["factors"].items() if isinstance(levels, dict)]
    stage["params"] = sorted([*params, *(f"{study}.factors.{factor}.${{item.{factor}}}" for factor in by_name)])
    return {"matrix": {factor: f"${{{study}.factors.{factor}}}" for factor in body["factors"]}} | stage


def write_studies(pipeline: Path, params: Path) -> None:
    """Have a dvc.yaml hold the blocks of the studies of a params.yaml, and no others."""
    yaml = YAML()
    read, stages = yaml.load(pipeline.read_text(encoding="utf-8")), {}
    studies = {name: body for name, body in yaml.load(params.read_text(encoding="utf-8")).items()
               if isinstance(body, dict) and "protocol" in body}  # fmt: skip
    for name, stage in read["stages"].items():
        if name == "train-candidate":
            stages |= {f"train-{study}": study_block(study, body) for study, body in studies.items()}
        if not {"foreach", "matrix"} & stage.keys():
            stages[name] = stage
    read["stages"] = stages
    yaml.dump(read, pipeline)
