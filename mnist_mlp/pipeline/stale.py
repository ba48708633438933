"""Refuse models that were trained with other parameters than params.yaml has.

DVC trains them again before it evaluates. It doesn't if their stage is frozen, or with `dvc repro --single-item`; then
the reports and MLflow would tell of a network that was never trained.
"""

from mnist_mlp import paths
from mnist_mlp.config import Params
from mnist_mlp.config.params import stage_name
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import inputs, lock_entries


def refuse(params: Params) -> None:
    """Raise UserError if a variant's parameters aren't those that dvc.lock knows."""
    trained = lock_entries.parameters(map(stage_name, params.variants))
    now = inputs.parameters([key for values in trained.values() for key in values])
    stale = {
        stage: keys for stage, values in trained.items() if (keys := [key for key in values if values[key] != now[key]])
    }
    if stale:
        stage, keys = next(iter(stale.items()))
        more = f" and {len(stale) - 1} more" if len(stale) > 1 else ""
        raise UserError(
            f"{stage}{more}: trained with another `{', '.join(keys)}` than {paths.PARAMS} has now; run "
            f"`dvc unfreeze {stage}` if it is frozen, then `dvc repro`"
        )
