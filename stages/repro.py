"""`dvc repro`, each stage in a fork of a process that has imported what stages import: `python -m stages.repro`.

The same stages to the same bytes and the same dvc.lock, seconds sooner each. Takes the arguments of `dvc repro`.
"""

import sys

from mnist_mlp import entries, forking


def main() -> int:
    forking.install(start=False)
    entries.install()
    from dvc.cli import main as dvc

    return dvc(["repro", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
