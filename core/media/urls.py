"""Pasted text and tables -> clean URLs, each with its identity key."""

from __future__ import annotations

import hashlib
import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from w3lib.url import canonicalize_url, safe_url_string

from core.errors import UrlError

MAX_LENGTH = 4096
"""Characters of a URL. Signed URLs of cloud storage exceed 2,000; servers refuse about 8,000."""

_TRACKING = re.compile(r"utm_\w+|fbclid|gclid|mc_eid|igshid")
"""Parameters that say where a visitor came from, never which picture is meant."""

_DEFAULT_PORTS = {"http": 80, "https": 443}

# URLs that are clean and, except for the order of their query, canonical: most of a long list, and recognised
# ten times faster than w3lib rewrites them.
_SEGMENT = r"(?:[\w~/,!@:+=$&*()'-]|%20|%[89A-F][0-9A-F])"
_VALUE = r"(?:[\w.~+-]|%(?:2[1-9A-CF]|3[A-F]|40|[89A-F][0-9A-F]))*"
_PLAIN = re.compile(
    rf"(https?://(?![^/]{{254}})[a-z0-9-]{{1,63}}(?:\.[a-z0-9-]{{1,63}})+/{_SEGMENT}*(?:\.(?!/){_SEGMENT}+)*)"
    rf"(?:\?([\w.~-]+={_VALUE}(?:&[\w.~-]+={_VALUE})*))?",
    re.ASCII,
)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):(//)?", re.IGNORECASE)
BARE_URL = re.compile(
    r"(?:www\.[\w-]+(?:\.[\w-]+)+(?::\d+)?(?:[/?]\S*)?|[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}(?::\d+)?/\S+)", re.IGNORECASE
)
_HOST = re.compile(r"(?=.{1,254}\Z)[\w-]{1,63}(?:\.[\w-]{1,63})*\.?", re.ASCII)
_NO_ESCAPE = re.compile(r"%(?![0-9a-f]{2})", re.IGNORECASE)
INVISIBLE = "\ufeff\u200b\u2060\u00ad"
"""Zero-width characters that word processors and chats put into URLs, where they mean nothing."""

_JOINERS = "\u200c\u200d"  # meaningful inside a word or an emoji, but not around it


_WITHOUT_WIDTH = dict.fromkeys(map(ord, INVISIBLE))
_WITHOUT_JOINERS = dict.fromkeys(map(ord, _JOINERS))


def clean(url: str) -> str:
    """The URL to fetch: safe characters only, and with https:// when it has no scheme.

    Escapes, the query's order and the fragment stay as they are, because signatures depend on them. Raises UrlError.
    """
    if len(url) <= MAX_LENGTH and _PLAIN.fullmatch(url):
        return url
    text = _with_scheme(url.translate(_WITHOUT_WIDTH).strip().strip(_JOINERS).strip())
    if len(text) > MAX_LENGTH:
        raise UrlError(f"This URL is longer than {MAX_LENGTH:,} characters, so no site would accept it.")
    if " " in text or not text.translate(_WITHOUT_JOINERS).isprintable():
        raise UrlError("This URL contains a space. Write it as %20, or put each URL on its own line.")
    try:
        safe = _NO_ESCAPE.sub("%25", safe_url_string(text))
        parts = urlsplit(safe)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        what = "port" if "ort" in str(error) else "site name"
        raise UrlError(f"This URL has an invalid {what}: check it.") from None
    if parts.username is not None:
        raise UrlError("This URL contains a user name or password, which others would see. Remove it.")
    if not host:
        raise UrlError("This URL names no site: check it.")
    if port == 0:
        raise UrlError("This URL has an invalid port: check it.")
    if not _is_host(host):
        raise UrlError("This URL has an invalid site name: check it.")
    return safe


def _with_scheme(text: str) -> str:
    if not text:
        raise UrlError("There is no URL here.")
    if text.startswith("//"):
        return f"https:{text}"
    if BARE_URL.fullmatch(text):
        return f"https://{text}"
    found = _SCHEME.match(text)
    scheme, slashes = (found[1].lower(), found[2]) if found else ("", None)
    if scheme in _DEFAULT_PORTS and slashes:
        return text
    if scheme == "file" or text[1:3] in (":\\", ":/"):
        raise UrlError("This is a file on a computer, not a URL on the web.")
    if scheme == "data":
        raise UrlError("This is a data: URL, the picture itself. Save it, and drop the file instead.")
    if slashes:
        raise UrlError(
            f"Pictures cannot be fetched with {scheme}. Use an address that starts with https:// or http://."
        )
    raise UrlError("This is not a web address. Web addresses start with https:// or http://.")


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _HOST.fullmatch(host) is not None
    try:
        return IPv6Address(host).scope_id is None
    except ValueError:
        return False


def identity(url: str) -> str:
    """What two URLs of one picture have in common: for comparison only, never to be fetched.

    The canonical form by w3lib of a URL that `clean` returned, without default port, the dot at the end of a host,
    user name, fragment and tracking parameters.
    """
    plain = _PLAIN.fullmatch(url)
    if plain:
        base, query = plain.groups("")
        pairs = sorted(pair.split("=") for pair in query.split("&")) if query else []
    else:
        parts = urlsplit(canonicalize_url(url))
        host = (parts.hostname or "").removesuffix(".")
        host = f"[{host}]" if ":" in host else host
        port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
        base = f"{parts.scheme}://{host}{port}{parts.path}"
        pairs = [pair.split("=", 1) for pair in parts.query.split("&")] if parts.query else []
    kept = ["=".join(pair) for pair in pairs if not _TRACKING.fullmatch(pair[0])]
    return f"{base}?{'&'.join(kept)}" if kept else base


def key_of(url: str) -> bytes:
    """The SHA-256 (32 bytes) of the identity of a URL that `clean` returned."""
    return hashlib.sha256(identity(url).encode()).digest()
