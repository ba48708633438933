"""Relative artifact paths in a local store: a moved checkout still finds its figures and models.

MLflow turns every path into an absolute one when it makes an experiment, and has no call that takes a relative one. It
keeps a relative path that is there already, and new runs and models inherit it. So this file edits MLflow's tables by
SQL, once for a new experiment and once after a move. A test names the upgrade of MLflow that breaks this.
"""

import contextlib
import sqlite3
from pathlib import Path

PATIENCE = 60  # seconds to wait for another process that writes
STATEMENTS = (
    "UPDATE experiments SET artifact_location = :location WHERE experiment_id = :experiment",
    "UPDATE runs SET artifact_uri = :location || '/' || run_uuid || '/artifacts' WHERE experiment_id = :experiment",
    "UPDATE logged_models SET artifact_location = :location || '/models/' || model_id || '/artifacts' "
    "WHERE experiment_id = :experiment",
    "UPDATE model_versions SET storage_location = artifact_location FROM logged_models "
    "WHERE source = 'models:/' || model_id AND experiment_id = :experiment",
)


def relocate(database: Path, experiment: str, location: str) -> None:
    """Have all artifacts of an experiment lie below a location."""
    with contextlib.closing(sqlite3.connect(database, timeout=PATIENCE)) as connection, connection:
        for statement in STATEMENTS:
            connection.execute(statement, {"location": location, "experiment": experiment})
