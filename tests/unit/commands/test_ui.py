"""`mnist-mlp ui` and the ports of other programs."""

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mnist_mlp.commands import ui


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
