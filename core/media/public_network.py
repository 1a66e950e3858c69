"""The way out to the internet: connections to public hosts only, each bounded by a deadline."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakSet

import httpcore2

from core.errors import FetchError
from core.media.ip_addresses import is_public

CONNECT_SECONDS = 5.0
"""For one address of a host, TLS apart."""

READ_SECONDS = 10.0
"""Of silence in the middle of an answer."""

MAX_ADDRESSES = 4
"""Addresses of a host that are tried."""

_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}  # the second is no standard


class PublicNetwork(httpcore2.NetworkBackend):
    """Resolves a host once, and connects only to addresses that it has checked.

    Every `timeout` that this class and its streams receive is a deadline on the clock of `time.monotonic`, not a
    span: one request's reads and writes all end at the same moment, however little each of them takes.
    """

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._backend = httpcore2.SyncBackend()
        self._resolvers = ThreadPoolExecutor(32, "resolve")
        self._streams = WeakSet[_Stream]()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Take no more work, and end the reads and writes under way."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for stream in self._streams:
                stream.hang_up()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first of the host's public addresses that answers.

        Raises FetchError when there is none or the name is unknown, ConnectTimeout or ConnectError otherwise.
        """
        failure: Exception = httpcore2.ConnectTimeout()
        for address in self._addresses(host, port, timeout)[:MAX_ADDRESSES]:
            try:
                stream = self._backend.connect_tcp(
                    address, port, _left(timeout, CONNECT_SECONDS), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, host, self._keep)
        raise failure

    def _keep(self, stream: _Stream) -> None:
        with self._lock:
            self._streams.add(stream)

    def _addresses(self, host: str, port: int, deadline: float | None) -> list[str]:
        """The addresses of a host that may be connected to, at least one, as the system orders them."""
        try:
            # In a thread of its own, for a resolver knows no deadline.
            asking = self._resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
            found = [str(entry[4][0]) for entry in asking.result(_left(deadline))]
        except TimeoutError:
            raise httpcore2.ConnectTimeout() from None
        except RuntimeError:  # what an executor raises that was shut down
            raise FetchError(f"{host} was not asked, for the app is closing.", retryable=True) from None
        except (OSError, UnicodeError) as error:
            if isinstance(error, UnicodeError) or error.errno in _NO_SUCH_NAME:
                raise FetchError(f"There is no site called {host.rstrip('.')}.") from None
            raise FetchError(f"{host} cannot be looked up at the moment.", retryable=True) from None
        addresses = list(dict.fromkeys(address for address in found if self._allow_private or is_public(address)))
        if not addresses:
            raise FetchError(f"{host} is a private address inside a network, and such addresses are not fetched.")
        return addresses


class _Stream(httpcore2.NetworkStream):
    """A connection to `host` whose timeouts are deadlines."""

    def __init__(self, stream: httpcore2.NetworkStream, host: str, keep: Callable[[_Stream], None]) -> None:
        self._stream = stream
        self._host = host
        self._keep = keep
        keep(self)

    def hang_up(self) -> None:
        """End the connection while another thread uses it; merely closing it would leave that thread waiting."""
        with contextlib.suppress(OSError):  # it has ended by itself
            socket.socket.shutdown(self._stream.get_extra_info("socket"), socket.SHUT_RDWR)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, READ_SECONDS))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, READ_SECONDS))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        try:
            secured = self._stream.start_tls(ssl_context, server_hostname, _left(timeout, READ_SECONDS))
            return _Stream(secured, self._host, self._keep)
        except httpcore2.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise FetchError(
                    f"{self._host} cannot prove that it is {self._host}: its certificate is not valid."
                ) from None
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float | None, at_most: float = float("inf")) -> float:
    """Seconds until a deadline, but `at_most` so many. Raises ReadTimeout when it has passed."""
    assert deadline is not None
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout()
    return min(left, at_most)
