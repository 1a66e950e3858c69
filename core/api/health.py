"""GET /api/health."""

from __future__ import annotations

from dataclasses import asdict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.engine import Engine
from core.errors import DatabaseError


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
                **({"awaited": asdict(awaited)} if (awaited := engine.model_selection.awaited) else {}),
            },
            "worker": {"state": worker, "message": engine.worker.problem if engine.worker else None},
            "pictures": pictures,
            **({"reembedding": asdict(change)} if (change := engine.reembedding) else {}),
        },
        200 if usable or database.state == "starting" else 503,
    )
