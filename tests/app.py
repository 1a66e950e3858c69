"""The whole app as a process, as `make run` starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
import psutil

from tests.data import MODEL_SETTING

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 90


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class App:
    """A running Lookalike on a free port. `environment` holds its settings."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {
            "DATA_DIR": str(folder / "data"),
            "CLIP_MODEL": MODEL_SETTING,
            "ALLOW_PRIVATE_URLS": "1",
            "PORT": str(free_port()),
            **environment,
        }
        self.url = f"http://127.0.0.1:{self.environment['PORT']}"
        self.log = folder / "app.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> App:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, until: str = "ok") -> None:
        """Start it and wait until its health says `until`; "" waits for any answer."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "core", "run"],
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"The app ended:\n{self.read_log()}"
            with contextlib.suppress(httpx2.HTTPError):
                status = self.get("/api/health")["status"]
                if until in ("", status):
                    return
            time.sleep(0.1)
        raise AssertionError(f"The app did not become {until!r}:\n{self.read_log()}")

    def stop(self) -> None:
        """End it as Ctrl+C does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End the app with -9; its embedded Postgres is a process of its own and stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def postgres(self) -> psutil.Process:
        """The embedded server's first process."""
        pidfile = next(self.folder.joinpath("data").rglob("postmaster.pid"))
        return psutil.Process(int(pidfile.read_text().splitlines()[0]))

    def read_log(self) -> str:
        """What it printed, the end of it."""
        return self.log.read_text(errors="replace")[-6000:]

    def get(self, path: str) -> Any:
        """The JSON that a GET answers."""
        return httpx2.get(self.url + path, timeout=30).json()

    def post(self, path: str, **arguments: Any) -> Any:
        """The JSON that a POST answers."""
        return httpx2.post(self.url + path, timeout=120, **arguments).json()
