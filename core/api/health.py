"""The HTTP call about the app itself."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from core.api.access import CurrentEngine
from core.api.errors import ErrorsAsJson, errors
from core.embedding.active_models import Reembedding
from core.embedding.copy_encoder import OFF
from core.embedding.loader import LoadState
from core.engine import Engine
from core.errors import DatabaseError
from core.version import VERSION

router = APIRouter(route_class=ErrorsAsJson, tags=["health"])


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


class Health(BaseModel):
    """The state of the app. `reembedding` is present while the collection is being re-embedded for another model."""

    status: Literal["ok", "starting", "degraded"]
    database: DatabaseHealth
    model: ModelHealth
    worker: WorkerHealth
    pictures: int | None = Field(
        description="The number of pictures in the collection; null when the database is unavailable."
    )
    version: str
    reembedding: Reembedding | None = None
    copy_model: CopyModelHealth


@router.get(
    "/health",
    summary="The state of the app",
    response_model_exclude_unset=True,
    responses={503: {"model": Health, "description": "The database is unavailable"}, **errors()},
)
def health(engine: CurrentEngine, response: Response) -> Health:
    """The state of the database, the model and the worker. This call needs no token."""
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
    return Health(
        status="ok" if working else "starting" if not problem and model.state != "failed" else "degraded",
        database=DatabaseHealth(state="failed" if problem else database.state, message=problem),
        model=ModelHealth(
            name=model.model,
            state=model.state,
            message=model.message,
            done_bytes=model.done_bytes,
            total_bytes=model.total_bytes,
            **({"awaited": awaited} if awaited else {}),
        ),
        worker=WorkerHealth(state=worker, message=engine.worker.problem if engine.worker else None),
        pictures=pictures,
        version=VERSION,
        **({"reembedding": change} if change else {}),
        copy_model=_copy_model(engine),
    )


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
