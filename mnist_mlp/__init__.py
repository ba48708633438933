"""The library behind the pipeline's stages: configuration, data, networks, training, tracking, scoring, report."""


class UserError(Exception):
    """Something a person can mend: its text says what was found, where, what is allowed. A stage prints it, exits 1."""
