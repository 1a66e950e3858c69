"""What a reader process and the app say to each other: short heads on a socket, all else in a shared file."""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections.abc import Sequence
from typing import Any

CALL, VALUE, ITEM, END, ERROR, MEMORY, CRASH = range(7)
"""What is sent: a call; its value, or one of several and their end; an error for people, or why there is none."""

MAX_FILES = 200
"""Open files in one call; Linux passes 253 at a time."""

KEPT = 8_000_000
"""Bytes that the shared file keeps, enough for most pictures; what is larger is freed at once."""

_HEAD = struct.Struct("<BQII")
_SIZE = struct.Struct("<Q")


def shared_file() -> int:
    """The descriptor of a file without a name, in memory where that is possible."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("lookalike-reader")
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Channel:
    """One side of the conversation. It is never used by two threads at a time."""

    def __init__(self, connection: socket.socket, shared: int) -> None:
        """`shared` is the descriptor of the file, which both sides have open."""
        self.connection = connection
        self._shared = shared

    def close(self) -> None:
        """End the conversation."""
        self.connection.close()
        os.close(self._shared)

    def send(self, kind: int, value: Any, memory: int = 0, files: Sequence[int] = ()) -> None:
        """Send a value, with the memory of the sender in bytes, and descriptors of files. What a pickle.PickleBuffer
        holds is copied once. Raises OSError."""
        buffers = list[pickle.PickleBuffer]()
        head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        sizes, at = list[bytes](), 0
        for part in (memoryview(head), *(buffer.raw() for buffer in buffers)):
            sizes.append(_SIZE.pack(len(part)))
            while part:
                written = os.pwrite(self._shared, part, at)
                part, at = part[written:], at + written
        start = _HEAD.pack(kind, memory, len(files), len(sizes))
        if files:
            socket.send_fds(self.connection, [start], list(files))
            start = b""
        self.connection.sendall(start + b"".join(sizes))

    def receive(self) -> tuple[int, Any, int, list[int]]:
        """What was sent: its kind, the value, the memory of the sender, and files. Raises EOFError when the other side
        is gone, and TimeoutError."""
        start, files, *_ = socket.recv_fds(self.connection, _HEAD.size, MAX_FILES)
        kind, memory, _, count = _HEAD.unpack(start + self._exactly(_HEAD.size - len(start)))
        sizes = [_SIZE.unpack(self._exactly(_SIZE.size))[0] for _ in range(count)]
        parts, at = list[bytes](), 0
        for size in sizes:
            parts.append(self._read(size, at))
            at += size
        if at > KEPT:
            os.ftruncate(self._shared, 0)
        value = pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301  both sides are ours
        return kind, value, memory, files

    def _read(self, size: int, at: int) -> bytes:
        found = os.pread(self._shared, size, at)
        while len(found) < size:  # more than 2 GB
            more = os.pread(self._shared, size - len(found), at + len(found))
            if not more:
                raise EOFError
            found += more
        return found

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self.connection.recv(size - len(found))
            if not more:
                raise EOFError
            found += more
        return found
