"""`mnist-mlp ui` and the ports of other programs."""

import os
import pty
import re
import socket
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from mnist_mlp.commands import ui
from mnist_mlp.tracking import store
from tests.helpers.params import ROOT
from tests.helpers.project import processes
from tests.helpers.servers import NEEDS_POSTGRESQL, PASSWORD, postgresql


class Answer(BaseHTTPRequestHandler):
    """Answer every request, as another `mnist-mlp ui` would."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_another_program_at_the_port_is_not_taken_for_the_ui():
    """Two `mnist-mlp ui` at once choose the same port: the second must not print links to the first one's runs."""
    with ThreadingHTTPServer((ui.HOST, 0), Answer) as other:
        threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"]) as server:
            assert not ui._answers(server, other.server_port)
        other.shutdown()


def test_a_taken_port_gives_way_to_another():
    with socket.socket() as taken:
        taken.bind((ui.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert ui._free_port(port) not in (port, 0)
    assert ui._free_port(port) == port


def test_an_experiment_that_comes_meanwhile_is_tracked_once(monkeypatch):
    seen, tracked = [[], [], ["cached-mole"], ["cached-mole"]], []
    server = Mock(poll=lambda: None if seen else 0)
    monkeypatch.setattr(ui, "INTERVAL", 0)
    monkeypatch.setattr(ui.experiments, "finished", lambda: seen.pop(0))
    monkeypatch.setattr(ui.track, "main", lambda: tracked.append(len(seen)))
    ui._follow(server)
    assert tracked == [1]


def test_a_charts_axis_begins_where_the_current_runs_differ(tracked_checkout):
    for name, accuracy in (("a", 0.96), ("b", 0.98), ("c", 0.5)):
        opened = store.open_store()
        run = opened.start(name, {"kind": "variant", "study": "any", "variant": name})
        opened.log(run, [("val_accuracy", 1, accuracy, 0), ("val_loss", 1, 0.1, 0)])
        opened.end(run, "FINISHED")
        opened.mark(run)
    assert ui._ranges(opened) == {"val_accuracy": {"yMin": 0.9, "yMax": 0.99}}  # the losses are one


class Terminal:
    """`mnist-mlp ui` in a terminal of its own, until it says that it serves, or ends."""

    def __init__(self, **environment: str):
        pid, self.file = pty.fork()
        if not pid:
            os.execve(
                sys.executable, [sys.executable, "-m", "mnist_mlp", "ui"],
                os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            )  # fmt: skip
        self.process, self.output = psutil.Process(pid), ""
        while "Ctrl-C" not in self.output and (read := self._read()):
            self.output += read

    def _read(self) -> str:
        try:
            return os.read(self.file, 1000).decode(errors="replace")
        except OSError:  # it has ended
            return ""

    def close(self) -> None:
        """Close it, as its window's button does."""
        os.close(self.file)
        assert self.process.wait(timeout=60) == 0


@pytest.mark.slow
def test_closing_the_terminal_ends_mlflows_server(tracked_checkout):
    terminal = Terminal()
    assert "Ctrl-C" in terminal.output
    assert len(processes(tracked_checkout)) > 2
    terminal.close()
    assert [process.pid for process in processes(tracked_checkout)] == [os.getpid()]


@pytest.mark.slow
@NEEDS_POSTGRESQL
def test_a_databases_runs_are_served_and_its_password_is_not_shown(checkout):
    with postgresql() as address:
        terminal = Terminal(MLFLOW_TRACKING_URI=address)
        page = re.search(r"http://[^/]+", terminal.output)
        assert page, terminal.output
        with urllib.request.urlopen(f"{page[0]}/health", timeout=30) as answer:
            assert answer.status == 200
        words = [word for process in processes(Path.cwd()) for word in process.cmdline()]
        terminal.close()
    assert PASSWORD not in " ".join([terminal.output, *words])
