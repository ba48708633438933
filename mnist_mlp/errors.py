"""The error that a person can mend."""


class UserError(Exception):
    """Tell a person in one line per fault: what was found, where, what is allowed, what to type next.

    Stages and commands print the lines and exit with status 1."""
