"""A real JupyterLab in a folder of its own, untouched by the settings, kernels and notebooks of whoever runs it."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """Where a running JupyterLab is: its address, its token, and the folder that it serves."""

    url: str
    token: str
    root: Path
    log: Path

    def link(self, path: str = "lab") -> str:
        """An address within the Lab, with the token that opens it."""
        return f"{self.url}/{path}?token={self.token}"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Starts a JupyterLab that keeps everything below `folder`, and ends it with its kernels afterwards."""
    root = folder / "notebooks"
    root.mkdir(parents=True)
    port, token, log = free_port(), secrets.token_hex(16), folder / "jupyterlab.log"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}", "--LabApp.extension_manager=readonly"),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            server = Server(f"http://127.0.0.1:{port}", token, root, log)
            _await(server, process)
            yield server
        finally:
            process.terminate()  # ends the kernels first
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(folder: Path) -> dict[str, str]:
    """The caller's environment without its Jupyter settings, and with one thread of arithmetic for each kernel."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON", "PYTEST"))}
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    return {
        **kept,
        **{name: str(folder / place) for name, place in places.items()},
        "JUPYTER_CONFIG_PATH": str(CHECKOUT / "scripts" / "jupyter"),  # what `make lab` uses: no news, no updates
        "JUPYTER_PLATFORM_DIRS": "1",
        "OMP_NUM_THREADS": "1",
    }


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await(server: Server, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Returns when the server answers; fails with its log when it ends or does not answer in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(server.link("api/status"), timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{server.log.read_text(errors='replace')[-4000:]}")
