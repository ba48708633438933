"""Files fetched from sources that serve, lie, stall or vanish."""

import gzip
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from mnist_mlp.config import DataFile
from mnist_mlp.data import fetch
from tests.helpers.images import idx_files
from tests.helpers.sources import (
    FIRST,
    HTML,
    PLAIN,
    TINY,
    ZIPPED,
    begin,
    described,
    drip_body,
    drip_headers,
    redirect,
    redirect_in_circles,
    send_without_end,
    stall,
    write_folder,
)

EXPECTED = {name: DataFile(**entry) for name, entry in described(TINY).items()}


def fetched(location: str) -> dict[str, bytes]:
    """Return the files that are fetched from a location."""
    Path("out").mkdir(exist_ok=True)
    fetch.fetch(location, EXPECTED, Path("out"))
    return {path.name: path.read_bytes() for path in Path("out").iterdir()}


CONTENTS = {"plain": PLAIN, "gz": ZIPPED, "both": PLAIN | ZIPPED,
            "mixed": dict([*PLAIN.items()][:2] + [*ZIPPED.items()][2:])}  # fmt: skip


@pytest.mark.parametrize("contents", CONTENTS.values(), ids=CONTENTS)
def test_plain_and_gz_files_are_fetched_from_servers(serve, contents):
    assert fetched(serve(contents) + "/") == TINY


@pytest.mark.parametrize("contents", CONTENTS.values(), ids=CONTENTS)
def test_plain_and_gz_files_are_fetched_from_folders(contents):
    assert fetched(write_folder("folder", contents)) == TINY


def test_relative_folders_lie_beside_the_real_checkout(monkeypatch, tmp_path):
    write_folder("folder", PLAIN)
    Path("copy").mkdir()
    monkeypatch.chdir("copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert fetched("folder") == TINY


def test_a_gz_file_that_the_server_calls_gzip_encoded_is_fetched(serve):
    def encoded(handler):
        body = ZIPPED[handler.path]
        begin(handler, ("Content-Encoding", "gzip"), ("Content-Length", str(len(body))))
        handler.wfile.write(body)

    assert fetched(serve(dict.fromkeys(ZIPPED, encoded))) == TINY


def test_redirects_are_followed_without_reading_their_bodies(serve):
    target = serve(ZIPPED)

    def moved(handler):
        begin(handler, ("Location", target + handler.path), status=302)
        while True:
            handler.wfile.write(HTML)

    assert fetched(serve({"*": moved})) == TINY


FAULTS = {
    "other images": (idx_files(seed=1)[FIRST], "other content: SHA-256"),
    "other images as gz": (gzip.compress(idx_files(seed=1)[FIRST]), "other content: SHA-256"),
    "a byte short": (TINY[FIRST][:-1], "truncated: 78,415 of 78,416 bytes"),
    "a byte long": (TINY[FIRST] + b"\0", "more than the expected 78,416 bytes"),
    "gzip a byte short": (gzip.compress(TINY[FIRST])[:-1], "truncated gzip"),
    "half a gzip": (gzip.compress(TINY[FIRST])[:30000], "truncated gzip"),
    "no gzip after its header": (gzip.compress(b"")[:10] + b"\xff" * 100, "damaged gzip"),
    "a gzip name without end": (
        b"\x1f\x8b\x08\x08" + bytes([0, 0, 0, 0, 0, 0]) + b"name" * 100_000,
        "far more bytes than expected",
    ),
    "a login page": (HTML, "not gzip and not an IDX file (an HTML page?)"),
    "a pickle": (b"\x80\x04\x95" + b"pickled" * 9, "not gzip and not an IDX file"),
    "nothing": (b"", "empty"),
    "404": (404, "HTTP 404"),
    "503": (503, "HTTP 503"),
    "206": (lambda handler: begin(handler, status=206), "HTTP 206"),
    "redirects in circles": (redirect_in_circles, "more than 5 redirects"),
    "a redirect to a file": (lambda handler: redirect(handler, "file:///etc/passwd"), "No connection adapters"),
    "no HTTP": (lambda handler: handler.wfile.write(b"SSH-2.0-server\r\n"), "SSH-2.0-server"),
    "a body that breaks off": (
        lambda handler: (begin(handler, ("Content-Length", "9")), handler.wfile.write(b"\0")),
        "IncompleteRead",
    ),
    "a body without end": (send_without_end, "more than the expected 78,416 bytes"),
}


@pytest.mark.parametrize(("answer", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_useless_source_is_refused_with_its_reason(serve, answer, reason):
    with pytest.raises(fetch.SourceError) as error:
        fetched(serve(ZIPPED | {f"/{FIRST}.gz": answer}))
    assert str(error.value).startswith(f"{FIRST}: ") and reason in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("answer", "limit", "reason"),
    [
        (stall, "SILENCE", "timed out"),
        (lambda handler: time.sleep(1), "ANSWER", "no answer within 0.2 s"),
        (drip_headers, "ANSWER", "no answer within 0.2 s"),
        (drip_body, "WHOLE", "not done within 0.2 s"),
    ],
    ids=["stalls", "never answers", "drips headers", "drips a body"],
)
def test_a_slow_source_is_left_soon(serve, monkeypatch, answer, limit, reason):
    monkeypatch.setattr(fetch, limit, 0.2)
    start = time.monotonic()
    with pytest.raises(fetch.SourceError, match=reason):
        fetched(serve({"*": answer}))
    assert time.monotonic() - start < 0.8


def test_a_bomb_of_gzip_is_stopped_at_the_expected_size(serve):
    address = serve({f"/{FIRST}.gz": gzip.compress(bytes(50_000_000))})
    tracemalloc.start()
    with pytest.raises(fetch.SourceError, match="more than the expected"):
        fetched(address)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert Path("out", FIRST).stat().st_size <= EXPECTED[FIRST].bytes + fetch.CHUNK
    assert peak < 5_000_000


def test_a_sound_plain_file_beside_a_damaged_gz_is_fetched():
    assert fetched(write_folder("folder", PLAIN | {f"/{FIRST}.gz": b"\x1f\x8bnonsense"})) == TINY


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / FIRST)
    with pytest.raises(fetch.SourceError, match="not there"):
        fetched(str(tmp_path))
