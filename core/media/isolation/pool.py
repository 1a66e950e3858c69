"""Untrusted files are read in processes of their own, with limits on memory and time: what starves or crashes one of
them harms nobody else.

It is a wall against starvation, not against code: a reader process runs as the same user.
"""

from __future__ import annotations

import atexit
import logging
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.errors import LookalikeError, PictureError, PictureTooLargeError
from core.media.decode import WORKING_SIDE, PackedPicture, Picture, unpacked
from core.media.isolation.channel import CALL, END, ERROR, ITEM, MAX_FILES, MEMORY, VALUE, Channel, shared_file
from core.media.isolation.process import Call
from core.process import memory_limit
from core.settings import Settings

logger = logging.getLogger(__name__)

CORES = os.cpu_count() or 1

GROWN = 300_000_000
"""Bytes of memory by which a process may have grown for it to be used again: to start one takes 0.4 s of CPU."""

IDLE_SECONDS = 30.0
"""How long a process waits for the next file."""

LIST_FACTOR = 6
"""A list or a table may take so many times as long as a picture: it may have hundreds of thousands of rows."""

PATIENCE = 3.0
"""Seconds on the clock for each second of CPU, plus ten: a process that is stopped, or waits, is killed then."""

ROOT = Path(__file__).resolve().parents[3]

_ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "4194304",  # pixels go back to the system at once
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""All that the processes are told; none of the app's secrets."""


@dataclass(frozen=True)
class Lane:
    """Who shares processes: how many there may be, and how nice they are to others on the same core."""

    name: str
    processes: int
    niceness: int


QUERIES = Lane("queries", min(4, max(2, CORES)), 5)
IMPORTS = Lane("imports", min(16, max(1, CORES // 2)), 10)
LISTS = Lane("lists", min(2, max(1, CORES // 2)), 5)
"""People's queries, pictures of imports, and lists, tables and ZIPs: none of them waits for another."""


def reader_bytes(settings: Settings) -> int:
    """The memory in bytes that reading one file may take."""
    if settings.reader_mb is not None:
        return int(settings.reader_mb * 1_000_000)
    return min(2_048_000_000, max(512_000_000, memory_limit() // 8))


@dataclass(frozen=True)
class Subject:
    """What is read, as the first words of a sentence, and the errors to raise when it is too much, or cannot be."""

    words: str
    too_long: type[LookalikeError]
    broken: type[LookalikeError]
    too_much: type[LookalikeError] | None = None


class _TookTooMuch(PictureTooLargeError):
    """A picture took more memory than it was given."""


PICTURE = Subject("This picture", PictureTooLargeError, PictureError, _TookTooMuch)

SMALL = 256_000_000
"""Bytes of memory that are enough for nearly all pictures. Those that take more are read one at a time in a lane."""

_large = {lane: threading.Lock() for lane in (QUERIES, IMPORTS, LISTS)}


def read_picture(data: bytes, settings: Settings, lane: Lane, *, side: int = WORKING_SIDE) -> Picture:
    """`core.media.decode.read_picture`, in a reader process, within the limits of the settings. Raises PictureError
    with a sentence (PictureTooLargeError, a subclass, when a limit is exceeded)."""
    limit = reader_bytes(settings)
    try:
        return _read_within(min(SMALL, limit), data, settings, lane, side)
    except _TookTooMuch as error:
        if limit <= SMALL:
            raise PictureTooLargeError(str(error)) from None
    try:
        with _large[lane]:
            return _read_within(limit, data, settings, lane, side)
    except _TookTooMuch as error:
        raise PictureTooLargeError(str(error)) from None


def _read_within(memory: int, data: bytes, settings: Settings, lane: Lane, side: int) -> Picture:
    arguments = {
        "data": pickle.PickleBuffer(data),
        "max_bytes": settings.max_file_bytes,
        "max_pixels": settings.max_pixels,
        "max_memory": memory,
        "side": side,
    }
    request = Call("core.media.decode", "read_packed", arguments, memory, settings.reader_seconds)
    with _pool.process(lane) as process:
        _, packed = process.ask(request, (), PICTURE)
    assert isinstance(packed, PackedPicture)
    return unpacked(packed)


def call(
    module: str,
    name: str,
    arguments: Mapping[str, Any],
    settings: Settings,
    lane: Lane,
    subject: Subject,
    files: Sequence[IO[bytes]] = (),
) -> Any:
    """The value of a function in a reader process. Raises its LookalikeErrors, and those of `subject`.

    `files` are copied to disk first, unless they are there, and are the function's argument `files`.
    """
    with _opened(files) as descriptors, _pool.process(lane) as process:
        kind, value = process.ask(_call_of(module, name, arguments, settings, lane), descriptors, subject)
        if kind != VALUE:
            raise RuntimeError(f"{name} returns an iterator: use `stream`.")
        return value


def stream(
    module: str,
    name: str,
    arguments: Mapping[str, Any],
    settings: Settings,
    lane: Lane,
    subject: Subject,
    files: Sequence[IO[bytes]] = (),
) -> Iterator[Any]:
    """The values of a generator in a reader process, each asked for when it is needed. Raises as `call` does."""
    with _opened(files) as descriptors, _pool.process(lane) as process:
        request = _call_of(module, name, arguments, settings, lane)
        kind, value = process.ask(request, descriptors, subject)
        while kind == ITEM:
            yield value
            kind, value = process.ask(request, (), subject)


def _call_of(module: str, name: str, arguments: Mapping[str, Any], settings: Settings, lane: Lane) -> Call:
    seconds = settings.reader_seconds * (LIST_FACTOR if lane is LISTS else 1)
    return Call(module, name, dict(arguments), reader_bytes(settings), seconds)


@contextmanager
def _opened(files: Sequence[IO[bytes]]) -> Iterator[list[int]]:
    """Descriptors of files, each of its own position, at the start. Those in memory are copied to disk."""
    if len(files) > MAX_FILES:
        raise ValueError(f"at most {MAX_FILES} files")
    opened = list[IO[bytes]]()
    try:
        for file in files:
            name = getattr(file, "name", None)
            if isinstance(name, str | int) and hasattr(file, "fileno") and _is_on_disk(file):
                opened.append(Path(f"/dev/fd/{file.fileno()}").open("rb"))  # noqa: SIM115
                continue
            copy = tempfile.TemporaryFile()  # noqa: SIM115  closed below
            opened.append(copy)
            file.seek(0)
            shutil.copyfileobj(file, copy, 1 << 20)
            copy.flush()
            copy.seek(0)
        yield [file.fileno() for file in opened]
    finally:
        for file in opened:
            file.close()


def _is_on_disk(file: IO[bytes]) -> bool:
    try:
        return os.fstat(file.fileno()).st_size >= 0
    except (OSError, ValueError):
        return False


class _Process:
    """A reader process."""

    def __init__(self, lane: Lane) -> None:
        ours, theirs = socket.socketpair()
        shared = shared_file()
        self._channel = Channel(ours, shared)
        self._base: int | None = None
        self.idle_since = 0.0
        self.reusable = True
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with theirs:
            arguments = map(str, (theirs.fileno(), shared, lane.niceness))
            self._child = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "core.media.isolation.process", *arguments],
                pass_fds=(theirs.fileno(), shared),
                env=kept | _ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
            )

    def ask(self, request: Call, files: Sequence[int], subject: Subject) -> tuple[int, Any]:
        """A reply: VALUE, ITEM or END, and the value. Raises the errors of the function and of `subject`."""
        self._channel.connection.settimeout(PATIENCE * request.seconds + 10)
        self.reusable = False  # until it has answered
        try:
            self._channel.send(CALL, request, files=files)
            kind, value, memory, _ = self._channel.receive()
        except TimeoutError:
            raise _took_too_long(subject, request) from None
        except (EOFError, OSError):
            raise self._cause_of_death(subject, request) from None
        self._base = self._base or memory
        self.reusable = kind in (VALUE, END, ERROR) and memory < self._base + GROWN
        if kind == ERROR:
            raise value
        if kind == MEMORY:
            raise _took_too_much(subject, request)
        if kind not in (VALUE, ITEM, END):
            raise subject.broken(f"{subject.words} is damaged and cannot be read. Save or download it again.")
        return kind, value

    def _cause_of_death(self, subject: Subject, request: Call) -> LookalikeError:
        try:
            status = self._child.wait(5)
        except subprocess.TimeoutExpired:
            status = 0
        logger.warning("A reader process ended by signal %d.", -status)
        if status == -signal.SIGXCPU:
            return _took_too_long(subject, request)
        if status in (-signal.SIGKILL, -signal.SIGABRT):  # the system, or Rust, had no memory left
            return _took_too_much(subject, request)
        return subject.broken(f"{subject.words} is damaged and cannot be read. Save or download it again.")

    def close(self) -> None:
        """End the process."""
        self._channel.close()
        self._child.kill()
        self._child.wait()


def _took_too_long(subject: Subject, request: Call) -> LookalikeError:
    return subject.too_long(
        f"{subject.words} takes more than {request.seconds:g} seconds to read, the limit that READER_SECONDS sets. "
        "Save it again in a simpler form."
    )


def _took_too_much(subject: Subject, request: Call) -> LookalikeError:
    return (subject.too_much or subject.too_long)(
        f"{subject.words} takes more than {request.memory / 1e6:,.0f} MB of memory to read, "
        "the limit that READER_MB sets. Make it smaller."
    )


class _Pool:
    """The reader processes of this process, started when they are needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._room = {lane: threading.Semaphore(lane.processes) for lane in (QUERIES, IMPORTS, LISTS)}
        self._idle: dict[Lane, list[_Process]] = {lane: [] for lane in self._room}
        self._keeper: threading.Thread | None = None

    @contextmanager
    def process(self, lane: Lane) -> Iterator[_Process]:
        """A process of a lane, once one is free; it is used again only if what it was asked went well."""
        with self._room[lane]:
            with self._lock:
                process = self._idle[lane].pop() if self._idle[lane] else None
            process = process or _Process(lane)
            try:
                yield process
            finally:
                if process.reusable:
                    self._put(lane, process)
                else:
                    process.close()

    def _put(self, lane: Lane, process: _Process) -> None:
        process.idle_since = time.monotonic()
        with self._lock:
            self._idle[lane].append(process)
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._end_idle, name="readers", daemon=True)
                self._keeper.start()

    def _end_idle(self) -> None:
        """End processes that have waited long enough, until there are none."""
        while True:
            time.sleep(IDLE_SECONDS / 3)
            long_ago = time.monotonic() - IDLE_SECONDS
            with self._lock:
                ended = [process for idle in self._idle.values() for process in idle if process.idle_since < long_ago]
                for lane, idle in self._idle.items():
                    self._idle[lane] = [process for process in idle if process not in ended]
                left = any(self._idle.values())
                if not left:
                    self._keeper = None
            for process in ended:
                process.close()
            if not left:
                return

    def close(self) -> None:
        """End the processes that are not in use."""
        with self._lock:
            ended = [process for idle in self._idle.values() for process in idle]
            for idle in self._idle.values():
                idle.clear()
        for process in ended:
            with suppress(OSError):
                process.close()


_pool = _Pool()
atexit.register(lambda: _pool.close())


def _after_fork() -> None:
    """The parent's processes are not the child's."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
