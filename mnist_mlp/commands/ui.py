"""Open MLflow's UI on the pipeline's runs; Ctrl-C ends it.

Makes the store agree with the outputs first, as `mnist-mlp track` does, and again once DVC's experiments change: one
that came from the cache trained nothing that could have logged it.
"""

import contextlib
import json
import os
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil

from mnist_mlp import config
from mnist_mlp.commands import track
from mnist_mlp.errors import UserError
from mnist_mlp.pipeline import experiments
from mnist_mlp.tracking import store

HOST, PORT = "127.0.0.1", 5000
PATIENCE = 120  # seconds
INTERVAL = 2.0  # seconds between looks at DVC's experiments
# What the links open: MLflow keeps such a view, when somebody shares one, in a tag of the experiment.
COLUMNS = [f"metrics.`{name}`" for name in ("test_accuracy", "test_loss")]
COLUMNS += [f"tags.`{name}`" for name in ("dataset", "changes", "layers")]
COLUMNS += [
    f"params.`{name}`"
    for name in ("activation", "optimizer", "scaling", "study", "learning_rate", "epochs", "batch_size")
]
SPREAD = 4  # how far a chart's axis goes: from the best run, in distances to the median one
CHARTS = [("LINE", name) for name in ("val_accuracy", "val_loss", "accuracy", "loss")] + [("BAR", "test_accuracy")]
VIEW: dict[str, Any] = {
    "orderByAsc": False,
    "startTime": "ALL", "lifecycleFilter": "Active", "modelVersionFilter": "All Runs", "datasetsFilter": [],
    "selectedColumns": COLUMNS, "columnOrder": COLUMNS, "runsHiddenMode": "SHOW_ALL", "autoRefreshEnabled": True,
    "compareRunCharts": [
        {"type": kind, "uuid": name, "metricKey": name, "selectedMetricKeys": [name], "metricSectionId": "chosen",
         "displayName": name, "displayPoints": False, "deleted": False, "isGenerated": False, "xAxisKey": "step",
         "xAxisScaleType": "linear", "scaleType": "linear", "yAxisKey": "metric", "yAxisExpressions": [],
         "range": {}, "lineSmoothness": 0, "useGlobalLineSmoothing": True, "useGlobalXaxisKey": True,
         "ignoreOutliers": False, "runsCountToCompare": 100}
        for kind, name in CHARTS
    ],
    "compareRunSections": [{"uuid": "chosen", "name": "Curves", "display": True, "isReordered": True, "columns": 2}],
    "isAccordionReordered": True,
}  # fmt: skip
BEST = {"orderByKey": "metrics.`test_accuracy`"}
VIEWS: dict[str, dict[str, Any]] = {
    "variants": VIEW | BEST | {"searchFilter": "tags.kind = 'variant' and tags.current = 'true'"},
    "training": VIEW | {"orderByKey": "attributes.start_time", "searchFilter": "attributes.status = 'RUNNING'"},
    "everything": VIEW | BEST | {"searchFilter": "tags.kind = 'variant'"},
}


def main() -> None:
    """Serve the UI until Ctrl-C. Raises UserError if it doesn't start."""
    config.load()  # what is wrong with it is told first
    print("MLflow starts; in a new clone it first writes every run, which takes a minute or two", flush=True)
    track.main()
    opened = store.open_store()
    if opened.address.startswith("http"):
        _say(store.shown(store.uri()).rstrip("/"), opened)
        return
    for number in (signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal is closed
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        for wanted in (PORT, 0):  # again, where another program took the port while the server started
            port = _free_port(wanted)
            with _server(opened, port) as server:
                if _answers(server, port):
                    _say(f"http://{HOST}:{port}", opened)
                    print("Ctrl-C ends it", flush=True)
                    _follow(server)
                    return
        address = shlex.quote(store.shown(opened.address if opened.local else store.uri()))
        raise UserError(f"MLflow's UI did not start; `mlflow ui --backend-store-uri {address}` tells why")
    print()


def _say(address: str, opened: store.Store) -> None:
    client, page = opened.client, f"{address}/#/experiments/{opened.experiment}/runs"
    known = client.get_experiment(opened.experiment).tags
    ranges = _ranges(opened)
    for view, state in VIEWS.items():
        if view != "training":
            drawn = [chart | {"range": ranges.get(chart["metricKey"], {})} for chart in VIEW["compareRunCharts"]]
            state = state | {"compareRunCharts": drawn}
        tag, text = f"mlflow.sharedViewState.{view}", json.dumps(state)
        if known.get(tag) != text:
            client.set_experiment_tag(opened.experiment, tag, text)
    link = f"{page}?{{}}viewStateShareKey={{}}&workflowType=machine_learning"
    charts = "compareRunsMode=CHART&"
    print(f"all variants, the best first: {link.format('', 'variants')}")
    print(f"their curves: {link.format(charts, 'variants')}")
    print(f"what trains now: {link.format(charts, 'training')}")
    print(f"older runs too: {link.format('', 'everything')}")
    for found in opened.find(kind="comparison", **store.CURRENT):
        print(f"the comparison: {page}/{found.info.run_id}/artifacts/comparison.html?workflowType=machine_learning")


def _ranges(opened: store.Store) -> dict[str, dict[str, float]]:
    """Return the y axis of each line chart, by metric: where the current runs differ, not where they began."""
    ranges: dict[str, dict[str, float]] = {}
    runs = opened.find(kind="variant", **store.CURRENT)
    for kind, name in CHARTS:
        values = [run.data.metrics[name] for run in runs if name in run.data.metrics]
        if kind == "LINE" and values:
            best = max(values) if name.endswith("accuracy") else min(values)
            distance = statistics.median(values) - best  # below 0 for accuracies
            ends = sorted((best + SPREAD * distance, best - distance / 2))
            if distance:
                ranges[name] = {"yMin": round(max(ends[0], 0), 4), "yMax": round(ends[1], 4)}
    return ranges


@contextlib.contextmanager
def _server(opened: store.Store, port: int) -> Iterator[subprocess.Popen]:
    """Run MLflow's server until the block ends. No list of processes shows the store's address and password."""
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port), "--workers", "1"]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    settings |= {"MLFLOW_BACKEND_STORE_URI": opened.address}
    server = subprocess.Popen(
        command, cwd=opened.root, env=os.environ | settings, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _follow(server: subprocess.Popen) -> None:
    """Track DVC's experiments as they change, until the server ends. Faults are told by the next `mnist-mlp track`."""
    known = experiments.finished()
    while server.poll() is None:
        time.sleep(INTERVAL)
        if (found := experiments.finished()) != known:
            known = found
            with open(os.devnull, "w") as silent, contextlib.redirect_stdout(silent), contextlib.suppress(UserError):
                track.main()


def _free_port(wanted: int) -> int:
    """Return the wanted port, or any other if it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise UserError(f"no free port on {HOST}; end another program that listens there")


def _answers(server: subprocess.Popen, port: int) -> bool:
    """Wait until this server answers at the port. Returns whether it does, and no other program."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5).close()
            if _listens(server, port):
                return True
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.2)
    return False


def _listens(server: subprocess.Popen, port: int) -> bool:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(server.pid)
        return any(
            found.status == psutil.CONN_LISTEN and found.laddr.port == port
            for one in (process, *process.children(recursive=True))
            for found in one.net_connections("tcp")
        )
    return False
