"""One at a time, and a person before a batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """A lock with two queues: whoever is urgent passes before everybody who is not."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._waiting = 0
        self._urgent = 0

    @property
    def waiting(self) -> int:
        """How many threads wait to pass."""
        with self._changed:
            return self._waiting

    @contextmanager
    def turn(self, *, urgent: bool) -> Iterator[None]:
        """Wait for the gate, hold it for the `with` block, and let the next one through."""
        with self._changed:
            self._waiting += 1
            self._urgent += urgent
            try:
                self._changed.wait_for(lambda: not self._taken and (urgent or not self._urgent))
                self._taken = True
            finally:
                self._waiting -= 1
                self._urgent -= urgent
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()
