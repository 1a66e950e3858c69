"""A worker as a process of its own, as `python -m core worker` starts it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.support.data import MODEL_SETTING
from bench.support.launch import Launched


class WorkerProcess:
    """A running worker. `environment` holds its settings; `name` is its contact, and so in its User-Agent. For the
    rest see `Launched`."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        afresh: bool = False,
        constants: Mapping[str, object] | None = None,
        **environment: str,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._environment = {
            "DATA_DIR": str(folder / "data"),
            "CLIP_MODEL": MODEL_SETTING,
            "ALLOW_PRIVATE_URLS": "1",
            "CONTACT": name,
            **environment,
        }
        self._afresh, self._constants = afresh, constants
        self._process: Launched | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait for nothing."""
        self._process = Launched(
            ["worker"], self._environment, self.log, afresh=self._afresh, constants=self._constants
        )

    def tell_to_stop(self) -> None:
        """Send it SIGTERM."""
        assert self._process is not None
        self._process.send(signal.SIGTERM)

    def wait(self, timeout: float) -> int:
        """Its exit status, when it ends in time."""
        assert self._process is not None
        return self._process.wait(timeout)

    def kill(self) -> None:
        """End it with -9, if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def read_log(self) -> str:
        """What it printed, the end of it."""
        return self.log.read_text(errors="replace")[-6000:]
