"""The HTTP call about the app itself."""

from __future__ import annotations

import shutil
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.requests import Request

from core.api.access import CurrentEngine, has_token
from core.api.errors import ErrorsAsJson, errors
from core.embedding.active_models import Reembedding
from core.embedding.copy_encoder import OFF
from core.embedding.loader import LoadState
from core.engine import Engine
from core.errors import DatabaseError
from core.version import VERSION

router = APIRouter(route_class=ErrorsAsJson, tags=["health"])


DISK_LOW = 200_000_000
"""Bytes below which the disk counts as full: Postgres alone may write 64 MB of its log before it can free any."""

Status = Literal["ok", "starting", "degraded"]


class Up(BaseModel):
    """All that is told to callers without the API token, where there is one."""

    status: Status


class DiskHealth(BaseModel):
    """The disk that DATA_DIR is on; `message` is a sentence when it is nearly full, else ""."""

    free_bytes: int
    message: str


class DatabaseHealth(BaseModel):
    """The state of the database; `message` is a sentence when it is unavailable, else ""."""

    state: Literal["starting", "ready", "failed"]
    message: str


class ModelHealth(BaseModel):
    """The state of the model. `awaited` is the state of the model that will replace it."""

    name: str
    state: Literal["loading", "ready", "failed"]
    message: str
    done_bytes: int
    total_bytes: int | None
    awaited: LoadState | None = None


class CopyModelHealth(BaseModel):
    """The state of the model that finds edited copies of a picture; `message` is a sentence when it is unavailable,
    else "". `reembedding` is present while it has not embedded every picture yet."""

    name: str
    state: Literal["off", "loading", "ready", "failed"]
    message: str
    reembedding: Reembedding | None = None


class WorkerHealth(BaseModel):
    """The state of the worker inside the app; "off" when WORKERS is 0."""

    state: str
    message: str | None


class Health(Up):
    """The state of the app. `reembedding` is present while the collection is being re-embedded for another model."""

    database: DatabaseHealth
    model: ModelHealth
    worker: WorkerHealth
    pictures: int | None = Field(
        description="The number of pictures in the collection; null when the database is unavailable."
    )
    version: str
    reembedding: Reembedding | None = None
    copy_model: CopyModelHealth
    disk: DiskHealth


@router.get(
    "/health",
    summary="The state of the app",
    response_model_exclude_unset=True,
    responses={503: {"model": Health, "description": "The database is unavailable"}, **errors()},
)
def health(engine: CurrentEngine, request: Request, response: Response) -> Health | Up:
    """The state of the database, the model, the worker and the disk. This call needs no token; without it, only the
    status is told."""
    found = _health(engine, response)
    if has_token(engine.settings, request.headers.get("authorization")):
        return found
    return Up(status=found.status)


def _health(engine: Engine, response: Response) -> Health:
    database, model = engine.database_state, engine.model_state
    pictures: int | None = None
    problem = database.message
    if database.state == "ready":
        try:
            pictures = engine.store.count()
        except DatabaseError as error:
            problem = str(error)
    usable = pictures is not None
    if not usable and database.state != "starting":
        response.status_code = 503
    working = usable and model.state == "ready" and engine.can_search
    awaited, change = engine.model_selection.awaited, engine.reembedding
    worker = engine.worker.state if engine.worker else ("starting" if engine.settings.workers else "off")
    problem_of_worker, disk = engine.worker.problem if engine.worker else None, _disk(engine)
    failing = problem or model.state == "failed" or problem_of_worker or disk.message
    return Health(
        status="degraded" if failing else "ok" if working else "starting",
        database=DatabaseHealth(state="failed" if problem else database.state, message=problem),
        model=ModelHealth(
            name=model.model,
            state=model.state,
            message=model.message,
            done_bytes=model.done_bytes,
            total_bytes=model.total_bytes,
            **({"awaited": awaited} if awaited else {}),
        ),
        worker=WorkerHealth(state=worker, message=problem_of_worker),
        pictures=pictures,
        version=VERSION,
        **({"reembedding": change} if change else {}),
        copy_model=_copy_model(engine),
        disk=disk,
    )


def _disk(engine: Engine) -> DiskHealth:
    folder = engine.settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    low = f"Only {free / 1e6:,.0f} MB are free on the disk of DATA_DIR: make room, or imports will fail."
    return DiskHealth(free_bytes=free, message=low if free < DISK_LOW else "")


def _copy_model(engine: Engine) -> CopyModelHealth:
    model, change = engine.copy_model_state, engine.copy_reembedding
    if model is None:
        return CopyModelHealth(name=OFF, state="off", message="")
    return CopyModelHealth(
        name=model.model,
        state=model.state,
        message="" if model.state == "ready" else model.message,
        **({"reembedding": change} if change else {}),
    )
