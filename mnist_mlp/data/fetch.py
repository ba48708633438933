"""Fetch files from a folder or a web server, within limits of time and memory, checked by size and digest."""

import hashlib
import itertools
import os
import sys
import textwrap
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from mnist_mlp.config import DataFile

ANSWER, SILENCE, WHOLE = 10.0, 10.0, 600.0  # seconds: until a server answers, between two reads, for all files
REDIRECTS = 5
CHUNK = 2**16  # bytes read or decompressed at once
Chunks = Generator[bytes, None, None]


class SourceError(Exception):
    """Say in a few words why a source is of no use."""


class _MissingError(SourceError):
    """The source has no file of that name."""


class _DeadError(SourceError):
    """The source doesn't answer, so it is asked for no other name."""


def fetch(location: str, expected: dict[str, DataFile], folder: Path) -> None:
    """Write every expected file into `folder`, decompressed, all of them from one location.

    location: a folder or an http(s) address that holds the files, as they are or as .gz. expected: by name. A terminal
    shows how many bytes have come. Raises SourceError at the first file that isn't there, doesn't come in time, or
    isn't what is expected; `folder` may then hold earlier files and a part of that one."""
    read = _reader(location)
    deadline = time.monotonic() + WHOLE
    total = sum(file.bytes for file in expected.values())
    with tqdm(
        total=total, unit="B", unit_scale=True, leave=False, file=sys.stdout, disable=not sys.stdout.isatty()
    ) as bar:
        for name, file in expected.items():
            bar.set_description(name)
            try:
                _fetch_one(name, read, file, folder / name, deadline, bar)
            except SourceError as fault:
                raise SourceError(f"{name}: {fault}") from None


def _reader(location: str) -> Callable[[str], Chunks]:
    if location.startswith(("http://", "https://")):
        return lambda name: _served(f"{location.rstrip('/')}/{name}")
    # DVC's queued experiments run in a copy elsewhere: a relative folder means one beside the real checkout.
    folder = Path(os.environ.get("DVC_ROOT", ""), location)
    if not os.path.isdir(folder):
        raise SourceError("no such folder")
    return lambda name: _stored(folder / name)


def _fetch_one(
    name: str,
    read: Callable[[str], Chunks],
    expected: DataFile,
    target: Path,
    deadline: float,
    bar: "tqdm[Any]",
) -> None:
    faults = []
    for candidate in (f"{name}.gz", name):
        try:
            with closing(read(candidate)) as chunks:
                pieces = _decompressed(_bounded(chunks, 2 * expected.bytes + CHUNK, deadline))
                return _write(pieces, expected, target, bar)
        except _DeadError:
            raise
        except SourceError as fault:
            faults.append(fault)
    raise next((fault for fault in faults if not isinstance(fault, _MissingError)), faults[-1])


def _write(pieces: Iterator[bytes], expected: DataFile, target: Path, bar: "tqdm[Any]") -> None:
    size, digest = 0, hashlib.sha256()
    with target.open("wb") as file:
        for piece in pieces:
            size += len(piece)
            if size > expected.bytes:
                raise SourceError(f"more than the expected {expected.bytes:,} bytes")
            file.write(piece)
            digest.update(piece)
            bar.update(len(piece))
    if size < expected.bytes:
        raise SourceError(f"truncated: {size:,} of {expected.bytes:,} bytes")
    if digest.hexdigest() != expected.sha256:
        raise SourceError(f"other content: SHA-256 {digest.hexdigest()[:8]}..., expected {expected.sha256[:8]}...")


def _decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(chunks, b"")
    if first[:1] not in (b"\0", b"\x1f"):  # as IDX and gzip begin
        raise SourceError("not gzip and not an IDX file (an HTML page?)" if first else "empty")
    chunks = itertools.chain([first], chunks)
    if first[:1] == b"\0":
        yield from chunks
        return
    decoder = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        while chunk and not decoder.eof:
            try:
                yield decoder.decompress(chunk, CHUNK)
            except zlib.error as error:
                raise SourceError(f"damaged gzip ({error})") from None
            chunk = decoder.unconsumed_tail
    if not decoder.eof:
        raise SourceError("truncated gzip")


def _bounded(chunks: Iterator[bytes], limit: int, deadline: float) -> Iterator[bytes]:
    for chunk in chunks:
        limit -= len(chunk)
        if limit < 0:
            raise SourceError("far more bytes than expected")
        if time.monotonic() > deadline:
            raise _DeadError(f"not done within {WHOLE:g} s")
        yield chunk


def _stored(path: Path) -> Chunks:
    try:
        if not path.is_file():
            raise _MissingError("not there, nor as .gz")
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise SourceError(error.strerror) from None


def _served(url: str) -> Chunks:
    try:
        with closing(_within(ANSWER, lambda: _answer(url))) as response:
            status = response.status_code
            if status != 200:
                raise (_MissingError if status in (403, 404, 410) else SourceError)(f"HTTP {status}")
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                yield chunk
    except (OSError, HTTPError, ValueError) as error:
        raise _DeadError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    while inner := error.__cause__ or error.__context__:  # requests wraps what urllib3 wraps
        error = inner
    return textwrap.shorten(getattr(error, "strerror", None) or str(error) or type(error).__name__, 150)


class _Session(requests.Session):
    """A session that follows no redirects."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow no redirect: requests would first read its whole body, however long. _answer follows it."""


def _answer(url: str) -> requests.Response:
    session = _Session()
    for _ in range(REDIRECTS + 1):
        response = session.get(url, stream=True, timeout=(ANSWER, SILENCE), headers={"Accept-Encoding": "identity"})
        if not response.is_redirect:
            return response
        response.close()
        url = urljoin(response.url, response.headers["location"])
    raise _DeadError(f"more than {REDIRECTS} redirects")


def _within(seconds: float, call: Callable[[], requests.Response]) -> requests.Response:
    """Return what the call returns. Raises _DeadError after so many seconds.

    Requests has no limit for looking up a name, for trying all of its addresses, or for headers sent byte by byte."""
    future: Future[requests.Response] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        raise _DeadError(f"no answer within {seconds:g} s") from None
