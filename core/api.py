"""The HTTP routes. Every answer but a thumbnail or a kept file is JSON; every error is {"error": "<a sentence>"}."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from core.access import has_token, is_signed, link, thumbnail_path
from core.engine import Engine
from core.errors import (
    DatabaseError,
    EncoderError,
    FetchError,
    LookalikeError,
    NotFoundError,
    PictureError,
    PictureTooLargeError,
    UrlError,
)
from core.files import base_name
from core.ledger import Import
from core.search import DEFAULT_THRESHOLD, DEFAULT_TOP_K, MAX_TOP_K, Matches, Query
from core.settings import Settings
from core.store import FILE_PATH
from core.urls import clean, key_of

logger = logging.getLogger(__name__)

MAX_LIST_BYTES = 20_000_000
"""The largest list of URLs in one call: some 200,000 of them."""

FORM_ALLOWANCE = 100_000
"""Bytes that a multipart form may have beyond its picture."""

MAX_WAIT = 600.0
"""The longest `?wait=` in seconds."""

TOO_LARGE = "The request is too large."

SIGNED: list[tuple[str, Literal["thumb", "file"]]] = [("/api/thumb/", "thumb"), (FILE_PATH, "file")]
"""What a signature in the address opens, token or not."""

STATUS: list[tuple[type[LookalikeError], int]] = [
    (NotFoundError, 404),
    (PictureTooLargeError, 413),
    (PictureError, 415),
    (UrlError, 400),
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
        ("POST", "/api/search", search, form_size),
        ("GET", "/api/thumb/{id}", thumbnail, 0),
        ("GET", f"{FILE_PATH}{{id}}", file, 0),
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


def _error(status: int, sentence: str, **more: Any) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": sentence, **more}, status, headers=headers)


class _DeclaredSizeLimit:
    """Refuses a body by its Content-Length, in JSON; Starlette's own limit would answer in plain text."""

    def __init__(self, app: ASGIApp, size: int) -> None:
        self._app, self._size = app, size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "0")
        too_large = not declared.isdecimal() or int(declared) > self._size
        await (_error(413, TOO_LARGE) if too_large else self._app)(scope, receive, send)


def _guarded(call: Endpoint, engine: Callable[[], Engine]) -> Callable[[Request], Awaitable[Response]]:
    """Check the caller, and turn whatever goes wrong into a JSON error."""

    async def endpoint(request: Request) -> Response:
        try:
            house = await run_in_threadpool(engine)
            if call is not health and not _may_call(house.settings, request):
                return _error(401, "This call needs the header 'Authorization: Bearer TOKEN' with the API token.")
            if request.method == "POST" and request.headers.get("sec-fetch-site") == "cross-site":
                return _error(403, "Calls from the pages of other sites are refused.")
            return await call(house, request)
        except LookalikeError as error:
            return _error(next((code for kind, code in STATUS if isinstance(error, kind)), 400), str(error))
        except HTTPException as error:
            sentence = TOO_LARGE if error.status_code == 413 else str(error.detail)
            return _error(error.status_code, sentence)
        except Exception:
            logger.exception("%s %s", request.method, request.url.path)
            return _error(500, "Something unforeseen went wrong; the log of the app has the details.")

    return endpoint


def _may_call(settings: Settings, request: Request) -> bool:
    if has_token(settings, request.headers.get("authorization")):
        return True
    for path, what in SIGNED:
        if request.url.path.startswith(path):
            return is_signed(settings, _picture_id(request), request.query_params.get("signature"), what)
    return False


def _unknown(methods: dict[str, str]) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        path = request.url.path
        for start, method in methods.items():
            if (path == start or (start.endswith("/") and path.startswith(start))) and request.method != method:
                return _error(405, f"{path} answers {method} only.")
        return _error(404, f"There is no call {path}.")

    return endpoint


async def upsert(engine: Engine, request: Request) -> Response:
    """POST /api/upsert {"images": [url, ...]}: queue an import; with ?wait=SECONDS answer when it is done."""
    body = await _json(request)
    images = body.get("images") if isinstance(body, dict) else None
    if not isinstance(images, list):
        return _error(400, 'Send {"images": ["https://…", …]}.')
    accepted, rejected = dict[bytes, str](), list[dict[str, str]]()
    for image in images:
        try:
            if not isinstance(image, str):
                raise UrlError("This is not a web address.")
            url = clean(image)
            accepted.setdefault(key_of(url), url)
        except UrlError as error:
            rejected.append({"url": str(image)[:200], "reason": str(error)})
    if not accepted:
        return _error(400, "There is no web address of a picture in the list.", rejected=rejected)
    wait = min(_number(request.query_params.get("wait"), "wait", 0.0, 0.0, math.inf), MAX_WAIT)
    submitted = await run_in_threadpool(engine.submit, "From the API", list(accepted.items()))
    answer = {"import": submitted.id, "accepted": len(accepted), "rejected": rejected}
    if not wait:
        return JSONResponse(answer, 202)
    done = await run_in_threadpool(_wait_for, engine, submitted, wait)
    progress = await run_in_threadpool(_progress, engine, done)
    return JSONResponse({**answer, **progress}, 200 if done.done else 202)


def _wait_for(engine: Engine, submitted: Import, seconds: float) -> Import:
    deadline = time.monotonic() + seconds
    while not submitted.done and time.monotonic() < deadline:
        time.sleep(0.1)
        submitted = engine.ledger.read(submitted.id)
    return submitted


async def read_import(engine: Engine, request: Request) -> Response:
    """GET /api/imports/{id}: the counts of an import and what failed."""
    text = request.path_params["id"]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise NotFoundError(f"There is no import {text[:40]}.")
    found = await run_in_threadpool(engine.ledger.read, int(text))
    return JSONResponse(await run_in_threadpool(_progress, engine, found))


def _progress(engine: Engine, found: Import) -> dict[str, Any]:
    failures = engine.ledger.failures(found.id) if found.failed else []
    return {
        "import": found.id,
        "counts": found.counts,
        "failures": [{"url": failure.url, "reason": failure.reason} for failure in failures],
    }


async def query(engine: Engine, request: Request) -> Response:
    """POST /api/query with a multipart `file`: the URLs of the look-alikes as a JSON array, best first.

    A picture that was dropped as a file has the path of GET /api/file/{id} for its URL, here and in /api/search.
    """
    async with _form(request) as form:
        threshold, top_k = _limits(form, DEFAULT_THRESHOLD)
        data = await _file(form)
        if data is None:
            return _error(400, "Send a picture as the multipart field 'file'.")
    matches = await run_in_threadpool(lambda: engine.search(engine.picture_query(data), top_k))
    return JSONResponse([link(engine.settings, match.url) for match in matches.reaching(threshold) if match.url])


async def search(engine: Engine, request: Request) -> Response:
    """POST /api/search with `file`, `url` or `text`: the matches with their similarities, best first."""
    async with _form(request) as form:
        threshold, top_k = _limits(form, -1.0)
        data = await _file(form)
        url, text = (str(form.get(name) or "").strip() for name in ("url", "text"))
    if sum([data is not None, bool(url), bool(text)]) != 1:
        return _error(400, "Send one of 'file' (a picture), 'url' or 'text'.")

    def find() -> Matches:
        found: Query
        if text:
            found = engine.words_query(text)
        else:
            found = engine.picture_query(data if data is not None else engine.fetcher.fetch(clean(url)).data)
        return engine.search(found, top_k)

    matches = await run_in_threadpool(find)
    return JSONResponse(
        {
            "model": matches.model,
            "matches": [
                {
                    "id": str(match.id),
                    "url": link(engine.settings, match.url),
                    "title": match.title,
                    "similarity": round(match.similarity, 6),
                    "thumbnail": thumbnail_path(engine.settings, match.id),
                }
                for match in matches.reaching(threshold)
            ],
        }
    )


async def thumbnail(engine: Engine, request: Request) -> Response:
    """GET /api/thumb/{id}: a picture's thumbnail, which never changes."""
    mime, image = await run_in_threadpool(engine.store.thumbnail, _picture_id(request))
    return Response(image, media_type=mime, headers=_safe_headers(engine.settings))


async def file(engine: Engine, request: Request) -> Response:
    """GET /api/file/{id}: the bytes of a picture that was dropped as a file, as they came."""
    found = await run_in_threadpool(engine.store.file, _picture_id(request))
    headers = _safe_headers(engine.settings)
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(base_name(found.name), safe='')}"
    return Response(found.data, media_type=found.mime, headers=headers)


def _safe_headers(settings: Settings) -> dict[str, str]:
    """For bytes of strangers that never change: to be shown as what we say that they are, and never to be run."""
    scope = "private" if settings.api_token else "public"
    return {
        "Cache-Control": f"{scope}, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


async def health(engine: Engine, request: Request) -> Response:
    """GET /api/health: how the parts are; 503 while the database cannot be used."""
    return await run_in_threadpool(_health, engine)


def _health(engine: Engine) -> Response:
    database, model = engine.database_state, engine.model_state
    pictures: int | None = None
    problem = database.message
    if database.state == "ready":
        try:
            pictures = engine.store.count()
        except DatabaseError as error:
            problem = str(error)
    usable = pictures is not None
    worker = engine.worker.state if engine.worker else ("starting" if engine.settings.workers else "off")
    return JSONResponse(
        {
            "status": "ok"
            if usable and model.state == "ready" and engine.can_search
            else "starting"
            if not problem and model.state != "failed"
            else "degraded",
            "database": {"state": "failed" if problem else database.state, "message": problem},
            "model": {
                "name": model.model,
                "state": model.state,
                "message": model.message,
                "done_bytes": model.done_bytes,
                "total_bytes": model.total_bytes,
            },
            "worker": {"state": worker, "message": engine.worker.problem if engine.worker else None},
            "pictures": pictures,
            **({"reembedding": asdict(change)} if (change := engine.reembedding) else {}),
        },
        200 if usable or database.state == "starting" else 503,
    )


def _picture_id(request: Request) -> UUID:
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise NotFoundError("There is no picture with that id.") from None


async def _json(request: Request) -> Any:
    """The JSON body. Only as application/json: a foreign page cannot send that without being asked first."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Send JSON with the header 'Content-Type: application/json'.")
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not valid JSON.") from None


def _form(request: Request) -> Any:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(400, "Send the fields as multipart/form-data.")
    return request.form(max_files=1, max_fields=10)


async def _file(form: FormData) -> bytes | None:
    file = form.get("file")
    return await file.read() if isinstance(file, UploadFile) else None


def _limits(form: FormData, threshold: float) -> tuple[float, int]:
    return (
        _number(form.get("threshold"), "threshold", threshold, -1.0, 1.0),
        int(_number(form.get("top_k"), "top_k", DEFAULT_TOP_K, 1, MAX_TOP_K)),
    )


def _number(value: object, name: str, default: float, low: float, high: float) -> float:
    """A number from a form or an address, between its bounds; whole when the default is."""
    if value is None or value == "":
        return default
    try:
        number = int(str(value)) if isinstance(default, int) else float(str(value))
    except ValueError:
        number = math.nan
    if low <= number <= high:
        return number
    bounds = f"from {low:g} to {high:g}" if high != math.inf else f"of at least {low:g}"
    raise HTTPException(400, f"'{name}' must be a {'whole ' if isinstance(default, int) else ''}number {bounds}.")
