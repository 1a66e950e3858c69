"""Starts `python -m core …` as a process: with a new interpreter, or as a fork of one that has loaded everything."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]

_context = multiprocessing.get_context("forkserver")
_forks = False


def fork_from_now_on() -> None:
    """Make all further processes forks: for tests, which start the app and its workers some fifty times. To start and
    stop the app takes 16 CPU seconds, and 4 as a fork. Benchmarks do without, since users do."""
    global _forks
    _forks = True
    _context.set_forkserver_preload(["bench.support.preloaded"])


class Launched:
    """A running `python -m core`, in a session of its own, that appends what it prints to `log`.

    In a fork, the `constants` of modules (by their full names) are changed first. A process is no fork if it is to
    start `afresh`, or if its environment has settings of the hub's library, which reads them when it is imported.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        afresh: bool = False,
        constants: Mapping[str, object] | None = None,
    ) -> None:
        self._process: subprocess.Popen[bytes] | ForkServerProcess
        whole = {**os.environ, **environment}
        log.touch()
        if _forks and not afresh and not any(name.startswith("HF_") for name in environment):
            self._process = _context.Process(
                target=_run, args=(list(arguments), whole, log, dict(constants or {})), daemon=True
            )
            with _empty_main():
                self._process.start()
            return
        if constants:
            raise ValueError("Only a fork can have other constants.")
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "core", *arguments],
                cwd=ROOT,
                env=whole,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status; None while the process runs."""
        return self._process.poll() if isinstance(self._process, subprocess.Popen) else self._process.exitcode

    def wait(self, timeout: float) -> int:
        """The exit status. Raises TimeoutError when the process does not end in time."""
        if isinstance(self._process, subprocess.Popen):
            try:
                return self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                raise TimeoutError from None
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutError
        return self._process.exitcode

    def send(self, signal: int) -> None:
        """Send a signal, if the process still runs."""
        if self.status is None:
            os.kill(self.pid, signal)

    def kill(self) -> None:
        """End the process with -9, if it still runs."""
        self._process.kill()
        if isinstance(self._process, subprocess.Popen):
            self._process.wait()
        else:
            self._process.join()


@contextlib.contextmanager
def _empty_main() -> Iterator[None]:
    """Start processes without the `__main__` of this one, which a fork would run first: Streamlit's AppTest leaves
    a page there."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _run(arguments: list[str], environment: dict[str, str], log: Path, constants: dict[str, object]) -> None:
    """In a fork: do what `python -m core` does."""
    os.setsid()
    with log.open("ab") as out:
        os.dup2(out.fileno(), sys.stdout.fileno())
        os.dup2(out.fileno(), sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        found = vars(importlib.import_module(module))
        if constant not in found:
            raise AttributeError(name)
        found[constant] = value
    os.execv = _run_module  # type: ignore[assignment]  # `core run` becomes `python -m streamlit run …`
    _run_module(sys.executable, [sys.executable, "-m", "core", *arguments])


def _run_module(program: str, command: list[str]) -> None:
    """Do what `python -m MODULE ARGUMENT …` does, and end."""
    _, _, module, *arguments = command
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)
