"""Access control: the API token, signed URLs that need none, and no calls from the pages of other sites."""

from __future__ import annotations

import hmac
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from core.engine import Engine
from core.errors import NotFoundError
from core.settings import Settings
from core.signed_urls import COLLECTION_PATH, FILE_PATH, PictureFile, is_signed, is_signed_collection

LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"]

SIGNED: list[tuple[str, PictureFile]] = [
    ("/api/thumb/", "thumb"),
    ("/api/original/", "original"),
    (FILE_PATH, "file"),
]
"""Paths that a signature in the URL gives access to without a token."""


async def current_engine(request: Request) -> Engine:
    """The engine of this process; the first call may have to wait for it."""
    state = request.app.state
    if state.engine is None:
        state.engine = await run_in_threadpool(state.make_engine)
    engine: Engine = state.engine
    return engine


CurrentEngine = Annotated[Engine, Depends(current_engine)]

BEARER = HTTPBearer(
    auto_error=False, scheme_name="API token", description="Needed when the app was started with API_TOKEN."
)


async def guard(request: Request, engine: CurrentEngine, _: Annotated[object, Depends(BEARER)]) -> None:
    """Refuse callers without the token, and calls from other sites. Raises HTTPException or NotFoundError."""
    if not _may_call(engine.settings, request):
        raise HTTPException(401, "This call needs the header 'Authorization: Bearer TOKEN' with the API token.")
    if request.method == "POST" and request.headers.get("sec-fetch-site") == "cross-site":
        raise HTTPException(403, "Calls from the pages of other sites are refused.")


def has_token(settings: Settings, authorization: str | None) -> bool:
    """Whether an Authorization header carries the API token; always True when none is set."""
    if settings.api_token is None:
        return True
    expected = f"Bearer {settings.api_token.get_secret_value()}"
    return hmac.compare_digest((authorization or "").encode(), expected.encode())


def _may_call(settings: Settings, request: Request) -> bool:
    if has_token(settings, request.headers.get("authorization")):
        return True
    signature = request.query_params.get("signature")
    if request.url.path == COLLECTION_PATH:
        return is_signed_collection(settings, signature)
    for path, what in SIGNED:
        if request.url.path.startswith(path):
            return is_signed(settings, read_picture_id(request.path_params["id"]), signature, what)
    return False


def read_picture_id(text: str) -> UUID:
    """The id in the path of a call. Raises NotFoundError."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("There is no picture with that id.") from None


def allowed_hosts(settings: Settings) -> list[str]:
    """The names accepted in Host headers; `core.api.headers.KnownHosts` says when any IP address is, too."""
    named = [host.strip() for host in settings.allowed_hosts.split(",") if host.strip()]
    if named:
        return named
    return LOOPBACK_NAMES
