"""Sources of a data set: a folder, and a web server that serves, lies, stalls or vanishes."""

import gzip
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mnist_mlp import config
from mnist_mlp.config.choices import IDX_FILES
from tests.helpers.images import idx_files
from tests.helpers.variants import short_params

FIRST = IDX_FILES[0]
HTML = b"<!DOCTYPE html><title>Log in to the hotel's network</title>"
TINY = idx_files()  # the smallest data set allowed
PLAIN = {f"/{name}": data for name, data in TINY.items()}
ZIPPED = {f"/{name}.gz": gzip.compress(data) for name, data in TINY.items()}

Handler = BaseHTTPRequestHandler
Answer = bytes | int | Callable[[Handler], Any]  # a body, an HTTP status, or what to do with the handler
BASE = short_params()


def described(contents: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Return the size and digest of each file, as params.yaml holds them."""
    return {name: {"bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for name, d in contents.items()}


def write_params(*sources: str, dataset: str = "mnist", contents: dict[str, bytes] = TINY) -> config.Params:
    """Write ./params.yaml with these sources of a data set `mnist` that holds these files, and return its content."""
    entry = {"sources": list(sources), "files": described(contents)}
    Path("params.yaml").write_text(json.dumps(BASE | {"dataset": dataset, "datasets": {"mnist": entry}}))
    return config.load()


def write_folder(folder: str, contents: dict[str, bytes]) -> str:
    """Write these files into a new folder, and return the folder."""
    Path(folder).mkdir()
    for name, data in contents.items():
        Path(folder, name.removeprefix("/")).write_bytes(data)
    return folder


@contextmanager
def server(routes: dict[str, Answer]) -> Iterator[str]:
    """Serve these paths on a free port, and yield the address. The path `*` stands for all others."""

    class RouteHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = routes.get(self.path, routes.get("*", 404))
            with suppress(OSError):  # the client left
                if callable(answer):
                    answer(self)
                    return
                status, body = (answer, HTML) if isinstance(answer, int) else (200, answer)
                begin(self, ("Content-Length", str(len(body))), status=status)
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), RouteHandler)
    web.daemon_threads = True
    threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{web.server_port}"
    finally:
        web.shutdown()
        web.server_close()


def closed_address() -> str:
    """Return an address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def begin(handler: Handler, *headers: tuple[str, str], status: int = 200) -> None:
    """Send a status and headers."""
    handler.send_response(status)
    for header in headers:
        handler.send_header(*header)
    handler.end_headers()


def redirect(handler: Handler, address: str) -> None:
    """Send the client to another address."""
    begin(handler, ("Location", address), ("Content-Length", "0"), status=302)


def redirect_in_circles(handler: Handler) -> None:
    """Send the client to the address that it asked for."""
    redirect(handler, handler.path)


def send_without_end(handler: Handler) -> None:
    """Send zeros as long as the client takes them."""
    begin(handler)
    while True:
        handler.wfile.write(bytes(2**16))


def drip_body(handler: Handler) -> None:
    """Send a body byte by byte, without end."""
    begin(handler)
    while True:
        handler.wfile.write(b"\0")
        time.sleep(0.02)


def drip_headers(handler: Handler) -> None:
    """Send one header after another, without end."""
    handler.send_response(200)
    while True:
        handler.send_header("X-Still", "here")
        handler.flush_headers()
        time.sleep(0.02)


def stall(handler: Handler, seconds: float = 1) -> None:
    """Send the first bytes of a body, then nothing."""
    begin(handler, ("Content-Length", "1000"))
    handler.wfile.write(b"\0\0\x08\x03")
    time.sleep(seconds)
