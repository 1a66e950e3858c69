"""The HTTP calls about imports, pictures and the app's health."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any
from urllib.parse import quote
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from core.collection.table_export import FORMATS
from core.engine import Engine
from core.errors import DatabaseError, NotFoundError, UrlError
from core.media.uploads import base_name
from core.api.parsing import error_answer, read_json, read_number
from core.indexing.imports import Import
from core.settings import Settings
from core.media.urls import clean, key_of

MAX_WAIT = 600.0
"""The longest `?wait=` in seconds."""


async def upsert(engine: Engine, request: Request) -> Response:
    """POST /api/upsert {"images": [url, ...]}: queue an import; with ?wait=SECONDS answer when it is done."""
    body = await read_json(request)
    images = body.get("images") if isinstance(body, dict) else None
    if not isinstance(images, list):
        return error_answer(400, 'Send {"images": ["https://…", …]}.')
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
        return error_answer(400, "There is no web address of a picture in the list.", rejected=rejected)
    wait = min(read_number(request.query_params.get("wait"), "wait", 0.0, 0.0, math.inf), MAX_WAIT)
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


async def thumbnail(engine: Engine, request: Request) -> Response:
    """GET /api/thumb/{id}: a picture's thumbnail, which never changes."""
    mime, image = await run_in_threadpool(engine.store.thumbnail, picture_id(request))
    return Response(image, media_type=mime, headers=_safe_headers(engine.settings))


async def file(engine: Engine, request: Request) -> Response:
    """GET /api/file/{id}: the bytes of a picture that was dropped as a file, as they came."""
    found = await run_in_threadpool(engine.store.file, picture_id(request))
    headers = _safe_headers(engine.settings)
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(base_name(found.name), safe='')}"
    return Response(found.data, media_type=found.mime, headers=headers)


async def collection(engine: Engine, request: Request) -> Response:
    """GET /api/collection: all pictures as CSV or Parquet; ?thumbnails=1 and ?embeddings=1 add those."""
    asked = request.query_params.get("format", "csv")
    kind = next((kind for kind in FORMATS if kind == asked), None)
    if kind is None:
        return error_answer(400, "'format' must be csv or parquet.")
    choices = {
        name: bool(read_number(request.query_params.get(name), name, 0, 0, 1)) for name in ("thumbnails", "embeddings")
    }
    chunks = await run_in_threadpool(lambda: engine.export(kind, **choices))
    return StreamingResponse(
        chunks,
        media_type="text/csv; charset=utf-8" if kind == "csv" else "application/vnd.apache.parquet",
        headers={"Content-Disposition": f'attachment; filename="collection.{kind}"', "Cache-Control": "no-store"},
    )


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
                **({"awaited": asdict(awaited)} if (awaited := engine.choice.awaited) else {}),
            },
            "worker": {"state": worker, "message": engine.worker.problem if engine.worker else None},
            "pictures": pictures,
            **({"reembedding": asdict(change)} if (change := engine.reembedding) else {}),
        },
        200 if usable or database.state == "starting" else 503,
    )


def picture_id(request: Request) -> UUID:
    """The id in the path of a call. Raises NotFoundError."""
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise NotFoundError("There is no picture with that id.") from None
