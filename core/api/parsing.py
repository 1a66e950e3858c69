"""What the HTTP calls have in common: JSON errors, and reading a request's body and numbers."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

MAX_FIELDS = 40
"""Fields of a form that are read."""


def error_answer(status: int, sentence: str, **more: Any) -> JSONResponse:
    """{"error": sentence}, with that status."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": sentence, **more}, status, headers=headers)


async def read_json(request: Request) -> Any:
    """The JSON body. Only as application/json: a foreign page cannot send that without being asked first."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Send JSON with the header 'Content-Type: application/json'.")
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not valid JSON.") from None


def read_form(request: Request, max_files: int) -> Any:
    """The multipart form, to be used in an `async with`. Raises HTTPException."""
    if not is_form(request):
        raise HTTPException(400, "Send the fields as multipart/form-data.")
    return request.form(max_files=max_files, max_fields=MAX_FIELDS)


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def read_file(value: object) -> bytes | None:
    """The bytes of a form's file; None when the field is none."""
    return await value.read() if isinstance(value, UploadFile) else None


def read_number(value: object, name: str, default: float, low: float, high: float) -> float:
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
