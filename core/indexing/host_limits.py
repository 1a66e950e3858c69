"""Manners: how many requests a host gets at a time, and which hosts asked to be left alone."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime


class HostGate:
    """Counts the requests under way to each host. May be shared by any number of threads."""

    def __init__(self, limit: int) -> None:
        """`limit` is how many requests to one host may be under way, from all workers together."""
        self._all = self._limit = limit
        self._busy = Counter[str]()
        self._spared = dict[str, datetime]()
        self._lock = threading.Lock()

    def share(self, workers: int) -> None:
        """Take an equal part of the places, as one of so many workers; each has one at least."""
        self._limit = max(1, self._all // max(workers, 1))

    def back_off(self, host: str, until: datetime) -> None:
        """Leave a host alone until a moment."""
        with self._lock:
            self._spared[host] = until

    def backed_off_until(self, host: str) -> datetime | None:
        """The moment until which a host is to be left alone, if it is."""
        with self._lock:
            until = self._spared.get(host)
            if until is not None and until <= datetime.now(UTC):
                del self._spared[host]
                return None
            return until

    def enter(self, host: str) -> bool:
        """Take a place at a host, if one is free; `leave` gives it back."""
        with self._lock:
            if self._busy[host] >= self._limit:
                return False
            self._busy[host] += 1
            return True

    def leave(self, host: str) -> None:
        """Give a place at a host back."""
        with self._lock:
            self._busy[host] -= 1
            if not self._busy[host]:
                del self._busy[host]
