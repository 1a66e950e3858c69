"""The inside of a reader process, which reads untrusted files, one at a time, for `core.media.isolation.pool`.

`python -m core.media.isolation.process SOCKET SHARED NICENESS`, with two descriptors. It ends when the socket does.
"""

from __future__ import annotations

import errno
import importlib
import logging
import math
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from core.errors import LookalikeError
from core.media.isolation.channel import CRASH, END, ERROR, ITEM, MEMORY, VALUE, Channel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """A function by its module and name, its arguments, and what it may use: bytes of memory, and seconds of CPU for
    each value. If it takes files, they are its argument `files`."""

    module: str
    name: str
    arguments: dict[str, Any]
    memory: int
    seconds: float


def serve(channel: Channel) -> None:
    """Answer calls until there are no more."""
    while True:
        try:
            _, call, _, descriptors = channel.receive()
        except (EOFError, OSError):
            return
        files = [os.fdopen(descriptor, "rb") for descriptor in descriptors]
        try:
            _answer(channel, call, files)
        finally:
            for file in files:
                file.close()


def _answer(channel: Channel, call: Call, files: list[Any]) -> None:
    try:
        function = getattr(importlib.import_module(call.module), call.name)
        _limit_memory(call.memory)
        _limit_seconds(call.seconds)
        found = function(**call.arguments, **({"files": files} if files else {}))
        if not isinstance(found, Iterator):
            channel.send(VALUE, found, memory_used())
            return
        for item in found:
            channel.send(ITEM, item, memory_used())
            channel.receive()
            _limit_seconds(call.seconds)
        channel.send(END, None, memory_used())
    except LookalikeError as error:
        _report(channel, ERROR, error)
    except Exception as error:
        out_of_memory = isinstance(error, MemoryError) or getattr(error, "errno", None) in (errno.ENOMEM, errno.EFBIG)
        if not out_of_memory:
            logger.exception("call %s", call.name)
        _report(channel, MEMORY if out_of_memory else CRASH, None)


def _report(channel: Channel, kind: int, value: Any) -> None:
    with suppress(OSError, ValueError):  # what was forbidden may now be needed to tell of it
        for limit in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE):
            resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    channel.send(kind, value, memory_used())


def _limit_memory(extra: int) -> None:
    """Let the process grow by so many bytes. macOS does not keep to it."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (_pages(0) + extra, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (extra, resource.RLIM_INFINITY))


def _limit_seconds(extra: float) -> None:
    """Have the process killed when it has computed for so many seconds more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = math.ceil(used.ru_utime + used.ru_stime + extra)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def memory_used() -> int:
    """The process's memory in bytes."""
    return _pages(1)


def _pages(column: int) -> int:
    """A column of Linux's statm in bytes: 0 for the addresses in use, 1 for the memory."""
    try:
        file = os.open("/proc/self/statm", os.O_RDONLY)
        try:
            return int(os.read(file, 200).split()[column]) * resource.getpagesize()
        finally:
            os.close(file)
    except OSError:
        import psutil

        memory = psutil.Process().memory_info()
        return int(memory.vms if column == 0 else memory.rss)


def main(arguments: list[str]) -> None:
    """Serve, at that niceness. A terminal's Ctrl+C is for the app."""
    descriptor, shared, niceness = map(int, arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the app closes the socket, once it needs no more
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(niceness)
    importlib.import_module("core.media.decode")
    importlib.import_module("scipy.fftpack")  # for perceptual hashes
    serve(Channel(socket.socket(fileno=descriptor), shared))
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
