"""Export and register the studies' best model: `python -m stages.champion`.

Reads reports/champion.json and the model that it names; writes models/champion. Trouble with MLflow is a line on the
standard error: `python -m stages.track` registers it later. In DVC's temporary copies it registers nothing, since an
experiment's champion is the checkout's only once it is applied.
"""

import os
import sys
from pathlib import Path

from mnist_mlp import champion, config, scoring, tracking
from mnist_mlp.store import open_store
from stages import run

CHAMPION = Path("reports/champion.json")
KEYS = ("study", "variant", "scaling", "seed", "val_accuracy", "test_accuracy", "model", "md5")


def main() -> None:
    params = config.load()
    best = scoring.read_json(CHAMPION, *KEYS)
    champion.export(best)
    who = f"{best['study']}/{best['variant']}, seed {best['seed']}"
    print(f"{champion.FOLDER}: {who}, test accuracy {best['test_accuracy']:.2%}")
    if Path(os.environ.get("DVC_ROOT", ".")).resolve() == Path.cwd():
        try:
            store = open_store()
            with store.lock():
                champion.register(store, params)
        except Exception as error:
            print(f"warning: {tracking.trouble(error)}; `python -m stages.track` registers it later", file=sys.stderr)


if __name__ == "__main__":
    run(main)
