"""The errors of the HTTP API, all as {"error": "<a sentence>"}, and their status codes."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from core.errors import (
    DatabaseError,
    EncoderError,
    FetchError,
    LookalikeError,
    NotFoundError,
    PictureError,
    PictureTooLargeError,
    QueryError,
    UrlError,
)

logger = logging.getLogger(__name__)

STATUS: list[tuple[type[LookalikeError], int]] = [
    (NotFoundError, 404),
    (PictureTooLargeError, 413),
    (PictureError, 415),
    (UrlError, 400),
    (QueryError, 400),
    (FetchError, 502),
    (EncoderError, 503),
    (DatabaseError, 503),
]

TOO_LARGE = "The request is too large."
UNFORESEEN = "An unexpected error occurred; see the app's log for details."


class Error(BaseModel):
    """What went wrong."""

    error: str = Field(description="A sentence for people: what went wrong and what to do.")


def errors(*statuses: int, model: type[Error] = Error) -> dict[int | str, dict[str, Any]]:
    """The error responses of a call for its description: these statuses, and 500, which any call may return."""
    return {status: {"model": model} for status in (*statuses, 500)}


def error_answer(status: int, sentence: str, **more: Any) -> JSONResponse:
    """{"error": sentence}, with that status. Half of a surrogate pair quoted in the sentence becomes a "?"."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": encodable(sentence), **more}, status, headers=headers)


def encodable(text: str) -> str:
    """The text with a "?" for each lone surrogate, which UTF-8 cannot hold."""
    return text.encode(errors="replace").decode()


def sentence_of(problems: Sequence[Mapping[str, Any]], wanted: str = "The request cannot be understood.") -> str:
    """The first of pydantic's errors as a sentence; `wanted` is the sentence for a body of the wrong shape."""
    first = problems[0]
    name = next((step for step in reversed(first["loc"]) if isinstance(step, str)), "")
    match first["type"]:
        case "value_error":
            return str(first["ctx"]["error"])
        case "string_type" if name:
            return f"'{name}' must be text."
        case "not_text" if name:
            return f"'{name}' has a character that is no text: NUL, or half of a surrogate pair."
        case "literal_error":
            return f"'{name}' must be {first['ctx']['expected'].replace(chr(39), '')}."
        case _:
            return wanted


class ErrorsAsJson(APIRoute):
    """A call that runs in a thread, where its errors are turned into responses.

    An exception that crosses threads is kept alive by the future that carries it, and keeps the frames it passed
    through: a decoder and its picture stayed in memory until the garbage collector found the cycle. Responses are
    serialized outside the thread, because FastAPI would need another one for that.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint if inspect.iscoroutinefunction(endpoint) else _in_thread(endpoint), **options)


def _in_thread(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    def answer(arguments: dict[str, Any]) -> Any:
        try:
            return endpoint(**arguments)
        except LookalikeError as error:
            return answer_to(error)
        except Exception:
            logger.exception("call %s", endpoint.__name__)
            return error_answer(500, UNFORESEEN)

    @functools.wraps(endpoint)
    async def answered(**arguments: Any) -> Any:
        return await run_in_threadpool(answer, arguments)

    return answered


def answer_to(error: LookalikeError) -> JSONResponse:
    """The response for an error of Lookalike's own."""
    return error_answer(next((code for kind, code in STATUS if isinstance(error, kind)), 400), str(error))


async def on_lookalike_error(_: Request, error: Exception) -> JSONResponse:
    """FastAPI's handler for such errors raised outside of a thread."""
    assert isinstance(error, LookalikeError)
    return answer_to(error)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """The handler for errors of the framework and of our own parsing."""
    assert isinstance(error, HTTPException)
    path, allowed = request.url.path, (error.headers or {}).get("Allow")
    match error.status_code:
        case 404:
            sentence = f"There is no call {path}."
        case 405:
            sentence = f"{path} answers {allowed} only."
        case 413:
            sentence = TOO_LARGE
        case _:
            sentence = str(error.detail)
    answer = error_answer(error.status_code, sentence)
    if allowed:
        answer.headers["Allow"] = allowed
    return answer


async def on_bad_parameter(_: Request, error: Exception) -> JSONResponse:
    """The handler for an invalid parameter in the URL."""
    assert isinstance(error, RequestValidationError)
    return error_answer(400, sentence_of(error.errors()))


async def on_unforeseen(_: Request, __: Exception) -> JSONResponse:
    """The handler for every other error, which the server then logs."""
    return error_answer(500, UNFORESEEN)
