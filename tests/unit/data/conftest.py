"""A folder of its own for every test, and web servers that end with the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.helpers.sources import Answer, server


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a new folder, without the variables that change where sources are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("MNIST_DIR", "DVC_ROOT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, Answer]], str]]:
    """Return a function that starts a server of these routes and returns its address."""
    with ExitStack() as servers:
        yield lambda routes: servers.enter_context(server(routes))
