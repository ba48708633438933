"""The error that a person can mend, and its words."""


class UserError(Exception):
    """Tell a person in one line per fault: what was found, where, what is allowed, what to type next.

    Stages and commands print the lines and exit with status 1."""


def printable(text: str) -> str:
    """Return a text on one line, whatever characters a name in it holds."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
