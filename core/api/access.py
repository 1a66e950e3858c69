"""Who may call the HTTP routes: the API token, and signed addresses of thumbnails and files that need none."""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal
from uuid import UUID

from core.settings import Settings
from core.collection.store import FILE_PATH

COLLECTION_PATH = "/api/collection"

LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"]


def has_token(settings: Settings, authorization: str | None) -> bool:
    """Whether an Authorization header carries the API token; always True when none is set."""
    if settings.api_token is None:
        return True
    expected = f"Bearer {settings.api_token.get_secret_value()}"
    return hmac.compare_digest((authorization or "").encode(), expected.encode())


def thumbnail_path(settings: Settings, picture: UUID) -> str:
    """The address of a picture's thumbnail, signed when the API needs a token."""
    return _signed(settings, f"/api/thumb/{picture}")


def collection_path(settings: Settings, kind: str, *, thumbnails: bool, embeddings: bool) -> str:
    """The address of the collection as a file, signed when the API needs a token."""
    choices = f"format={kind}&thumbnails={int(thumbnails)}&embeddings={int(embeddings)}"
    path = _signed(settings, COLLECTION_PATH)
    return f"{path}{'&' if '?' in path else '?'}{choices}"


def is_signed_collection(settings: Settings, signature: str | None) -> bool:
    """Whether this is the signature of that address."""
    return hmac.compare_digest((signature or "").encode(), _signature(settings, COLLECTION_PATH).encode())


def link(settings: Settings, url: str) -> str:
    """Where a picture's address can be opened; the path of a kept file is signed when the API needs a token."""
    return _signed(settings, url) if url.startswith(FILE_PATH) else url


def is_signed(
    settings: Settings, picture: UUID, signature: str | None, what: Literal["thumb", "file"] = "thumb"
) -> bool:
    """Whether this is the signature of the address of that picture's thumbnail or file."""
    return hmac.compare_digest((signature or "").encode(), _signature(settings, f"/api/{what}/{picture}").encode())


def _signed(settings: Settings, path: str) -> str:
    return f"{path}?signature={_signature(settings, path)}" if settings.api_token else path


def _signature(settings: Settings, path: str) -> str:
    token = settings.api_token.get_secret_value() if settings.api_token else ""
    return hmac.new(token.encode(), path.encode(), hashlib.sha256).hexdigest()[:32]


def allowed_hosts(settings: Settings) -> list[str]:
    """The Host headers to answer to, against DNS rebinding: a foreign site's name that points at this machine."""
    named = [host.strip() for host in settings.allowed_hosts.split(",") if host.strip()]
    if named:
        return named
    return LOOPBACK_NAMES if settings.host in ("127.0.0.1", "::1", "localhost") else ["*"]
