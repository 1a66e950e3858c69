"""Parsing request bodies and numbers into pydantic models, and describing them for OpenAPI.

FastAPI would parse a body before checking access, and report errors in its own words; so the calls parse bodies here,
as dependencies that follow the guard.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from core.api.errors import encodable, sentence_of

MAX_FIELDS = 40
"""Fields of a form that are read, repeated ones included."""

MAX_NESTED, MAX_VALUES = 20_000, 1_000_000
"""Brackets and commas in JSON that is read: millions of them hold up everybody for seconds."""

INVALID = "The body is not valid JSON."

REF = "#/components/schemas/{model}"
"""The path of models in the OpenAPI description."""

M = TypeVar("M", bound=BaseModel)


def number(name: str, low: float, high: float, *, default: float | None = None, whole: bool = False) -> BeforeValidator:
    """Parses a number within bounds from JSON, a form or a URL; null and "" mean the default."""

    def read(value: object) -> float | None:
        if value is None or value == "":
            return default
        try:
            found = int(str(value)) if whole else float(str(value))
        except ValueError:
            found = math.nan
        if low <= found <= high:
            return found
        bounds = f"from {low:g} to {high:g}" if high != math.inf else f"of at least {low:g}"
        raise ValueError(f"'{name}' must be a {'whole ' if whole else ''}number {bounds}.")

    return BeforeValidator(read)


def is_text(value: str) -> bool:
    """Whether a text has neither NUL, which Postgres does not accept, nor half of a surrogate pair."""
    return "\0" not in value and encodable(value) == value


def _text(value: str) -> str:
    if not is_text(value):
        raise PydanticCustomError("not_text", "no text")
    return value


Text = Annotated[str, AfterValidator(_text)]


async def read_json(request: Request) -> Any:
    """The JSON body. Only application/json is accepted: pages of other sites cannot send it without a CORS preflight.

    Raises HTTPException.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Send JSON with the header 'Content-Type: application/json'.")
    body = await request.body()
    opened = body.count(b"[") + body.count(b"{")
    if opened > MAX_NESTED or body.count(b",") > MAX_VALUES:
        if opened != body.count(b"]") + body.count(b"}"):
            raise HTTPException(400, INVALID)
        raise HTTPException(400, "The body holds too many lists, objects or values. Send them in several calls.")
    try:
        return await run_in_threadpool(json.loads, body)
    except (ValueError, RecursionError):
        raise HTTPException(400, INVALID) from None


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def read_form(request: Request, max_files: int) -> tuple[dict[str, list[str]], list[bytes]]:
    """The text fields of a multipart form by name, and its files named `file`. Raises HTTPException."""
    if not is_form(request):
        raise HTTPException(400, "Send the fields as multipart/form-data.")
    texts, files = dict[str, list[str]](), list[bytes]()
    async with request.form(max_files=max_files, max_fields=MAX_FIELDS) as form:
        for name, value in form.multi_items():
            if isinstance(value, str):
                texts.setdefault(name, []).append(value)
            elif name == "file" and isinstance(value, UploadFile):
                files.append(await value.read())
    return texts, files


def checked(model: type[M], fields: Any, wanted: str) -> M:
    """The fields as that model. Raises HTTPException with a sentence: `wanted` when they have the wrong shape."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems = error.errors(include_input=False)
    unknown = sorted(str(problem["loc"][0]) for problem in problems if problem["type"] == "extra_forbidden")
    if unknown:
        known = sorted(field.alias or name for name, field in model.model_fields.items())
        raise HTTPException(400, f"There is no field '{unknown[0][:40]}': the fields are {', '.join(known)}.")
    raise HTTPException(400, sentence_of(problems, wanted))


def described_body(*, json: type[BaseModel] | None = None, form: type[BaseModel] | None = None) -> dict[str, Any]:
    """The body of a call, for its description (FastAPI's `openapi_extra`)."""
    models = {"application/json": json, "multipart/form-data": form}
    content = {kind: {"schema": model.model_json_schema(ref_template=REF)} for kind, model in models.items() if model}
    return {"requestBody": {"required": True, "content": content}}
