"""One untrusted URL -> bytes, or a reason: only public hosts, within one deadline, no more bytes than allowed."""

from __future__ import annotations

import contextlib
import email.utils
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import httpcore2
import httpx2

from core.errors import FetchError, UrlError
from core.media.file_types import HEAD, NOT_PICTURES, kind_of
from core.media.public_network import PublicNetwork
from core.media.urls import clean
from core.settings import Settings

VERSION = "0.1"

PORTS = {None, 80, 443}
"""What a URL may name as its port while private addresses are refused: other ports are services, not pictures."""

MAX_REDIRECTS = 5

REDIRECTS = {301, 302, 303, 307, 308}

CONNECTIONS = 100
"""Open at most; 32 indexing threads and the searches of as many people fit."""

KEPT_CONNECTIONS = 40
KEPT_SECONDS = 15.0


@dataclass(frozen=True)
class Fetched:
    """The decoded body of an answer, and the URL that gave it after all redirects."""

    data: bytes
    url: str


class Fetcher:
    """Fetches URLs. May be shared by any number of threads; keeps connections open, and no cookies.

    Proxies and `.netrc` are left out on purpose: both would lead around the checks.
    """

    def __init__(self, settings: Settings) -> None:
        self._timeout = settings.fetch_timeout
        self._max_bytes = settings.max_file_bytes
        self._allow_private = settings.allow_private_urls
        contact = settings.contact.encode("ascii", "ignore").decode()
        agent = [f"Lookalike/{VERSION}", f"(+{contact})" if contact else "", f"httpx2/{httpx2.__version__}"]
        self._headers = [
            ("User-Agent", " ".join(filter(None, agent))),  # the form that Wikimedia asks for
            ("Accept", "image/*"),
            ("Accept-Encoding", "gzip, deflate"),
        ]
        self._network = PublicNetwork(settings.allow_private_urls)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpcore2.default_ssl_context(),
            max_connections=CONNECTIONS,
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEPT_SECONDS,
            network_backend=self._network,
        )

    def close(self) -> None:
        """Close all connections; fetches under way end with a FetchError."""
        self._network.close()  # first, for it wakes the threads that the pool would pull the socket from
        self._pool.close()

    def fetch(self, url: str) -> Fetched:
        """The bytes at a URL, at most `max_file_bytes`, within `fetch_timeout` seconds with all redirects.

        Raises FetchError, whose sentence names the host.
        """
        deadline = time.monotonic() + self._timeout
        url = self._checked(url)
        for _ in range(MAX_REDIRECTS + 1):
            host = urlsplit(url).hostname or ""
            with _named_errors(host), self._answer(url, deadline) as answer:
                target = answer.headers.get("location")
                if answer.status_code not in REDIRECTS or not target:
                    return Fetched(self._body(host, answer), url)
            url = self._redirected(host, url, target)
        raise FetchError(f"{host} leads on and on, more than {MAX_REDIRECTS} times.")

    def _checked(self, url: str) -> str:
        """The URL made safe, when it may be asked at all."""
        try:
            url = clean(url)
        except UrlError as error:
            raise FetchError(str(error)) from None
        parts = urlsplit(url)
        if not self._allow_private and parts.port not in PORTS:
            raise FetchError(f"{parts.hostname} is asked for at port {parts.port}, but only 80 and 443 are allowed.")
        return url

    def _redirected(self, host: str, url: str, target: str) -> str:
        try:
            return self._checked(urljoin(url, target.strip().replace(" ", "%20")))
        except (FetchError, ValueError) as error:
            why = str(error) if isinstance(error, FetchError) else "This is not a web address."
            raise FetchError(f"{host} leads on to an address that is not fetched: {why}") from None

    @contextlib.contextmanager
    def _answer(self, url: str, deadline: float) -> Iterator[httpx2.Response]:
        """The answer to one request, its body still to be read."""
        parts = urlsplit(url)
        target = httpcore2.URL(
            scheme=parts.scheme,
            host=parts.hostname or "",
            port=parts.port,
            target=f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/",
        )
        # The network takes these timeouts as the moment to end; only waiting in the pool is up to httpcore.
        timeouts = {"connect": deadline, "write": deadline, "read": deadline, "pool": self._timeout}
        headers = [("Host", parts.netloc), *self._headers]
        request = httpcore2.Request("GET", target, headers=headers, extensions={"timeout": timeouts})
        answer = self._pool.handle_request(request)
        stream = _Stream(answer)
        try:
            yield httpx2.Response(answer.status, headers=answer.headers, stream=stream)
        finally:
            stream.close()

    def _body(self, host: str, answer: httpx2.Response) -> bytes:
        if answer.status_code != HTTPStatus.OK:
            raise _refusal(host, answer)
        too_large = FetchError(
            f"{host} gives more than {self._max_bytes / 1e6:,.4g} MB, the most that a picture may have."
        )
        if int(answer.headers.get("content-length", 0)) > self._max_bytes:
            raise too_large
        body, looked = bytearray(), False
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                raise too_large
            if not looked and len(body) >= HEAD:
                looked = True
                _look(host, body)
        _look(host, body)
        return bytes(body)


class _Stream(httpx2.SyncByteStream):
    """The body of an httpcore answer as httpx decodes it."""

    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


def _look(host: str, body: bytearray) -> None:
    """Raise FetchError when this is the beginning of something that is surely no picture."""
    kind = kind_of(bytes(body[:HEAD]))
    if kind in NOT_PICTURES:
        raise FetchError(f"{host} answered with {NOT_PICTURES[kind]}")


def _refusal(host: str, answer: httpx2.Response) -> FetchError:
    status = answer.status_code
    if status in (404, 410):
        return FetchError(f"{host} answered {status}: the picture is not there any more.", status=status)
    if status in (401, 403):
        return FetchError(f"{host} answered {status}: it refuses to give this picture to us.", status=status)
    if status == 429:
        reason = "it is asked too often"
    elif status in (408, 425) or status >= 500:
        reason = "it cannot give the picture now"
    else:
        return FetchError(f"{host} answered {status} instead of giving the picture.", status=status)
    after = _seconds(answer.headers.get("retry-after", ""))
    return FetchError(f"{host} answered {status}: {reason}.", retryable=True, retry_after=after, status=status)


def _seconds(retry_after: str) -> float | None:
    """Seconds from now in a Retry-After header: a number, or a date (RFC 9110, 10.2.3)."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        date = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


@contextlib.contextmanager
def _named_errors(host: str) -> Iterator[None]:
    """Turn what the libraries raise into a FetchError that names the host."""
    try:
        yield
    except (httpcore2.ConnectTimeout, httpcore2.PoolTimeout):
        raise FetchError(f"{host} could not be reached in time.", retryable=True) from None
    except httpcore2.ConnectError:
        raise FetchError(f"{host} cannot be reached.", retryable=True) from None
    except httpcore2.TimeoutException:
        raise FetchError(f"{host} took too long to give the picture.", retryable=True) from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError):
        raise FetchError(f"{host} broke off before the picture was complete.", retryable=True) from None
    except httpx2.DecodingError:
        raise FetchError(f"{host} sent the picture garbled.") from None
