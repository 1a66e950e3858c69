"""The way out to the internet: sockets to public hosts only, each bounded by a deadline."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakSet

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from core.errors import FetchError
from core.media.ip_addresses import is_public

CONNECT_SECONDS = 5.0
"""For one address of a host, TLS apart."""

READ_SECONDS = 10.0
"""Of silence in the middle of an answer."""

MAX_ADDRESSES = 4
"""Addresses of a host that are tried."""

_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}  # the second is no standard

_CERTIFICATE_FAULTS = {  # X509_V_ERR_…: docs.openssl.org, "X509_STORE_CTX_get_error"
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "it signed its certificate itself",
    19: "its certificate comes from an authority that is not trusted here",
    20: "its certificate comes from an authority that is not known here, or the chain to it is incomplete",
    21: "its certificate comes from an authority that is not known here, or the chain to it is incomplete",
    62: "its certificate is for another name",
    64: "its certificate is for another name",
}

_OLD_TLS = {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"}
"""What OpenSSL says when a server offers only versions older than we take, and what such a server answers."""


class TimedSocket(socket.socket):
    """A socket whose reads and writes all end at one moment, however little each of them takes.

    `deadline` is that moment on the clock of `time.monotonic`; `budget` is how many bytes may still be read.
    """

    deadline = 0.0
    budget = math.inf

    def recv_into(self, *args: Any) -> int:
        """As a socket's. Raises TimeoutError at the deadline, and OSError when the budget is spent."""
        self.settimeout(seconds_left(self.deadline, READ_SECONDS))
        count = super().recv_into(*args)
        self.budget -= count
        if self.budget < 0:
            raise OSError("more bytes than were allowed for")
        return count

    def send(self, *args: Any) -> int:
        """As a socket's. Raises TimeoutError at the deadline."""
        self.settimeout(seconds_left(self.deadline, READ_SECONDS))
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        """As a socket's. Raises TimeoutError at the deadline."""
        self.settimeout(seconds_left(self.deadline, READ_SECONDS))
        super().sendall(*args)

    def drop(self) -> None:
        """Close it now, though a file that http.client made of it may still be open."""
        with contextlib.suppress(OSError):  # it is closed
            socket.close(self.detach())


class _TimedTLSSocket(TimedSocket, ssl.SSLSocket):
    """The same over TLS: `ssl` makes it of a TimedSocket."""


class PublicNetwork:
    """Resolves a host once, and connects only to addresses that it has checked. Threads may share one."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._tls = _tls_context()
        self._resolvers = ThreadPoolExecutor(32, "resolve")
        self._sockets = WeakSet[TimedSocket]()
        self._closed = False
        self._lock = threading.Lock()

    def close(self) -> None:
        """Take no more work, and end the reads and writes under way."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            for each in self._sockets:
                _hang_up(each)

    def connect(self, host: str, port: int, *, tls: bool, deadline: float) -> TimedSocket:
        """A socket to the first of the host's public addresses that answers, with its deadline set.

        With `tls`, the server has proved that it is `host`. Raises FetchError, whose sentence names the host.
        """
        connected = self._connected(host, self._addresses(host, port, deadline)[:MAX_ADDRESSES], deadline)
        return self._secured(connected, host, deadline) if tls else connected

    def _addresses(self, host: str, port: int, deadline: float) -> list[tuple[Any, ...]]:
        """The socket addresses of a host that may be connected to, at least one, as the system orders them."""
        try:
            # In a thread of its own, for a resolver knows no deadline.
            asking = self._resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
            found = dict.fromkeys(entry[4] for entry in asking.result(seconds_left(deadline)))
        except TimeoutError:
            raise _too_slow(host) from None
        except RuntimeError:  # what an executor raises that was shut down
            raise FetchError(f"{host} was not asked, for the app is closing.", retryable=True) from None
        except (OSError, UnicodeError) as error:
            if isinstance(error, UnicodeError) or error.errno in _NO_SUCH_NAME:
                raise FetchError(f"There is no site called {host.rstrip('.')}.") from None
            raise FetchError(f"{host} cannot be looked up at the moment.", retryable=True) from None
        addresses = [address for address in found if self._allow_private or is_public(str(address[0]))]
        if not addresses:
            raise FetchError(f"{host} is a private address inside a network, and such addresses are not fetched.")
        return addresses

    def _connected(self, host: str, addresses: list[tuple[Any, ...]], deadline: float) -> TimedSocket:
        failure = _too_slow(host)
        for address in addresses:
            made = TimedSocket(socket.AF_INET6 if ":" in str(address[0]) else socket.AF_INET, socket.SOCK_STREAM)
            try:
                made.settimeout(seconds_left(deadline, CONNECT_SECONDS))
                self._watch(made)
                made.connect(address)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                made.close()
                failure = _too_slow(host) if isinstance(error, TimeoutError) else _unreachable(host)
            else:
                made.deadline = deadline
                return made
        raise failure

    def _secured(self, connected: TimedSocket, host: str, deadline: float) -> TimedSocket:
        with contextlib.ExitStack() as undo:
            undo.callback(connected.close)
            try:
                secured = self._tls.wrap_socket(
                    connected, server_hostname=host.rstrip("."), do_handshake_on_connect=False
                )
                undo.callback(secured.close)
                assert isinstance(secured, _TimedTLSSocket)
                self._watch(secured)
                secured.settimeout(seconds_left(deadline, READ_SECONDS))
                secured.do_handshake()
            except TimeoutError:
                raise _too_slow(host) from None
            except ssl.SSLCertVerificationError as error:
                fault = _CERTIFICATE_FAULTS.get(error.verify_code, "its certificate is not valid")
                raise FetchError(f"{host} cannot prove that it is {host}: {fault}.") from None
            except ssl.SSLError as error:
                if error.reason in _OLD_TLS:
                    raise FetchError(
                        f"{host} offers only old versions of TLS, which are no longer safe: nothing is fetched from it."
                    ) from None
                raise _unreachable(host) from None
            except OSError:
                raise _unreachable(host) from None
            undo.pop_all()
        secured.deadline = deadline
        return secured

    def _watch(self, made: TimedSocket) -> None:
        """Let `close` end what is done with a socket."""
        with self._lock:
            self._sockets.add(made)
            if self._closed:
                _hang_up(made)


def seconds_left(deadline: float, at_most: float = math.inf) -> float:
    """Seconds until a deadline, but `at_most` so many. Raises TimeoutError when it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return min(left, at_most)


def _hang_up(made: TimedSocket) -> None:
    """End a connection while another thread uses it; merely closing it would leave that thread waiting."""
    with contextlib.suppress(OSError):  # it has ended by itself, or was never made
        socket.socket.shutdown(made, socket.SHUT_RDWR)


def _tls_context() -> ssl.SSLContext:
    """One that trusts whom the system trusts, or SSL_CERT_FILE or SSL_CERT_DIR; else whom requests does."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (context.get_ca_certs() or paths.cafile or paths.capath):
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    context.sslsocket_class = _TimedTLSSocket
    return context


def _too_slow(host: str) -> FetchError:
    return FetchError(f"{host} could not be reached in time.", retryable=True)


def _unreachable(host: str) -> FetchError:
    return FetchError(f"{host} cannot be reached.", retryable=True)
