"""The HTTP calls for pictures: thumbnails, originals, stored files, the whole collection."""

from __future__ import annotations

from itertools import chain, islice
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from core.api.access import CurrentEngine, guard, read_picture_id
from core.api.bodies import number
from core.api.errors import ErrorsAsJson, errors
from core.collection.table_export import Format
from core.media.decode import MIMES, Picture
from core.media.uploads import base_name
from core.search.originals import Original
from core.settings import Settings

router = APIRouter(route_class=ErrorsAsJson, dependencies=[Depends(guard)], tags=["pictures"])

MEDIA_TYPES: dict[Format, str] = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


FETCHED_AT_ONCE = 4
"""Originals read at the same time; others wait, on no thread."""

_originals = CapacityLimiter(FETCHED_AT_ONCE)


async def _id(id: Annotated[str, Path(description="A picture's id.", json_schema_extra={"format": "uuid"})]) -> UUID:
    return read_picture_id(id)


PictureId = Annotated[UUID, Depends(_id)]


@router.get(
    "/thumb/{id}",
    summary="A thumbnail",
    response_class=Response,
    responses={200: {"content": {Picture.thumbnail_mime: {}}}, **errors(401, 404, 503)},
)
def thumbnail(engine: CurrentEngine, id: PictureId) -> Response:
    """A picture's thumbnail. It never changes."""
    mime, image = engine.store.thumbnail(id)
    return Response(image, media_type=mime, headers=_safe_headers(engine.settings))


@router.get(
    "/original/{id}",
    summary="A picture in full",
    response_class=Response,
    responses={200: {"content": {Original.mime: {}}}, **errors(401, 404, 503)},
)
async def original(engine: CurrentEngine, id: PictureId) -> Response:
    """A picture of the collection or of a recent query as a JPEG, from its stored file or its URL.

    Large ones are reduced to 2,048 to 4,096 pixels on the short side. If no URL has the picture any more, this is its
    thumbnail, and the header `X-Thumbnail-Only` is `1`.
    """
    found = await to_thread.run_sync(engine.originals.read, id, limiter=_originals)
    headers = _safe_headers(engine.settings)
    if not found.full:
        headers |= {"X-Thumbnail-Only": "1", "Cache-Control": "no-store"}
    return Response(found.data, media_type=found.mime, headers=headers)


@router.get(
    "/file/{id}",
    summary="A stored file",
    response_class=Response,
    responses={200: {"content": {mime: {} for mime in sorted(MIMES.values())}}, **errors(401, 404, 503)},
)
def file(engine: CurrentEngine, id: PictureId) -> Response:
    """The original bytes of a picture that was dropped as a file."""
    found = engine.store.file(id)
    headers = _safe_headers(engine.settings)
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(base_name(found.name), safe='')}"
    return Response(found.data, media_type=found.mime, headers=headers)


@router.get(
    "/collection",
    summary="The whole collection",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}, **errors(400, 401, 503)},
)
def collection(
    engine: CurrentEngine,
    format: Annotated[Format, Query()] = "csv",
    thumbnails: Annotated[int, Query(ge=0, le=1), number("thumbnails", 0, 1, default=0, whole=True)] = 0,
    embeddings: Annotated[int, Query(ge=0, le=1), number("embeddings", 0, 1, default=0, whole=True)] = 0,
) -> StreamingResponse:
    """All pictures as CSV or Parquet; `thumbnails=1` and `embeddings=1` add those.

    If an error occurs during the export, the file is truncated: the connection closes before its end.
    """
    chunks = engine.export_collection(format, thumbnails=bool(thumbnails), embeddings=bool(embeddings))
    first = list(islice(chunks, 2))  # the header and a batch: an immediate failure should be an error response
    return StreamingResponse(
        chain(first, chunks),
        media_type=MEDIA_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="collection.{format}"', "Cache-Control": "no-store"},
    )


class Items(BaseModel):
    """How many items of imports changed their status."""

    items: int


@router.post("/pictures/{id}/placeholder", summary="Call a picture a placeholder", responses=errors(401, 403, 404, 503))
def mark_placeholder(engine: CurrentEngine, id: PictureId) -> Items:
    """Of a picture that a site sends in place of others: it goes to the bin, the items whose URLs led to it count as
    failed, and so does each later URL that gives the very same bytes."""
    return Items(items=engine.known_pictures.mark_placeholder(id))


@router.delete("/pictures/{id}/placeholder", summary="Undo that", responses=errors(401, 404, 503))
def unmark_placeholder(engine: CurrentEngine, id: PictureId) -> Items:
    """The picture comes back, and its items count as before."""
    return Items(items=engine.known_pictures.unmark_placeholder(id))


def _safe_headers(settings: Settings) -> dict[str, str]:
    """Headers for untrusted bytes that never change: shown by our media type only, and never run as scripts."""
    scope = "private" if settings.api_token else "public"
    return {
        "Cache-Control": f"{scope}, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
