"""The whole app as a process, as `make run` starts it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Mapping
from typing import Any, Self

import httpx2
import psutil

from bench.support.data import MODEL_SETTING
from bench.support.host import free_port, short_folder
from bench.support.launch import Launched

START_SECONDS = 90


class App:
    """A running Lookalike on a free port. `environment` holds its settings; its data go with the `with` block."""

    def __init__(
        self,
        until: str = "ok",
        *,
        afresh: bool = False,
        constants: Mapping[str, object] | None = None,
        **environment: str,
    ) -> None:
        """`until` is the health to wait for; an empty setting counts as unset. For the rest see `Launched`."""
        self._until = until
        self._afresh, self._constants = afresh, constants
        self._given = environment
        self._stack = contextlib.ExitStack()
        self._process: Launched | None = None

    def __enter__(self) -> Self:
        self.folder = self._stack.enter_context(short_folder())
        self.environment = {
            "DATA_DIR": str(self.folder / "data"),
            "CLIP_MODEL": MODEL_SETTING,
            "ALLOW_PRIVATE_URLS": "1",
            "PORT": str(free_port()),
            **self._given,
        }
        self.url = f"http://127.0.0.1:{self.environment['PORT']}"
        self.log = self.folder / "app.log"
        try:
            self.start(self._until)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._stack.close()

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        self._process = Launched(["run"], self.environment, self.log, afresh=self._afresh, constants=self._constants)

    def start(self, until: str = "ok") -> None:
        """Start it and wait until its health says `until`."""
        self.launch()
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.status is None:
            with contextlib.suppress(httpx2.HTTPError):
                if self.get("/api/health")["status"] == until:
                    return
            time.sleep(0.1)
        ended = self._process.status is not None
        self.kill()
        raise AssertionError(f"The app {'ended' if ended else f'is not {until}'}:\n{self.read_log()}")

    def stop(self) -> None:
        """End it as Ctrl+C does."""
        if self._process is not None:
            self._process.send(signal.SIGINT)
            try:
                self._process.wait(30)
            except TimeoutError:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End the app with -9; its embedded Postgres is a process of its own and stays."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def postgres(self) -> psutil.Process:
        """The embedded server's first process."""
        pidfile = next(self.folder.joinpath("data").rglob("postmaster.pid"))
        return psutil.Process(int(pidfile.read_text().splitlines()[0]))

    def read_log(self) -> str:
        """What it printed, the end of it."""
        return self.log.read_text(errors="replace")[-6000:]

    def raw(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        """The answer to a call."""
        return httpx2.request(method, self.url + path, timeout=120, **arguments)

    def get(self, path: str) -> Any:
        """The JSON that a GET answers."""
        return self.raw("GET", path).json()

    def post(self, path: str, **arguments: Any) -> Any:
        """The JSON that a POST answers."""
        return self.raw("POST", path, **arguments).json()
