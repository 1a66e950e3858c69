"""Calls that are meant to hurt: each of these stalled, filled or broke the API of the day before they were written."""

from __future__ import annotations

import gc
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from PIL import Image, ImageFile
from starlette.applications import Starlette
from starlette.testclient import TestClient

from bench.support.data import some_photos
from bench.support.webserver import Visit, WebServer
from core.api import imports
from core.api.routes import routes
from core.collection import table_export
from core.engine import Engine
from tests.support.api_server import ApiServer

PHOTOS = some_photos(6)
JSON = {"content-type": "application/json"}


def slow(visit: Visit) -> None:
    visit.server.site.closing.wait(5)


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    pages = {f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}
    with WebServer({**pages, "/slow.jpg": slow}) as server:
        yield server


@pytest.fixture(scope="module")
def picture(client: TestClient, site: WebServer) -> str:
    """The id of a picture, one of six."""
    images = [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))]
    answer = client.post("/api/upsert?wait=60", json={"images": images})
    assert answer.json()["counts"]["indexed"] == len(PHOTOS), answer.text
    found = client.post("/api/search", files={"file": PHOTOS[0].read_bytes()}).json()["matches"]
    return str(found[0]["id"])


@pytest.fixture
def server(engine: Engine) -> Iterator[ApiServer]:
    with ApiServer(Starlette(routes=routes(lambda: engine, engine.settings))) as server:
        yield server


@pytest.mark.parametrize("bad", [r"\u0000", r"\ud800", r"x\udfffx"])
@pytest.mark.parametrize("field", ["tag", "domain", "url", "text", "unknown", "since", "top_k", "words", "part's url"])
def test_a_text_that_is_none_is_refused(client: TestClient, picture: str, field: str, bad: str) -> None:
    query = f'"parts": [{{"picture": "{picture}"}}]'
    body = {
        "tag": f'{{{query}, "tag": ["fine", "{bad}"]}}',
        "url": f'{{"url": "{bad}"}}',
        "text": f'{{"text": "{bad}a"}}',
        "unknown": f'{{{query}, "field {bad}": 1}}',
        "words": f'{{"parts": [{{"picture": "{picture}"}}, {{"words": "{bad}a"}}]}}',
        "part's url": f'{{"parts": [{{"url": "{bad}"}}]}}',
    }.get(field, f'{{{query}, "{field}": "{bad}"}}')
    answer = client.post("/api/search", content=body.encode(), headers=JSON)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize("fields", [{"tag": "\0"}, {"domain": "a\0"}])
def test_a_form_has_none_either(client: TestClient, fields: dict[str, str]) -> None:
    answer = client.post("/api/search", files={"file": PHOTOS[0].read_bytes()}, data=fields)
    assert answer.status_code == 400, answer.text
    assert "no text" in answer.json()["error"]


@pytest.mark.parametrize("bad", [r"http://a.example/\u0000.jpg", r"http://a.example/\ud800.jpg", r"\udfff://x"])
def test_an_entry_of_a_list_that_is_no_text_is_rejected(client: TestClient, site: WebServer, bad: str) -> None:
    alone = client.post("/api/upsert", content=f'{{"images": ["{bad}"]}}'.encode(), headers=JSON)
    assert alone.status_code == 400, alone.text
    good = site.url("/0.jpg")
    among = client.post("/api/upsert", content=f'{{"images": ["{bad}", "{good}"]}}'.encode(), headers=JSON)
    assert among.status_code == 202, among.text
    assert (among.json()["accepted"], len(among.json()["rejected"])) == (1, 1)


def test_who_waits_for_an_import_holds_up_nobody(
    server: ApiServer, engine: Engine, site: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, read = list[float](), engine.imports.read

    def counted(import_id: int) -> Any:
        reads.append(time.monotonic())
        return read(import_id)

    monkeypatch.setattr(engine.imports, "read", counted)
    monkeypatch.setattr(imports, "LONGEST_PAUSE", 0.2)
    body = json.dumps({"images": [site.url("/slow.jpg")]})
    request = "POST /api/upsert?wait=60 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request += f"Content-Length: {len(body)}\r\n\r\n{body}"
    waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(45)]
    try:
        for connection in waiting:
            connection.sendall(request.encode())
        deadline = time.monotonic() + 60
        while len(engine.imports.latest(100)) < 40 and time.monotonic() < deadline:
            time.sleep(0.1)
        begun = time.monotonic()
        assert httpx2.get(f"{server.url}/api/health", timeout=60).status_code == 200
        assert time.monotonic() - begun < 5
    finally:
        for connection in waiting:
            connection.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < max(reads) + 1.0:  # five times the longest pause between two looks
        assert time.monotonic() < deadline, "somebody still looks at an import whose caller has left"
        time.sleep(0.05)
    for entry in engine.imports.latest(100):
        engine.imports.cancel(entry.id)


def test_a_list_that_is_slow_to_clean_stalls_nobody(server: ApiServer) -> None:
    images = [f"https://user@bücher.example/straße/ä{number}.jpg" for number in range(20_000)]
    answers = list[httpx2.Response]()
    begun = time.monotonic()
    call = threading.Thread(
        target=lambda: answers.append(httpx2.post(f"{server.url}/api/upsert", json={"images": images}, timeout=300))
    )
    call.start()
    worst = 0.0
    with httpx2.Client(base_url=server.url, timeout=300) as client:
        while call.is_alive():
            asked = time.monotonic()
            client.get("/api/nothing")
            worst = max(worst, time.monotonic() - asked)
            time.sleep(0.02)
    call.join()
    assert worst < (time.monotonic() - begun) / 3
    body = answers[0].json()
    assert answers[0].status_code == 400
    assert (len(body["rejected"]), body["rejected_count"]) == (100, len(images))


@pytest.mark.parametrize("declared", [True, False])
def test_a_query_as_json_is_bounded(client: TestClient, declared: bool) -> None:
    body = b'{"tag": [' + b"[]," * 400_000 + b"[]]}"
    answer = client.post("/api/search", content=body if declared else iter([body]), headers=JSON)
    assert answer.status_code == 413, answer.text[:200]
    assert answer.json() == {"error": "The request is too large."}


def test_a_picture_that_cannot_be_read_is_let_go_of_at_once(client: TestClient) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (400, 300), "red").save(buffer, "TIFF", compression="tiff_lzw")
    damaged = buffer.getvalue().replace(b"\x80\x3f", b"\xff\xff", 1)[:-400]
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            assert client.post("/api/query", files={"file": damaged}).status_code == 415
        held = [found for found in gc.get_objects() if issubclass(type(found), ImageFile.ImageFile)]
        assert len(held) == 0
    finally:
        gc.enable()


def spoil(engine: Engine, order: str) -> str:
    """Give one picture a date that Python cannot hold. Returns its id."""
    with engine.database.connection() as connection:
        row = connection.execute(
            f"""UPDATE pictures SET indexed_at = '0001-01-01 00:00:00+14' WHERE id = (
                    SELECT id FROM pictures ORDER BY id {order} LIMIT 1) RETURNING id"""
        ).fetchone()
    assert row is not None
    return str(row[0])


def mend(engine: Engine, picture: str) -> None:
    with engine.database.connection() as connection:
        connection.execute("UPDATE pictures SET indexed_at = now() WHERE id = %s", (picture,))


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_a_collection_that_fails_at_once_is_an_error(
    client: TestClient, engine: Engine, picture: str, format: str
) -> None:
    spoilt = spoil(engine, "ASC")
    try:
        answer = client.get(f"/api/collection?format={format}")
    finally:
        mend(engine, spoilt)
    assert answer.status_code == 500
    assert "error" in answer.json()


def test_a_collection_that_fails_midway_is_cut_off(
    server: ApiServer, engine: Engine, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_export, "BATCH", 2)
    whole = httpx2.get(f"{server.url}/api/collection", timeout=60)
    assert whole.text.count("\n") == len(PHOTOS) + 1
    spoilt = spoil(engine, "DESC")
    try:
        with pytest.raises(httpx2.RemoteProtocolError):
            httpx2.get(f"{server.url}/api/collection", timeout=60)
    finally:
        mend(engine, spoilt)


def test_head_is_answered_where_get_is(client: TestClient, picture: str) -> None:
    assert client.head("/api/health").status_code == 200
    assert client.head(f"/api/thumb/{picture}").headers["content-type"] == "image/jpeg"
