"""A transport adapter for requests over a PublicNetwork, with a pool of kept-alive connections."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.cookies import extract_cookies_to_jar
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection

from core.errors import FetchError
from core.media.public_network import PublicNetwork, TimedSocket

CONNECTIONS = 100
"""Connections in use at a time: enough for 32 indexing threads and the searches of as many people."""

KEPT_CONNECTIONS = 40
"""Idle connections kept at a time: a little more than an import's 32 fetches."""

KEPT_SECONDS = 15.0
"""How long an idle connection is kept. Servers close theirs after some 5 (Apache) to 75 seconds (nginx)."""

MAX_HEADER_BYTES = 100_000
"""Of a response's status line and headers. Apache sends and accepts about 8 kB, browsers accept 256 kB."""


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


class PublicAdapter(BaseAdapter):
    """Sends requests over a PublicNetwork. Thread-safe.

    It is used without a Session, which would read proxies and `.netrc` from the environment, keep cookies, and read
    the bodies of redirects to the end.
    """

    def __init__(self, network: PublicNetwork) -> None:
        super().__init__()
        self._network = network
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        self._kept = list[tuple[float, _Origin, HTTPConnection]]()  # the oldest first
        self._closed = False
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the network and all connections; responses being read end with an error."""
        self._network.close()
        with self._lock:
            self._closed = True
            while self._kept:
                self._kept.pop()[2].close()

    def send(self, request: PreparedRequest, stream: bool = True, timeout: Any = None, *_: Any, **__: Any) -> Response:
        """The response to one request. Read its body from `raw` in a `with` block, which closes it.

        `timeout` is in seconds, from now to the end of the body. Raises FetchError until connected, and then whatever
        sockets, http.client and urllib3 raise.
        """
        deadline = time.monotonic() + timeout
        parts = urlsplit(str(request.url))
        origin = _Origin(parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme])
        if not self._slots.acquire(timeout=timeout):
            raise FetchError(f"{origin.host} could not be reached in time.", retryable=True)
        connection = None
        try:
            connection = self._take(origin) or self._connect(origin, deadline)
            return self._answer(request, origin, connection, deadline)
        except BaseException:
            self._give_back(origin, connection, whole=False)
            raise

    def _answer(
        self, request: PreparedRequest, origin: _Origin, connection: HTTPConnection, deadline: float
    ) -> Response:
        wire = connection.sock
        assert isinstance(wire, TimedSocket)
        wire.deadline, wire.budget = deadline, MAX_HEADER_BYTES
        try:
            connection.request(str(request.method), request.path_url, headers=request.headers, preload_content=False)
            raw = connection.getresponse()
        except BaseException:
            wire.drop()
            raise
        wire.budget = math.inf
        return _Answer(request, raw, lambda whole: self._give_back(origin, connection, whole))

    def _connect(self, origin: _Origin, deadline: float) -> HTTPConnection:
        connection = HTTPConnection(origin.host, origin.port, timeout=None)
        connection.auto_open = 0  # never reconnect by itself, to an unchecked IP address
        connection.sock = self._network.connect(
            origin.host, origin.port, tls=origin.scheme == "https", deadline=deadline
        )
        return connection

    def _take(self, origin: _Origin) -> HTTPConnection | None:
        """The connection to an origin that was kept last, if it is still open."""
        with self._lock:
            self._expire()
            for index in reversed(range(len(self._kept))):
                if self._kept[index][1] == origin:
                    connection = self._kept.pop(index)[2]
                    if connection.is_connected:
                        return connection
                    connection.close()
        return None

    def _give_back(self, origin: _Origin, connection: HTTPConnection | None, whole: bool) -> None:
        """Keep a connection after a complete response; close any other."""
        self._slots.release()
        if connection is None:
            return
        with self._lock:
            if whole and not connection.is_closed and not self._closed:  # closed when the server does not keep it open
                self._kept.append((time.monotonic(), origin, connection))
                self._expire()
                return
        connection.close()

    def _expire(self) -> None:
        oldest = time.monotonic() - KEPT_SECONDS
        while self._kept and (self._kept[0][0] < oldest or len(self._kept) > KEPT_CONNECTIONS):
            self._kept.pop(0)[2].close()


class _Answer(Response):
    """A response that returns its connection to the pool at the end of a `with` block."""

    def __init__(self, request: PreparedRequest, raw: HTTPResponse, give_back: Callable[[bool], None]) -> None:
        """`give_back` is called with whether the whole response was read."""
        super().__init__()
        self.request, self.raw = request, raw
        self.url, self.status_code, self.reason = str(request.url), raw.status, raw.reason or ""
        self.headers = CaseInsensitiveDict(raw.headers)
        if "set-cookie" in raw.headers:
            extract_cookies_to_jar(self.cookies, request, raw)  # type: ignore[no-untyped-call]
        self._give_back = give_back

    def __exit__(self, *error: object) -> None:
        whole = error[0] is None and (self.raw.closed or self.raw.length_remaining == 0)
        self.close()
        self._give_back(whole)
