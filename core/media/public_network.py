"""Outgoing connections: sockets to public hosts only, each with a deadline."""

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
"""To connect to one IP address of a host, without TLS: a lost packet may be sent again twice (RFC 6298: after 1 and 3
seconds)."""

READ_SECONDS = 10.0
"""Of silence in the middle of a response: a server that busy is tried again later."""

MAX_ADDRESSES = 4
"""IP addresses of a host that are tried: with 5 seconds each they fit the usual deadline."""

_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}  # the second is no standard

_CERTIFICATE_FAULTS = {  # X509_V_ERR_…: docs.openssl.org, "X509_STORE_CTX_get_error"
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is self-signed",
    19: "its certificate chain ends in a root that is not trusted",
    20: "the issuer of its certificate is unknown, or the certificate chain is incomplete",
    21: "the issuer of its certificate is unknown, or the certificate chain is incomplete",
    62: "its certificate is for another name",
    64: "its certificate is for another name",
}

_OLD_TLS = {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"}
"""OpenSSL's reasons when a server offers only versions of TLS older than we accept, and such a server's alert."""


class TimedSocket(socket.socket):
    """A socket whose reads and writes share one deadline, however short each of them is.

    `deadline` is on the clock of `time.monotonic`; `budget` is how many bytes may still be read.
    """

    deadline = 0.0
    budget = math.inf

    def recv_into(self, *args: Any) -> int:
        """As a socket's. Raises TimeoutError at the deadline, and OSError when the budget is spent."""
        self.settimeout(seconds_left(self.deadline, READ_SECONDS))
        count = super().recv_into(*args)
        self.budget -= count
        if self.budget < 0:
            raise OSError("more bytes than allowed")
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
        """Close it now, even while a file object that http.client made of it is open."""
        with contextlib.suppress(OSError):  # it is closed
            socket.close(self.detach())


class _TimedTLSSocket(TimedSocket, ssl.SSLSocket):
    """The same over TLS, which `ssl` makes from a TimedSocket."""


class PublicNetwork:
    """Resolves a host once, and connects only to IP addresses it has checked. Thread-safe."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._tls = _tls_context()
        self._resolvers = ThreadPoolExecutor(32, "resolve")
        self._sockets = WeakSet[TimedSocket]()
        self._closed = False
        self._lock = threading.Lock()

    def close(self) -> None:
        """Accept no more work, and end the reads and writes in progress."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            for each in self._sockets:
                _hang_up(each)

    def connect(self, host: str, port: int, *, tls: bool, deadline: float) -> TimedSocket:
        """A socket, with its deadline set, to the first of the host's public IP addresses that accepts a connection.

        With `tls`, the server's certificate has been verified. Raises FetchError, whose message names the host.
        """
        connected = self._connected(host, self._addresses(host, port, deadline)[:MAX_ADDRESSES], deadline)
        return self._secured(connected, host, deadline) if tls else connected

    def _addresses(self, host: str, port: int, deadline: float) -> list[tuple[Any, ...]]:
        """The allowed socket addresses of a host, at least one, in the system's order."""
        try:
            # In a thread of its own, because a resolver has no deadline.
            asking = self._resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
            found = dict.fromkeys(entry[4] for entry in asking.result(seconds_left(deadline)))
        except TimeoutError:
            raise _too_slow(host) from None
        except RuntimeError:  # raised by an executor that was shut down
            raise FetchError(f"{host} was not contacted, because the app is closing.", retryable=True) from None
        except (OSError, UnicodeError) as error:
            if isinstance(error, UnicodeError) or error.errno in _NO_SUCH_NAME:
                raise FetchError(f"There is no site called {host.rstrip('.')}.") from None
            raise FetchError(f"{host} cannot be looked up at the moment.", retryable=True) from None
        addresses = [address for address in found if self._allow_private or is_public(str(address[0]))]
        if not addresses:
            raise FetchError(f"{host} has a private IP address, and pictures are not fetched from private networks.")
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
                raise FetchError(f"The identity of {host} cannot be verified: {fault}.") from None
            except ssl.SSLError as error:
                if error.reason in _OLD_TLS:
                    raise FetchError(
                        f"{host} offers only old, insecure versions of TLS, so nothing is fetched from it."
                    ) from None
                raise _unreachable(host) from None
            except OSError:
                raise _unreachable(host) from None
            undo.pop_all()
        secured.deadline = deadline
        return secured

    def _watch(self, made: TimedSocket) -> None:
        """Let `close` shut this socket down."""
        with self._lock:
            self._sockets.add(made)
            if self._closed:
                _hang_up(made)


def seconds_left(deadline: float, at_most: float = math.inf) -> float:
    """Seconds until a deadline, capped at `at_most`. Raises TimeoutError when it has passed."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    return min(left, at_most)


def _hang_up(made: TimedSocket) -> None:
    """End a connection that another thread is using; merely closing it would leave that thread waiting."""
    with contextlib.suppress(OSError):  # already ended, or never connected
        socket.socket.shutdown(made, socket.SHUT_RDWR)


def _tls_context() -> ssl.SSLContext:
    """Trusts the system's certificates, or those of SSL_CERT_FILE or SSL_CERT_DIR; else those of requests."""
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
