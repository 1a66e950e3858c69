"""One untrusted URL -> bytes, or the reason why not: public hosts only, one deadline, a limit on bytes."""

from __future__ import annotations

import contextlib
import email.utils
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from typing import Literal
from urllib.parse import urljoin, urlsplit

import requests
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

from core.errors import FetchError, UrlError
from core.media.file_types import HEAD, NOT_PICTURES, kind_of
from core.media.http_adapter import PublicAdapter
from core.media.page_links import page_hint, picture_link
from core.media.public_network import PublicNetwork, seconds_left
from core.media.urls import clean
from core.settings import Settings
from core.version import VERSION

PORTS = {None, 80, 443}
"""Ports allowed in a URL while private IP addresses are refused: other ports belong to services, not pictures."""

MAX_REDIRECTS = 5
"""Picture URLs need one or two: from http to https, and to a CDN."""

REDIRECTS = {301, 302, 303, 307, 308}

ACCEPTED = {HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION}
"""The second comes from a proxy that changed the picture, usually to make it smaller (RFC 9110, 15.3.4)."""

_IIIF = re.compile(rb"iiif\.io/api/")

CHUNK = 65536
"""Bytes read at a time."""

logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings hold whole URLs, and signed ones are secrets


What = Literal["picture", "list"]
"""What is expected at a URL."""

MAX_VALIDATOR = 500
"""Characters of an ETag that is kept; usual ones have some 40."""


@dataclass(frozen=True)
class Version:
    """What a site says of the version of a file (RFC 9110, 8.8), "" where it says nothing, and the file's URL after all
    redirects."""

    url: str
    etag: str = ""
    last_modified: str = ""

    def __bool__(self) -> bool:
        """Whether the site can be asked for this version."""
        return bool(self.etag or self.last_modified)


@dataclass(frozen=True)
class Fetched:
    """The decoded body of a response and its version; `unchanged`, without a body, if it is still the known version."""

    data: bytes
    version: Version
    unchanged: bool = False

    @property
    def url(self) -> str:
        """The URL it came from after all redirects."""
        return self.version.url


class Fetcher:
    """Fetches URLs. May be shared by any number of threads; keeps connections open, and no cookies.

    Proxies and `.netrc` are left out on purpose: both would lead around the checks.
    """

    def __init__(self, settings: Settings) -> None:
        self._timeout = settings.fetch_timeout
        self._max_bytes = settings.max_file_bytes
        self._allow_private = settings.allow_private_urls
        contact = settings.contact.encode("ascii", "ignore").decode()
        agent = [f"Lookalike/{VERSION}", f"(+{contact})" if contact else "", f"requests/{requests.__version__}"]
        self._headers = {
            "User-Agent": " ".join(filter(None, agent)),  # the form that Wikimedia asks for
            # Some sites answer 406 without */*. No formats are named, or a CDN would recompress the picture.
            "Accept": "image/*,*/*;q=0.8",
            "Accept-Encoding": "gzip, deflate, br, zstd",
        }
        self._adapter = PublicAdapter(PublicNetwork(settings.allow_private_urls))

    def close(self) -> None:
        """Close all connections; fetches under way end with a FetchError."""
        self._adapter.close()

    def fetch(self, url: str, known: Version | None = None, what: What = "picture") -> Fetched:
        """The bytes at a URL, at most `max_file_bytes`, within `fetch_timeout` seconds with all redirects; with a
        `known` version, only if the site has another one by now (RFC 9110, 13).

        Of a page about a picture whose site documents how its links are made, the picture's bytes.
        Cookies set by a redirect are sent back to their site during this fetch. Raises FetchError, whose message
        names the host.
        """
        with self._final(url, known, what) as (host, found, answer):
            if known and answer.status_code == HTTPStatus.NOT_MODIFIED:
                return Fetched(b"", known, unchanged=True)
            return Fetched(self._body(host, answer, what), _version(found, answer))

    def is_unchanged(self, url: str, known: Version) -> bool:
        """Whether a site says that it still has the known version of a picture; another one is not read. Raises
        FetchError likewise."""
        with self._final(url, known, "picture") as (host, _, answer):
            if answer.status_code != HTTPStatus.NOT_MODIFIED and answer.status_code not in ACCEPTED:
                raise _refusal(host, answer, "picture")
            return answer.status_code == HTTPStatus.NOT_MODIFIED

    @contextlib.contextmanager
    def _final(self, url: str, known: Version | None, what: What) -> Iterator[tuple[str, str, requests.Response]]:
        """The response after all redirects, with its host and URL, its body still to be read."""
        deadline = time.monotonic() + self._timeout
        cookies = RequestsCookieJar()
        url = self._checked(url)
        url = self._checked(picture_link(url)) if what == "picture" else url
        for _ in range(MAX_REDIRECTS + 1):
            host = urlsplit(url).hostname or ""
            with _named_errors(host, what), self._answer(url, cookies, deadline, known) as answer:
                target = answer.headers.get("location")
                if answer.status_code not in REDIRECTS or not target:
                    yield host, url, answer
                    return
                cookies.update(answer.cookies)
            url = self._redirected(host, url, target)
        raise FetchError(f"{host} sends too many redirects: more than {MAX_REDIRECTS}.")

    def _checked(self, url: str) -> str:
        """The URL made safe. Raises FetchError when it must not be requested."""
        try:
            url = clean(url)
        except UrlError as error:
            raise FetchError(str(error)) from None
        parts = urlsplit(url)
        if not self._allow_private and parts.port not in PORTS:
            raise FetchError(f"The URL names port {parts.port} of {parts.hostname}, but only 80 and 443 are allowed.")
        return url

    def _redirected(self, host: str, url: str, target: str) -> str:
        with contextlib.suppress(UnicodeDecodeError):
            target = target.encode("latin-1").decode()  # http.client decodes as Latin-1, and most sites send UTF-8
        try:
            return self._checked(urljoin(url, target.strip().replace(" ", "%20")))
        except (FetchError, ValueError) as error:
            why = str(error) if isinstance(error, FetchError) else "This is not a URL."
            raise FetchError(f"{host} redirects to a URL that cannot be fetched: {why}") from None

    def _answer(
        self, url: str, cookies: RequestsCookieJar, deadline: float, known: Version | None
    ) -> requests.Response:
        """The response to one request, its body still to be read."""
        request = requests.PreparedRequest()
        # Not by `prepare`, which rewrites escapes: signatures depend on them.
        request.method, request.url = "GET", url
        request.headers = CaseInsensitiveDict({"Host": urlsplit(url).netloc, **self._headers})
        if known and known.url == url:
            asked = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
            request.headers.update({name: value for name, value in asked.items() if value})
        if len(cookies):
            request.prepare_cookies(cookies)
        return self._adapter.send(request, timeout=seconds_left(deadline))

    def _body(self, host: str, answer: requests.Response, what: What) -> bytes:
        if answer.status_code not in ACCEPTED:
            raise _refusal(host, answer, what)
        too_large = FetchError(
            f"{host} sends more than {self._max_bytes / 1e6:,.4g} MB, the limit for a {what}, which MAX_FILE_MB sets."
        )
        if (answer.raw.length_remaining or 0) > self._max_bytes:
            raise too_large
        if "," in answer.headers.get("content-encoding", ""):  # compressed twice, it may be an endless bomb
            raise DecodeError("more than one encoding")
        body, looked = bytearray(), what != "picture"
        while chunk := answer.raw.read1(CHUNK, decode_content=True):
            body += chunk
            if len(body) > self._max_bytes:
                raise too_large
            if not looked and len(body) >= HEAD:
                looked = True
                _look(host, body)
        if what == "picture":
            _look(host, body)
        return bytes(body)


def _version(url: str, answer: requests.Response) -> Version:
    kept = [answer.headers.get(name, "") for name in ("etag", "last-modified")]
    return Version(url, *(value if value.isprintable() and len(value) <= MAX_VALIDATOR else "" for value in kept))


def _look(host: str, body: bytearray) -> None:
    """Raise FetchError when this is the beginning of a file that is certainly no picture."""
    kind = kind_of(bytes(body[:HEAD]))
    if kind == "page" and (hint := page_hint(host)):
        raise FetchError(f"{host} answered with a web page, not a picture. {hint}")
    if kind == "text" and _IIIF.search(body[:HEAD]):
        raise FetchError(f"{host} answered with a IIIF document. Save it, and upload it as a list.")
    if kind in NOT_PICTURES:
        raise FetchError(f"{host} answered with {NOT_PICTURES[kind]}")


def _refusal(host: str, answer: requests.Response, what: What) -> FetchError:
    status = answer.status_code
    if status in (404, 410):
        return FetchError(f"{host} answered {status}: the {what} is not there any more.", status=status)
    if status in (401, 403):
        return FetchError(f"{host} answered {status}: access to this {what} is denied.", status=status)
    if status == 429:
        reason = "requests are rate-limited"
    elif status in (408, 425) or status >= 500:
        reason = f"the {what} is unavailable at the moment"
    else:
        return FetchError(f"{host} answered {status} instead of sending the {what}.", status=status)
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
def _named_errors(host: str, what: What) -> Iterator[None]:
    """Turn the libraries' errors into a FetchError that names the host."""
    try:
        yield
    except (TimeoutError, ReadTimeoutError):
        raise FetchError(f"{host} took too long to send the {what}.", retryable=True) from None
    except DecodeError:
        raise FetchError(f"{host} sent a response that cannot be decompressed.") from None
    except (OSError, HTTPException, HTTPError):
        raise FetchError(f"{host} closed the connection before the {what} was complete.", retryable=True) from None
