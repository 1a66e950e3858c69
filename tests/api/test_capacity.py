"""More than can be done at a time waits or is refused; slow bodies hold up nobody; headers and hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Scope

from core.api import capacity
from core.api.capacity import WithinCapacity, leave_place
from core.api.headers import KnownHosts, SafeHeaders
from core.errors import SettingsError
from core.settings import load_settings

T = TypeVar("T")

SCOPE: Scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "client": ("1.2.3.4", 5)}


class Calls:
    """An app that is slow, and counts how many calls are in it at a time."""

    def __init__(self, *, leaves: bool = False) -> None:
        self.inside = self.most = self.bytes = 0
        self._leaves = leaves

    async def __call__(self, scope: Scope, receive: object, send: object) -> None:
        request = Request(scope, receive)  # type: ignore[arg-type]
        self.bytes += len(await request.body())
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self._leaves:
            leave_place(request)
        await anyio.sleep(0.05)
        self.inside -= 1
        await JSONResponse([])(scope, receive, send)  # type: ignore[arg-type]


async def ask(app: WithinCapacity, parts: list[bytes], *, ends: bool = True) -> tuple[int, dict[str, str]]:
    """The status and headers that a POST gets whose body comes in parts."""
    waiting, found = list(parts), list[Message]()

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting) or not ends}

    async def send(message: Message) -> None:
        found.append(message)

    await app(dict(SCOPE), receive, send)
    return found[0]["status"], {name.decode(): value.decode() for name, value in found[0]["headers"]}


def run(call: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """The call's value, from a thread of its own: where a browser was driven before, this one has an event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, call, *arguments).result()


async def many(app: WithinCapacity, count: int) -> list[int]:
    answers = list[int]()

    async def one() -> None:
        answers.append((await ask(app, [b"ab", b"c"]))[0])

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return answers


def test_calls_take_turns_unless_they_only_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "CALLS_AT_ONCE", 3)
    busy, waiting = Calls(), Calls(leaves=True)
    assert run(many, WithinCapacity(busy, ""), 10) == [200] * 10
    assert (busy.most, busy.bytes) == (3, 30)
    assert run(many, WithinCapacity(waiting, ""), 10) == [200] * 10
    assert waiting.most > 3


def test_what_waits_too_long_or_is_too_much_is_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "CALLS_AT_ONCE", 1)
    monkeypatch.setattr(capacity, "PATIENCE", 0.02)
    assert set(run(many, WithinCapacity(Calls(), ""), 5)) == {200, 503}
    monkeypatch.setattr(capacity, "BYTES_AT_ONCE", 1000)
    app = WithinCapacity(Calls(), "")
    for _ in range(2):  # what a refused call held is free again
        status, headers = run(ask, app, [bytes(600), bytes(600)])
        assert (status, headers["retry-after"]) == (503, "5")
    assert run(ask, app, [bytes(900)])[0] == 200


def test_a_body_that_never_comes_ends_by_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "BODY_SECONDS", 0.05)

    async def half_sent() -> int:
        return (await ask(WithinCapacity(Calls(), ""), [b"{"], ends=False))[0]

    assert run(half_sent) == 408


def site(rate: str = "", **settings: object) -> TestClient:
    async def hello(_: Request) -> JSONResponse:
        return JSONResponse([])

    made = load_settings(**settings)
    middleware = [Middleware(SafeHeaders, made), Middleware(KnownHosts, made), Middleware(WithinCapacity, rate)]
    return TestClient(Starlette(routes=[Route("/", hello)], middleware=middleware), base_url="http://localhost")


def test_a_client_that_calls_too_often_is_told_by_which_setting() -> None:
    client = site("2/minute")
    assert [client.get("/").status_code for _ in range(3)] == [200, 200, 429]
    refused = client.get("/")
    assert "RATE_LIMIT" in refused.json()["error"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    with pytest.raises(SettingsError, match="RATE_LIMIT"):
        load_settings(rate_limit="often")


def test_only_this_site_and_those_in_the_settings_may_frame_it() -> None:
    headers = site().get("/").headers
    assert headers["content-security-policy"].endswith("frame-ancestors 'self'")
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")
    assert headers["x-frame-options"] == "SAMEORIGIN"
    headers = site(embedded_by="https://intranet.example").get("/").headers
    assert headers["content-security-policy"].endswith("frame-ancestors 'self' https://intranet.example")
    assert "x-frame-options" not in headers
    with pytest.raises(SettingsError, match="EMBEDDED_BY"):
        load_settings(embedded_by="https://a.example; script-src *")


@pytest.mark.parametrize(
    ("settings", "known", "unknown"),
    [
        ({}, ["localhost:8501", "127.0.0.1", "[::1]:8501"], ["evil.example", "192.168.1.2", "localhost.evil.example"]),
        ({"host": "0.0.0.0"}, ["localhost", "192.168.1.2:8501", "[fd00::1]:8501"], ["evil.example", "1.evil.example"]),
        ({"host": "0.0.0.0", "allowed_hosts": "a.example"}, ["a.example:80"], ["192.168.1.2", "b.example"]),
        ({"allowed_hosts": "*.a.example"}, ["x.a.example"], ["a.example.evil"]),
    ],
)
def test_other_names_are_not_answered(settings: dict[str, Any], known: list[str], unknown: list[str]) -> None:
    client = site(**settings)
    assert [client.get("/", headers={"Host": host}).status_code for host in known] == [200] * len(known)
    assert [client.get("/", headers={"Host": host}).status_code for host in unknown] == [400] * len(unknown)
