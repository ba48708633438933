"""What the terminal says, in a terminal and in a pipe."""

import os
import pty
from collections.abc import Callable
from contextlib import redirect_stdout

import pytest

from mnist_mlp.report import terminal

BOLD = "\033[1m"


@pytest.fixture
def shown(results, monkeypatch) -> Callable[..., list[str]]:
    """Return a function that returns the lines that a real terminal gets."""

    def lines(**environment: str) -> list[str]:
        monkeypatch.delenv("NO_COLOR", raising=False)
        for name, value in ({"TERM": "xterm"} | environment).items():
            monkeypatch.setenv(name, value)
        master, slave = pty.openpty()
        try:
            with open(slave, "w") as stream, redirect_stdout(stream):
                return terminal.lines(results)
        finally:
            os.close(master)

    return lines


def test_accuracy_and_place_are_bold_in_a_terminal(shown):
    assert [line.startswith(BOLD) for line in shown()[:3]] == [True, True, False]


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_colours_gets_none(shown, environment):
    assert BOLD not in "".join(shown(**environment))


def test_a_pipe_gets_no_colours(results, tmp_path):
    with (tmp_path / "pipe").open("w") as stream, redirect_stdout(stream):
        assert BOLD not in "".join(terminal.lines(results))
