"""How many requests a host gets at a time, and which hosts limit their rate."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime


class HostGate:
    """Counts the requests under way to each host. May be shared by any number of threads."""

    def __init__(self, limit: int) -> None:
        """`limit` is how many requests to one host may be under way, from all processes together."""
        self._all = self._limit = limit
        self._busy = Counter[str]()
        self._backed_off_until = dict[str, datetime]()
        self._lock = threading.Lock()

    def share(self, processes: int) -> None:
        """Take an equal part of the places, as one of so many processes; each has one at least."""
        self._limit = max(1, self._all // max(processes, 1))

    def back_off(self, host: str, until: datetime) -> None:
        """Send a host no request until a moment."""
        with self._lock:
            self._backed_off_until[host] = until

    def backed_off_until(self, host: str) -> datetime | None:
        """The moment until which a host gets no request, if there is one."""
        with self._lock:
            until = self._backed_off_until.get(host)
            if until is not None and until <= datetime.now(UTC):
                del self._backed_off_until[host]
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
