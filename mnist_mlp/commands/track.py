"""Make MLflow agree with what is here. It deletes nothing.

- A variant whose training has no finished run gets one, made of its outputs in models/ or, where they are absent as in
  a fresh clone, of the git-tracked reports; once the outputs arrive, they complete that run.
- A DVC experiment that trained nothing, since its candidate was trained before, gets a run of its name, made of the
  reports in its commit.
- The champion in champion/ is registered, and the reports are one run, `comparison`.
- The runs that dvc.lock knows now, and no others, bear the tag `current`. They tell their place and DVC's md5.

All of it only where dvc.lock vouches for it: parameters, code, data and outputs must be those that dvc.lock knows.
Where one differs, a line says which.
"""

import os
import sys
from collections import Counter
from typing import Any

from tqdm import tqdm

from mnist_mlp import config, paths
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import experiments
from mnist_mlp.tracking import agreement, registry
from mnist_mlp.tracking.agreement import Agreement, Done
from mnist_mlp.tracking.runs import trouble
from mnist_mlp.tracking.store import CURRENT, open_store


def main() -> None:
    """Make the store agree. Raises UserError if MLflow can't be reached; a registry of its own is worth a warning."""
    params, tally = config.load(), Counter(created=0, completed=0, unchanged=0)
    try:
        store = open_store()
        with store.lock():
            agreed = Agreement(store, params, _tell)
            known = agreement.known(params, agreed.lock)
            found = experiments.finished()
            names = {experiment.name for experiment in found}
            tally.update(agreed.experiment(experiment, names) for experiment in _shown(found))
            tally.update(filter(None, (agreed.variant(variant) for variant in _shown(params.variants))))
            tally.update(filter(None, (_champion(agreed), agreed.comparison())))
            agreed.unmark(known)
            if not agreed.lock.changed([agreement.PLACES]):
                agreement.describe(store, params, store.find(**CURRENT), agreed.lock.written)
    except UserError:
        raise
    except Exception as error:
        raise UserError(trouble(error)) from None
    print("MLflow:", ", ".join(f"{count} {what}" for what, count in tally.items()))


def _shown(what: list[Any]) -> "tqdm[Any]":
    return tqdm(what, "MLflow's runs", disable=None, leave=False)


def _champion(agreed: Agreement) -> Done | None:
    if not paths.CHAMPION.is_dir():
        return None
    if difference := agreed.lock.changed([paths.CHAMPION]):
        return agreed.skip("champion", difference)
    own, reported = paths.CHAMPION / "champion.json", paths.REPORTS / "champion.json"
    if reported.exists() and own.read_bytes() != reported.read_bytes():
        return agreed.skip("champion", f"{own} isn't {reported}", "dvc repro")
    try:
        return "created" if registry.register(agreed.store, agreed.params) else "unchanged"
    except Exception as error:
        if "MLFLOW_REGISTRY_URI" not in os.environ:
            raise
        print(
            f"warning: {registry.trouble(error)}; the champion is not registered there; unset it, or run `mnist-mlp "
            "track` once the registry answers", file=sys.stderr,
        )  # fmt: skip
        return None


def _tell(what: str, why: str, remedy: str) -> None:
    print(f"{what}: {why}; run `{remedy}`")
