"""The HTTP calls for imports: the guide's upsert, and the progress of an import."""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from anyio import sleep
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from core.api.access import CurrentEngine, guard
from core.api.bodies import checked, described_body, number, read_json
from core.api.capacity import leave_place
from core.api.errors import Error, ErrorsAsJson, encodable, error_answer, errors
from core.engine import Engine
from core.errors import NotFoundError, UrlError
from core.indexing.imports import Import
from core.indexing.known_pictures import MANY_URLS
from core.media.urls import clean, key_of

MAX_WAIT = 600.0
"""The longest `?wait=` in seconds."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two checks of an import that a caller waits for; each pause is longer than the previous one."""

MAX_REJECTED_SHOWN = 100
"""Rejected URLs listed in a response; the others are only counted."""

CHUNK = 500
"""URLs cleaned at a time: some 50 ms, after which the thread may serve another caller."""

router = APIRouter(route_class=ErrorsAsJson, dependencies=[Depends(guard)], tags=["imports"])


class UpsertBody(BaseModel):
    """A list of pictures to index."""

    images: list[Any] = Field(
        description="URLs of pictures. Invalid ones are listed as rejected, and the others are imported.",
        json_schema_extra={"items": {"type": "string"}},
    )
    restore: bool = Field(False, description="Whether pictures that are in the bin are restored.")
    refresh: bool = Field(
        True,
        description="Whether sites are asked again for what is in the collection, by `ETag` and `Last-Modified` where "
        "they send them. A picture that changed at its URL replaces the old one, which goes to the bin.",
    )


class RejectedUrl(BaseModel):
    """An entry of the list that cannot be fetched."""

    url: str = Field(description="Its first 200 characters.")
    reason: str


class FailedUrl(BaseModel):
    """A URL without a usable picture."""

    url: str
    reason: str


class ImportCounts(BaseModel):
    """How many items of an import are in each state; it is done when none is waiting."""

    waiting: int
    indexed: int
    already_there: int
    failed: int


class SamePictureUrls(BaseModel):
    """URLs that gave one and the same picture."""

    picture: UUID = Field(description="Its id, with which it can be called a placeholder.")
    count: int = Field(description=f"How many URLs, at least {MANY_URLS}.")
    url: str = Field(description="The first of them.")


class WaitingItems(BaseModel):
    """Items that are tried again later."""

    reason: str
    count: int
    until: datetime = Field(description="When the first of them is tried again.")


class Told(BaseModel):
    """What a curator should know of an import; absent where there is nothing."""

    waits: list[WaitingItems] = Field([], description="Why some of the waiting items wait, and until when.")
    same_pictures: list[SamePictureUrls] = Field([], description="Perhaps placeholders, the most frequent first.")
    in_bin: int = Field(0, description="How many of those that were already there are in the bin.")


class ImportProgress(Told):
    """The progress of an import, and what failed."""

    import_id: int = Field(serialization_alias="import")
    counts: ImportCounts
    failures: list[FailedUrl]


class Submitted(Told):
    """A queued import. `counts` and `failures` are present after waiting for it."""

    import_id: int = Field(serialization_alias="import")
    accepted: int = Field(description="How many different URLs were accepted.")
    rejected: list[RejectedUrl] = Field(description=f"The first {MAX_REJECTED_SHOWN} invalid entries.")
    rejected_count: int = Field(0, description=f"Their number, if there are more than {MAX_REJECTED_SHOWN}.")
    counts: ImportCounts | None = None
    failures: list[FailedUrl] = Field([])


class NothingAccepted(Error):
    """An error; if no entry is a valid URL, with the rejected entries as in a success."""

    rejected: list[RejectedUrl] = Field([])
    rejected_count: int = 0


async def _body(request: Request) -> UpsertBody:
    return checked(UpsertBody, await read_json(request), 'Send {"images": ["https://…", …]}.')


@router.post(
    "/upsert",
    status_code=202,
    response_description="The import is queued",
    summary="Index pictures",
    response_model=Submitted,
    response_model_exclude_unset=True,
    openapi_extra=described_body(json=UpsertBody),
    responses={
        200: {"model": Submitted, "description": "The import is done"},
        400: {"model": NothingAccepted},
        **errors(401, 403, 413, 415, 503),
    },
)
async def upsert(
    request: Request,
    response: Response,
    engine: CurrentEngine,
    body: Annotated[UpsertBody, Depends(_body)],
    wait: Annotated[
        float,
        Query(ge=0, description=f"Seconds to wait until the import is done, {MAX_WAIT:g} at most."),
        number("wait", 0, math.inf, default=0.0),
    ] = 0.0,
) -> Any:
    """Queue an import of pictures by their URLs; with `wait`, respond when it is done, or when the time is up."""
    urls = UrlList()
    for start in range(0, len(body.images), CHUNK):
        await run_in_threadpool(urls.add, body.images[start : start + CHUNK])
    rejected = urls.rejected()
    if not urls.accepted:
        return error_answer(400, "There is no web address of a picture in the list.", **rejected)
    accepted = list(urls.accepted.items())
    submitted = await run_in_threadpool(
        engine.imports.submit, "From the API", accepted, restores=body.restore, refreshes=body.refresh
    )
    answer = {"import_id": submitted.id, "accepted": len(urls.accepted), **rejected}
    if not wait:
        return Submitted(**answer)
    leave_place(request)
    found = await _wait_for(request, engine, submitted, min(wait, MAX_WAIT))
    response.status_code = 200 if found.done else 202
    progress = await run_in_threadpool(_progress, engine, found)
    return Submitted(**answer, **progress.model_dump(exclude_unset=True, exclude={"import_id"}))


class UrlList:
    """The entries of a list: `accepted` URLs by their keys, and the rejected entries."""

    def __init__(self) -> None:
        self.accepted = dict[bytes, str]()
        self._rejected = list[RejectedUrl]()
        self._rejected_count = 0

    def add(self, entries: list[Any]) -> None:
        """Check some more entries."""
        for entry in entries:
            try:
                if not isinstance(entry, str):
                    raise UrlError("This is not a web address.")
                url = clean(entry)
                self.accepted.setdefault(key_of(url), url)
            except UrlError as error:
                self._rejected_count += 1
                if len(self._rejected) < MAX_REJECTED_SHOWN:
                    self._rejected.append(RejectedUrl(url=encodable(str(entry)[:200]), reason=encodable(str(error))))

    def rejected(self) -> dict[str, Any]:
        """The rejected entries as the fields of a response."""
        more = {"rejected_count": self._rejected_count} if self._rejected_count > MAX_REJECTED_SHOWN else {}
        return {"rejected": [entry.model_dump() for entry in self._rejected], **more}


async def _wait_for(request: Request, engine: Engine, submitted: Import, seconds: float) -> Import:
    """The import once it is done, the time is up or the caller has disconnected. No thread is blocked. Raises
    DatabaseError."""
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    while not submitted.done and (left := deadline - time.monotonic()) > 0 and not await request.is_disconnected():
        await sleep(min(pause, left))
        pause = min(1.5 * pause, LONGEST_PAUSE)
        submitted = await run_in_threadpool(engine.imports.read, submitted.id)
    return submitted


async def _id(id: Annotated[str, Path(description="An import's id.", json_schema_extra={"type": "integer"})]) -> int:
    """An import's id. Raises NotFoundError when it is not a valid one."""
    if not id.isascii() or not id.isdigit() or len(id) > 18:
        raise NotFoundError(f"There is no import {id[:40]}.")
    return int(id)


ImportId = Annotated[int, Depends(_id)]


@router.get(
    "/imports/{id}",
    summary="The progress of an import",
    response_model_exclude_unset=True,
    responses=errors(401, 404, 503),
)
def read_import(engine: CurrentEngine, id: ImportId) -> ImportProgress:
    """The counts of an import and what failed. It is done when `waiting` is 0."""
    return _progress(engine, engine.imports.read(id))


@router.post(
    "/imports/{id}/fetch_again",
    status_code=202,
    response_description="The import is queued",
    summary="Fetch the pictures of an import again",
    response_model_exclude_unset=True,
    responses=errors(401, 403, 404, 503),
)
def fetch_again(engine: CurrentEngine, id: ImportId) -> ImportProgress:
    """Queue another import, of the URLs of this one. A picture that changed at its URL replaces the old one, which goes
    to the bin. Sites are asked for what changed since (`ETag`, `Last-Modified`)."""
    return _progress(engine, engine.imports.fetch_again(id))


@router.post(
    "/imports/{id}/restore",
    summary="Restore the pictures of an import that are in the bin",
    response_model_exclude_unset=True,
    responses=errors(401, 403, 404, 503),
)
def restore(engine: CurrentEngine, id: ImportId) -> ImportProgress:
    """Restore what this import found in the bin and left there."""
    engine.imports.read(id)
    engine.known_pictures.restore_from_bin(id)
    return _progress(engine, engine.imports.read(id))


def _progress(engine: Engine, found: Import) -> ImportProgress:
    failures = engine.imports.failures(found.id) if found.failed else []
    told = dict[str, Any]()
    if found.done and found.already_there and (same := engine.known_pictures.same_pictures(found.id)):
        told["same_pictures"] = [SamePictureUrls(picture=s.picture, count=s.count, url=s.example) for s in same]
    if found.waits:
        told["waits"] = [WaitingItems(reason=w.reason, count=w.count, until=w.until) for w in found.waits]
    if found.in_bin:
        told["in_bin"] = found.in_bin
    return ImportProgress(
        import_id=found.id,
        counts=ImportCounts(**found.counts),
        failures=[FailedUrl(url=failure.url, reason=failure.reason) for failure in failures],
        **told,
    )
