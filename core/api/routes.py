"""The HTTP API, put together: a FastAPI app under /api, its description included.

Every answer but a picture, the collection or the page of the description is JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from core.api import docs, health, imports, pictures, search
from core.api.errors import (
    TOO_LARGE,
    error_answer,
    on_bad_parameter,
    on_http_error,
    on_lookalike_error,
    on_unforeseen,
)
from core.engine import Engine
from core.errors import LookalikeError
from core.settings import Settings
from core.version import VERSION

MAX_LIST_BYTES = 20_000_000
"""The largest list of URLs in one call: some 200,000 of them."""

MAX_QUERY_JSON_BYTES = 1_000_000
"""The largest query as JSON, which brings no pictures."""

FORM_ALLOWANCE = 100_000
"""Bytes that a multipart form may have beyond its pictures."""

LARGEST_AT_ONCE = 3
"""Pictures of the largest size that one composed query may bring; of smaller ones it may be more."""

DESCRIPTION = """Index the pictures of a list, and find which of them look like one.

Errors are JSON, `{"error": "<a sentence>"}`. The bodies of calls are bounded, and calls from the pages of other sites
are refused."""


def routes(engine: Callable[[], Engine], settings: Settings) -> list[BaseRoute]:
    """All routes under /api. `engine` gives the one engine of this process."""
    api = _Api(
        title="Lookalike",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        middleware=[Middleware(_Bounded, settings.max_file_bytes + FORM_ALLOWANCE)],
        exception_handlers={
            LookalikeError: on_lookalike_error,
            HTTPException: on_http_error,
            RequestValidationError: on_bad_parameter,
            Exception: on_unforeseen,
        },
    )
    api.state.make_engine, api.state.engine = engine, None
    for part in (imports, search, pictures, health, docs):
        api.include_router(part.router)
    return [Mount("/api", api)]


class _Api(FastAPI):
    """FastAPI, whose description says what the calls read by themselves."""

    def openapi(self) -> dict[str, Any]:
        schema = super().openapi()
        models = schema["components"]["schemas"]
        for path in schema["paths"].values():
            for call in path.values():
                call["responses"].pop("422", None)  # FastAPI's own; here such errors are 400
                for content in call.get("requestBody", {}).get("content", {}).values():
                    models.update(content["schema"].pop("$defs", {}))
        for unused in ("HTTPValidationError", "ValidationError"):
            models.pop(unused, None)
        return schema


class _Bounded:
    """Refuses bodies that are too large, in JSON, and answers HEAD where there is a GET."""

    def __init__(self, app: ASGIApp, form_size: int) -> None:
        self._app, self._form_size = app, form_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # the server leaves out the body
            scope = {**scope, "method": "GET"}
        headers = Headers(scope=scope)
        limit = self._limit(scope["path"], headers)
        declared = headers.get("content-length", "0")
        app: ASGIApp = RequestBodyLimitMiddleware(self._app, max_body_size=limit)
        if not declared.isdecimal() or int(declared) > limit:
            app = error_answer(413, TOO_LARGE)  # Starlette's own answer to that is in plain text
        await app(scope, receive, send)

    def _limit(self, path: str, headers: Headers) -> int:
        match path:
            case "/api/upsert":
                return MAX_LIST_BYTES
            case "/api/query":
                return self._form_size
            case "/api/search" if headers.get("content-type", "").lower().startswith("multipart/"):
                return LARGEST_AT_ONCE * self._form_size
            case _:
                return MAX_QUERY_JSON_BYTES
