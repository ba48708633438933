"""Open MLflow's UI on the pipeline's runs: `python -m stages.ui`, or `make ui`. No stage; Ctrl-C ends it.

Makes the store agree with the outputs first, as `python -m stages.track` does.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from mnist_mlp import UserError, store
from stages import run, track

HOST, PORT = "127.0.0.1", 5000
PATIENCE = 120  # seconds
VIEWS = {
    "all runs": "?workflowType=machine_learning",
    "their curves": "/runs?compareRunsMode=CHART&workflowType=machine_learning",
}


def main() -> None:
    track.main()
    opened = store.open_store()
    if not opened.local:
        _say(store.shown(store.uri()).rstrip("/"), opened.experiment)
        return
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", opened.address, "--host", HOST,
               "--port", str(port), "--workers", "1"]  # fmt: skip
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(
        command, cwd=opened.root, env=os.environ | settings, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _wait(server, f"http://{HOST}:{port}/health")
        _say(f"http://{HOST}:{port}", opened.experiment)
        print("Ctrl-C ends it", flush=True)
        server.wait()
    except KeyboardInterrupt:
        print()
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _say(address: str, experiment: str) -> None:
    for what, view in VIEWS.items():
        print(f"{what}: {address}/#/experiments/{experiment}{view}", flush=True)


def _free_port() -> int:
    """MLflow's usual port, or any other that is free."""
    for port in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise UserError(f"no free port on {HOST}; end another program that listens there")


def _wait(server: subprocess.Popen, address: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UserError("MLflow's UI did not start; `mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db` tells why")


if __name__ == "__main__":
    run(main)
