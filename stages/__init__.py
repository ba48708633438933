"""One short script per stage of the pipeline, run as `python -m stages.<stage>` from the project's top folder."""

import sys
from collections.abc import Callable

from mnist_mlp import UserError


def run(stage: Callable[[], None]) -> None:
    """Run a stage's `main`. What a person can mend ends it with one line a fault and exit status 1, no traceback."""
    try:
        stage()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"error: {error.filename or stage.__module__}: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted: nothing of this stage was recorded; run the same command to go on", file=sys.stderr)
        sys.exit(130)
