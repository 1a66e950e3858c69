"""How the CPU time of indexing is divided among its stages."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self
from unittest.mock import patch

import psutil

import core.indexing.item_loader
from core.engine import Engine
from core.indexing.batch_writer import BatchWriter


class Profile:
    """Counts the core time of each stage for the length of a `with` block.

    Core time is that of the stage's own thread; the model's also has helper threads, so its share is what this
    process took beyond the other stages. Unlike the time on the clock it does not depend on what else the machine
    does. `seconds` holds the sums.
    """

    def __init__(self, engine: Engine) -> None:
        self.seconds = defaultdict[str, float](float)
        self._engine = engine
        self._stack = ExitStack()
        self._server = _postmaster(engine)

    def __enter__(self) -> Self:
        for owner, method, stage in (
            (self._engine.fetcher, "fetch", "fetch"),
            (core.indexing.item_loader, "read_picture", "decode"),
            (self._engine.model_selection.loader.get(), "prepare", "prepare"),
            (BatchWriter, "write", "write"),
        ):
            timed = self._timed(stage, getattr(owner, method))
            self._stack.enter_context(patch.object(owner, method, timed))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> tuple[float, float, float]:
        """Begin to count what is not counted by stages; `stop` takes what this returns."""
        return time.process_time(), _cores(self._server), sum(self.seconds.values())

    def stop(self, begun: tuple[float, float, float]) -> None:
        """Add what was spent since `start`."""
        process, server, stages = begun
        rest = time.process_time() - process - (sum(self.seconds.values()) - stages)
        self.seconds["Postgres"] += _cores(self._server) - server
        self.seconds["the model, and the rest of this process"] += rest

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            begun = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[stage] += time.thread_time() - begun

        return timed


def _postmaster(engine: Engine) -> psutil.Process:
    pidfile = next(engine.settings.data_dir.rglob("postmaster.pid"))
    return psutil.Process(int(pidfile.read_text().splitlines()[0]))


def _cores(server: psutil.Process) -> float:
    """Seconds of core time of a server and all processes it ever had."""
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    ended = server.cpu_times()
    return sum(t.user + t.system for t in times) + ended.children_user + ended.children_system
