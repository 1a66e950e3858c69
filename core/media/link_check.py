"""Link checking: whether the URL of a picture still leads to it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from core.errors import FetchError, UrlError
from core.media.fetcher import Fetcher
from core.media.urls import clean

State = Literal["alive", "moved", "changed", "gone", "refused", "unreachable"]


@dataclass(frozen=True)
class Link:
    """The result for a URL, and a sentence for people. `url` is where a moved picture is now."""

    state: State
    sentence: str
    url: str = ""


def check_link(fetcher: Fetcher, url: str, sha256: bytes) -> Link:
    """Fetch the file at a URL and compare it with the one of this SHA-256 (32 bytes). Raises nothing."""
    try:
        asked = clean(url)
        found = fetcher.fetch(asked)
    except UrlError as error:
        return Link("refused", str(error))
    except FetchError as error:
        if error.status in (404, 410):
            return Link("gone", f"Gone: {error}")
        if error.status in (401, 403):
            return Link("refused", f"Refused: {error}")
        again = " Try again later." if error.retryable else ""
        return Link("unreachable", f"Unavailable: {error}{again}")
    same = hashlib.sha256(found.data).digest() == sha256
    if found.url != asked:
        what = "the same picture" if same else "a different file"
        return Link("moved", f"Moved: the URL redirects to {what} at {found.url}.", found.url)
    if same:
        return Link("alive", "Alive: the URL still leads to this picture.")
    return Link("changed", "Alive, but changed: the URL now leads to a different file from the one that was indexed.")
