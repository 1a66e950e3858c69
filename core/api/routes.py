"""The HTTP API: a FastAPI app under /api, including its OpenAPI description.

Every response except pictures, the collection and the documentation page is JSON.
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

from core.api import docs, health, imports, pictures, search, sources
from core.api.capacity import WithinCapacity
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
"""The largest list of URLs in one call: some 200,000 URLs."""

MAX_QUERY_JSON_BYTES = 1_000_000
"""The largest query as JSON, which contains no pictures."""

FORM_ALLOWANCE = 100_000
"""Bytes of a multipart form in addition to its pictures."""

LARGEST_AT_ONCE = 3
"""Pictures of the maximum size in one query; there may be more smaller ones."""

DESCRIPTION = """Index pictures by their URLs, and search for pictures that look alike.

Errors are JSON, `{"error": "<a sentence>"}`. The size of request bodies is limited, and calls from the pages of other
sites are refused."""


def routes(engine: Callable[[], Engine], settings: Settings) -> list[BaseRoute]:
    """All routes under /api. `engine` returns the engine of this process."""
    api = _Api(
        title="Lookalike",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        middleware=[
            Middleware(_Bounded, settings.max_file_bytes + FORM_ALLOWANCE),
            Middleware(WithinCapacity, settings.rate_limit),
        ],
        exception_handlers={
            LookalikeError: on_lookalike_error,
            HTTPException: on_http_error,
            RequestValidationError: on_bad_parameter,
            Exception: on_unforeseen,
        },
    )
    api.state.make_engine, api.state.engine = engine, None
    for part in (imports, sources, search, pictures, health, docs):
        api.include_router(part.router)
    return [Mount("/api", api)]


class _Api(FastAPI):
    """FastAPI, with a description that includes the bodies that calls parse themselves."""

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
    """Refuses bodies that are too large, with a JSON error, and handles HEAD like GET."""

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
