"""Paths of thumbnails, files and exports, signed when the API needs a token, so that pages can show them."""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal
from uuid import UUID

from core.settings import Settings

FILE_PATH = "/api/file/"
"""Where stored files are served; the URL of a picture that was dropped as a file is this followed by its id."""


def file_path(picture: UUID) -> str:
    """The URL of a picture that was dropped as a file: a path on this server, since it has none on the web."""
    return f"{FILE_PATH}{picture}"


COLLECTION_PATH = "/api/collection"

PictureFile = Literal["thumb", "file", "original"]
"""What is served of a picture: /api/ is followed by one of these and its id."""


def thumbnail_path(settings: Settings, picture: UUID) -> str:
    """The URL of a picture's thumbnail, signed when the API needs a token."""
    return _signed(settings, f"/api/thumb/{picture}")


def original_path(settings: Settings, picture: UUID) -> str:
    """The URL of a picture in full, signed when the API needs a token."""
    return _signed(settings, f"/api/original/{picture}")


def collection_path(settings: Settings, kind: str, *, thumbnails: bool, embeddings: bool) -> str:
    """The URL of the collection as a file, signed when the API needs a token."""
    choices = f"format={kind}&thumbnails={int(thumbnails)}&embeddings={int(embeddings)}"
    path = _signed(settings, COLLECTION_PATH)
    return f"{path}{'&' if '?' in path else '?'}{choices}"


def is_signed_collection(settings: Settings, signature: str | None) -> bool:
    """Whether this is the signature of the collection's URL."""
    return hmac.compare_digest((signature or "").encode(), _signature(settings, COLLECTION_PATH).encode())


def link(settings: Settings, url: str) -> str:
    """A URL at which a picture opens in a browser; the path of a stored file is signed when the API needs a token."""
    return _signed(settings, url) if url.startswith(FILE_PATH) else url


def is_signed(settings: Settings, picture: UUID, signature: str | None, what: PictureFile = "thumb") -> bool:
    """Whether this is the signature of the URL of that picture's thumbnail, file or original."""
    return hmac.compare_digest((signature or "").encode(), _signature(settings, f"/api/{what}/{picture}").encode())


def _signed(settings: Settings, path: str) -> str:
    return f"{path}?signature={_signature(settings, path)}" if settings.api_token else path


def _signature(settings: Settings, path: str) -> str:
    token = settings.api_token.get_secret_value() if settings.api_token else ""
    return hmac.new(token.encode(), path.encode(), hashlib.sha256).hexdigest()[:32]
