"""Limits on concurrent requests to each host, and hosts that are rate-limiting us."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime


class HostGate:
    """Counts the running requests to each host. Thread-safe."""

    def __init__(self, limit: int) -> None:
        """`limit` is the number of concurrent requests to one host, from all processes together."""
        self._all = self._limit = limit
        self._busy = Counter[str]()
        self._backed_off_until = dict[str, datetime]()
        self._lock = threading.Lock()

    def share(self, processes: int) -> None:
        """Use an equal share of the limit, as one of `processes`; each gets at least one request at a time."""
        self._limit = max(1, self._all // max(processes, 1))

    def back_off(self, host: str, until: datetime) -> None:
        """Send no request to a host before `until`."""
        with self._lock:
            self._backed_off_until[host] = until

    def backed_off_until(self, host: str) -> datetime | None:
        """The time until which no request is sent to a host, or None."""
        with self._lock:
            until = self._backed_off_until.get(host)
            if until is not None and until <= datetime.now(UTC):
                del self._backed_off_until[host]
                return None
            return until

    def enter(self, host: str) -> bool:
        """Reserve a request to a host, if its limit allows; `leave` ends it. Returns whether it was reserved."""
        with self._lock:
            if self._busy[host] >= self._limit:
                return False
            self._busy[host] += 1
            return True

    def leave(self, host: str) -> None:
        """End a request to a host that `enter` reserved."""
        with self._lock:
            self._busy[host] -= 1
            if not self._busy[host]:
                del self._busy[host]
