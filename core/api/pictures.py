"""The HTTP calls about pictures: thumbnails, kept files, the whole collection."""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from core.api.parsing import error_answer, read_number
from core.collection.table_export import FORMATS
from core.engine import Engine
from core.errors import NotFoundError
from core.media.uploads import base_name
from core.settings import Settings


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
    chunks = await run_in_threadpool(lambda: engine.export_collection(kind, **choices))
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


def picture_id(request: Request) -> UUID:
    """The id in the path of a call. Raises NotFoundError."""
    try:
        return UUID(request.path_params["id"])
    except ValueError:
        raise NotFoundError("There is no picture with that id.") from None
