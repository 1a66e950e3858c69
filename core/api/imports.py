"""The HTTP calls about imports: the guide's upsert, and what became of one."""

from __future__ import annotations

import math
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.api.parsing import error_answer, read_json, read_number
from core.engine import Engine
from core.errors import NotFoundError, UrlError
from core.indexing.imports import Import
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
    submitted = await run_in_threadpool(engine.imports.submit, "From the API", list(accepted.items()))
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
        submitted = engine.imports.read(submitted.id)
    return submitted


async def read_import(engine: Engine, request: Request) -> Response:
    """GET /api/imports/{id}: the counts of an import and what failed."""
    text = request.path_params["id"]
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise NotFoundError(f"There is no import {text[:40]}.")
    found = await run_in_threadpool(engine.imports.read, int(text))
    return JSONResponse(await run_in_threadpool(_progress, engine, found))


def _progress(engine: Engine, found: Import) -> dict[str, Any]:
    failures = engine.imports.failures(found.id) if found.failed else []
    return {
        "import": found.id,
        "counts": found.counts,
        "failures": [{"url": failure.url, "reason": failure.reason} for failure in failures],
    }
