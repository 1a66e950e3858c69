"""The HTTP calls for sources: places that are read again and again for new pictures."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from core.api.access import CurrentEngine, guard
from core.api.bodies import Text, checked, described_body, read_json
from core.api.errors import ErrorsAsJson, encodable, errors
from core.errors import NotFoundError
from core.indexing.sources.registry import MAX_LISTED, Entry, Every, Reading, Source

router = APIRouter(route_class=ErrorsAsJson, dependencies=[Depends(guard)], tags=["sources"])


class SourceBody(BaseModel):
    """A place to read for pictures."""

    model_config = ConfigDict(extra="forbid")

    location: Text = Field(
        description="The URL of a list, a feed, a sitemap or a IIIF document, or a folder of the server below "
        "LIBRARY_DIRS."
    )
    every: Every = Field("never", description="How often it is read again.")
    name: Text = Field("", description="What it is called; else its folder, or its host and file.")


class SourceReading(BaseModel):
    """One reading of a source: the pictures found, and how many of them are new, changed or gone since the last."""

    begun_at: datetime
    ended_at: datetime | None = Field(description="null while it is going on.")
    import_id: int | None = Field(
        serialization_alias="import", description="The import of the new and changed ones, if there are any."
    )
    found: int
    added: int
    changed: int
    vanished: int
    problem: str | None = Field(description="What could not be read, in sentences.")


class SourceState(BaseModel):
    """A source. Pictures that vanished from it stay in the collection; `skipped` counts files that are no pictures."""

    id: int
    location: str
    name: str
    every: Every
    paused: bool
    reading: bool
    next_reading_at: datetime | None
    held: int
    vanished: int
    skipped: int
    last_reading: SourceReading | None


class SourceEntry(BaseModel):
    """Something in a source: its URL, or its path in the folder. `problem` says why it was left out."""

    location: str
    problem: str | None
    vanished_at: datetime | None


class SourceDetails(SourceState):
    """A source with its history."""

    readings: list[SourceReading] = Field(
        description="The last, and the last 50 before it that found changes or a problem; newest first."
    )
    left_out: list[SourceEntry] = Field(
        description=f"The first {MAX_LISTED:,} that vanished or are no pictures that can be read."
    )


async def _body(request: Request) -> SourceBody:
    return checked(SourceBody, await read_json(request), 'Send {"location": "https://…", "every": "day"}.')


async def _id(id: Annotated[str, Path(description="A source's id.", json_schema_extra={"type": "integer"})]) -> int:
    if not id.isascii() or not id.isdigit() or len(id) > 18:
        raise NotFoundError(f"There is no source {encodable(id[:40])}.")
    return int(id)


SourceId = Annotated[int, Depends(_id)]


@router.get("/sources", summary="All sources", responses=errors(401, 503))
def list_sources(engine: CurrentEngine) -> list[SourceState]:
    """The sources, the oldest first."""
    return [SourceState(**_state(source)) for source in engine.sources.all()]


@router.post(
    "/sources",
    status_code=201,
    summary="Add a source",
    openapi_extra=described_body(json=SourceBody),
    responses=errors(400, 401, 403, 413, 415, 503),
)
def add_source(engine: CurrentEngine, body: Annotated[SourceBody, Depends(_body)]) -> SourceState:
    """Add a source, which is read at once, and then as often as `every` says. New pictures come in as imports, changed
    ones are fetched again, and those that vanish are kept."""
    return SourceState(**_state(engine.sources.add(body.location, body.every, body.name)))


@router.get("/sources/{id}", summary="A source and its history", responses=errors(401, 404, 503))
def read_source(engine: CurrentEngine, id: SourceId) -> SourceDetails:
    """What the source holds, what changed at each reading, and what vanished or was left out."""
    source = engine.sources.read(id)
    return SourceDetails(
        **_state(source),
        readings=[_reading(reading) for reading in engine.sources.history(id)],
        left_out=[_entry(entry) for entry in engine.sources.left_out(id)],
    )


@router.post("/sources/{id}/read", status_code=202, summary="Read a source now", responses=errors(401, 403, 404, 503))
def read_now(engine: CurrentEngine, id: SourceId) -> SourceState:
    """Have a source read as soon as a worker is free, also a paused one."""
    engine.sources.read_now(id)
    return SourceState(**_state(engine.sources.read(id)))


@router.post("/sources/{id}/pause", summary="Pause a source", responses=errors(401, 403, 404, 503))
def pause(engine: CurrentEngine, id: SourceId) -> SourceState:
    """Read a source no more by itself."""
    engine.sources.pause(id)
    return SourceState(**_state(engine.sources.read(id)))


@router.post("/sources/{id}/resume", summary="Resume a source", responses=errors(401, 403, 404, 503))
def resume(engine: CurrentEngine, id: SourceId) -> SourceState:
    """Read a paused source now, and then again as it was wished."""
    engine.sources.resume(id)
    return SourceState(**_state(engine.sources.read(id)))


@router.delete(
    "/sources/{id}",
    status_code=204,
    response_class=Response,
    summary="Remove a source",
    responses=errors(401, 404, 503),
)
def remove_source(engine: CurrentEngine, id: SourceId) -> Response:
    """Forget a source and its history. Its pictures stay in the collection."""
    engine.sources.remove(id)
    return Response(status_code=204)


def _state(source: Source) -> dict[str, Any]:
    return {
        "id": source.id,
        "location": source.location,
        "name": source.name,
        "every": source.every,
        "paused": source.paused_at is not None,
        "reading": source.reading,
        "next_reading_at": source.next_reading_at,
        "held": source.held,
        "vanished": source.vanished,
        "skipped": source.skipped,
        "last_reading": _reading(source.last) if source.last else None,
    }


def _reading(reading: Reading) -> SourceReading:
    return SourceReading(**vars(reading))


def _entry(entry: Entry) -> SourceEntry:
    return SourceEntry(**vars(entry))
