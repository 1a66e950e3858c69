"""The HTTP routes. Every answer but a picture or the collection is JSON; every error is {"error": "<a sentence>"}."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Literal

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from core.api.access import has_token
from core.api.health import health
from core.api.imports import read_import, upsert
from core.api.parsing import error_answer
from core.api.pictures import collection, file, picture_id, thumbnail
from core.api.search import query, search
from core.engine import Engine
from core.errors import (
    DatabaseError,
    EncoderError,
    FetchError,
    LookalikeError,
    NotFoundError,
    PictureError,
    PictureTooLargeError,
    QueryError,
    UrlError,
)
from core.settings import Settings
from core.signed_urls import COLLECTION_PATH, FILE_PATH, is_signed, is_signed_collection

logger = logging.getLogger(__name__)

MAX_LIST_BYTES = 20_000_000
"""The largest list of URLs in one call: some 200,000 of them."""

FORM_ALLOWANCE = 100_000
"""Bytes that a multipart form may have beyond its pictures."""

LARGEST_AT_ONCE = 3
"""Pictures of the largest size that one composed query may bring; of smaller ones it may be more."""

TOO_LARGE = "The request is too large."

SIGNED: list[tuple[str, Literal["thumb", "file"]]] = [("/api/thumb/", "thumb"), (FILE_PATH, "file")]
"""What a signature in the address opens, token or not."""

STATUS: list[tuple[type[LookalikeError], int]] = [
    (NotFoundError, 404),
    (PictureTooLargeError, 413),
    (PictureError, 415),
    (UrlError, 400),
    (QueryError, 400),
    (FetchError, 502),
    (EncoderError, 503),
    (DatabaseError, 503),
]

Endpoint = Callable[[Engine, Request], Awaitable[Response]]


def routes(engine: Callable[[], Engine], settings: Settings) -> list[BaseRoute]:
    """All routes under /api. `engine` gives the one engine of this process."""
    list_size, form_size = MAX_LIST_BYTES, settings.max_file_bytes + FORM_ALLOWANCE
    calls: list[tuple[str, str, Endpoint, int]] = [
        ("POST", "/api/upsert", upsert, list_size),
        ("GET", "/api/imports/{id}", read_import, 0),
        ("POST", "/api/query", query, form_size),
        ("POST", "/api/search", search, LARGEST_AT_ONCE * form_size),
        ("GET", "/api/thumb/{id}", thumbnail, 0),
        ("GET", f"{FILE_PATH}{{id}}", file, 0),
        ("GET", COLLECTION_PATH, collection, 0),
        ("GET", "/api/health", health, 0),
    ]
    made: list[BaseRoute] = [
        Route(
            path,
            _guarded(call, engine),
            methods=[method],
            middleware=[
                Middleware(_DeclaredSizeLimit, size),
                Middleware(RequestBodyLimitMiddleware, max_body_size=size),
            ],
        )
        for method, path, call, size in calls
    ]
    methods = {path.partition("{")[0]: method for method, path, _, _ in calls}
    return [
        *made,
        Route("/api/{rest:path}", _unknown(methods), methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


class _DeclaredSizeLimit:
    """Refuses a body by its Content-Length, in JSON; Starlette's own limit would answer in plain text."""

    def __init__(self, app: ASGIApp, size: int) -> None:
        self._app, self._size = app, size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "0")
        too_large = not declared.isdecimal() or int(declared) > self._size
        await (error_answer(413, TOO_LARGE) if too_large else self._app)(scope, receive, send)


def _guarded(call: Endpoint, engine: Callable[[], Engine]) -> Callable[[Request], Awaitable[Response]]:
    """Check the caller, and turn whatever goes wrong into a JSON error."""

    async def endpoint(request: Request) -> Response:
        try:
            app = await run_in_threadpool(engine)
            if call is not health and not _may_call(app.settings, request):
                return error_answer(401, "This call needs the header 'Authorization: Bearer TOKEN' with the API token.")
            if request.method == "POST" and request.headers.get("sec-fetch-site") == "cross-site":
                return error_answer(403, "Calls from the pages of other sites are refused.")
            return await call(app, request)
        except LookalikeError as error:
            return error_answer(next((code for kind, code in STATUS if isinstance(error, kind)), 400), str(error))
        except HTTPException as error:
            sentence = TOO_LARGE if error.status_code == 413 else str(error.detail)
            return error_answer(error.status_code, sentence)
        except Exception:
            logger.exception("%s %s", request.method, request.url.path)
            return error_answer(500, "Something unforeseen went wrong; the log of the app has the details.")

    return endpoint


def _may_call(settings: Settings, request: Request) -> bool:
    if has_token(settings, request.headers.get("authorization")):
        return True
    signature = request.query_params.get("signature")
    if request.url.path == COLLECTION_PATH:
        return is_signed_collection(settings, signature)
    for path, what in SIGNED:
        if request.url.path.startswith(path):
            return is_signed(settings, picture_id(request), signature, what)
    return False


def _unknown(methods: dict[str, str]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        path = request.url.path
        for start, method in methods.items():
            if (path == start or (start.endswith("/") and path.startswith(start))) and request.method != method:
                return error_answer(405, f"{path} answers {method} only.")
        return error_answer(404, f"There is no call {path}.")

    return endpoint
