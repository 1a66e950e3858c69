"""How much is done at a time: what is beyond waits a little, and is then refused with the time to come back."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from tempfile import SpooledTemporaryFile
from typing import IO

import anyio
from limits import parse_many
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.api.errors import TOO_LARGE, error_answer
from core.process import memory_limit

CALLS_AT_ONCE = 8
"""Calls with a body that are worked on at a time. Each holds one of the 40 threads that all calls share."""

BYTES_AT_ONCE = min(1_024_000_000, max(256_000_000, memory_limit() // 16))
"""Bytes of all bodies at a time; what is beyond IN_MEMORY of one is on disk."""

IN_MEMORY, CHUNK = 1_000_000, 1 << 18

WAITING, PATIENCE = 200, 20.0
"""Calls that wait for their turn, and the seconds that they do."""

BODY_SECONDS, BYTES_PER_SECOND = 20.0, 20_000
"""Seconds for a body to arrive, and the speed from which on it has more."""

RETRY_AFTER = 5

BUSY = "Too many calls are in progress. Try again in a few seconds."
SLOW = "The request took too long to arrive."

Answer = Callable[[Scope, Receive, Send], Awaitable[None]]


class _TooMuchError(Exception):
    """All bodies together have too many bytes."""


class WithinCapacity:
    """Limits how often each client calls, how long a body takes to arrive, and what is in progress at a time.

    A call takes its place once its body is there: whoever sends slowly holds up nobody.
    """

    def __init__(self, app: ASGIApp, rate: str) -> None:
        """`rate` is the setting RATE_LIMIT."""
        self._app = app
        self._rate, self._rates = rate, parse_many(rate) if rate else []
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._bytes = self._waiting = 0
        self._places: anyio.Semaphore | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif wait := self._seconds_to_wait((scope.get("client") or ("",))[0]):
            sentence = f"These are more calls than RATE_LIMIT allows: {self._rate}. Try again in {wait} s."
            await _refusal(429, sentence, wait)(scope, receive, send)
        elif scope["method"] != "POST":
            await self._app(scope, receive, send)
        else:
            await self._post(scope, receive, send)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, held = SpooledTemporaryFile(IN_MEMORY), 0  # noqa: SIM115  closed below
        try:
            with anyio.fail_after(BODY_SECONDS) as deadline:
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    part = message.get("body", b"")
                    if self._bytes + len(part) > BYTES_AT_ONCE:
                        raise _TooMuchError
                    self._bytes, held = self._bytes + len(part), held + len(part)
                    body.write(part)
                    deadline.deadline += len(part) / BYTES_PER_SECOND
                    more = message.get("more_body", False)
            await self._in_turn(scope, body, receive, send)
        except _TooMuchError:
            await _refusal(503, BUSY, RETRY_AFTER)(scope, receive, send)
        except TimeoutError:
            await _refusal(408, SLOW)(scope, receive, send)
        except HTTPException as error:  # it has become larger than it may be
            await _refusal(error.status_code, TOO_LARGE)(scope, receive, send)
        finally:
            body.close()
            self._bytes -= held

    async def _in_turn(self, scope: Scope, body: IO[bytes], receive: Receive, send: Send) -> None:
        """Pass the call on once there is a place for it."""
        self._places = self._places or anyio.Semaphore(CALLS_AT_ONCE)
        if self._waiting >= WAITING:
            raise _TooMuchError
        self._waiting += 1
        try:
            with anyio.move_on_after(PATIENCE) as patience:
                await self._places.acquire()
        finally:
            self._waiting -= 1
        if patience.cancelled_caught:
            raise _TooMuchError
        place = scope["lookalike.place"] = _Place(self._places)
        try:
            await self._app(scope, _replayed(body, receive), send)
        finally:
            place.leave()

    def _seconds_to_wait(self, client: str) -> int:
        """Seconds until this client may call again; 0 when it may now."""
        for rate in self._rates:
            if not self._limiter.hit(rate, client):
                return max(1, round(self._limiter.get_window_stats(rate, client).reset_time - time.time()))
        return 0


class _Place:
    """The place of a call among those in progress."""

    def __init__(self, places: anyio.Semaphore) -> None:
        self._places: anyio.Semaphore | None = places

    def leave(self) -> None:
        """Let another call in."""
        if self._places is not None:
            self._places.release()
            self._places = None


def leave_place(request: Request) -> None:
    """Let another call in: this one only waits from now on."""
    if place := request.scope.get("lookalike.place"):
        place.leave()


def _replayed(body: IO[bytes], receive: Receive) -> Receive:
    """What a body that has been read whole is received by."""
    left = body.tell()
    body.seek(0)
    begun = False

    async def replay() -> Message:
        nonlocal left, begun
        if begun and not left:
            return await receive()
        part = body.read(min(left, CHUNK))
        left, begun = left - len(part), True
        return {"type": "http.request", "body": part, "more_body": left > 0}

    return replay


def _refusal(status: int, sentence: str, retry_after: int | None = None) -> Answer:
    answer = error_answer(status, sentence)
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    answer.headers["Connection"] = "close"
    return answer
