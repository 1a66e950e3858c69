from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from bench.support.data import changed, some_photos
from bench.support.webserver import WebServer
from core.api import health
from core.engine import Engine
from tests.conftest import client_of

pytestmark = pytest.mark.pooled(only=True)

PHOTOS = some_photos(12)


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    with WebServer({f"/{path.name}-{number}": path for number, path in enumerate(PHOTOS)}) as server:
        yield server


@pytest.fixture(scope="module")
def client(client: TestClient, site: WebServer) -> TestClient:
    """The API with twelve photos indexed."""
    answer = client.post("/api/upsert?wait=60", json={"images": urls(site)})
    assert answer.json()["counts"]["indexed"] == len(PHOTOS), answer.text
    return client


def urls(site: WebServer) -> list[str]:
    return [site.url(f"/{path.name}-{number}") for number, path in enumerate(PHOTOS)]


def test_the_guides_client_works(client: TestClient, site: WebServer) -> None:
    answer = client.post("/api/query", files={"file": ("photo.jpg", PHOTOS[3].read_bytes(), "image/jpeg")})
    assert answer.status_code == 200
    assert answer.json()[0] == urls(site)[3]
    found = client.post("/api/search", files={"file": PHOTOS[3].read_bytes()}).json()["matches"]
    assert answer.json() == [match["url"] for match in found if match["similarity"] >= 0.9]


def test_a_picture_finds_itself_and_a_changed_copy_finds_it_first(client: TestClient, site: WebServer) -> None:
    for number, path in enumerate(PHOTOS):
        same = client.post("/api/search", files={"file": path.read_bytes()}).json()["matches"]
        assert same[0]["url"] == urls(site)[number]
        assert same[0]["similarity"] >= 0.995
        copy = client.post("/api/search", files={"file": changed(path)}).json()["matches"]
        assert copy[0]["url"] == urls(site)[number]


def test_matches_are_whole_ordered_and_limited(client: TestClient, engine: Engine) -> None:
    answer = client.post("/api/search", files={"file": PHOTOS[0].read_bytes()}, data={"top_k": 5}).json()
    assert answer["model"] == engine.model().name
    assert set(answer["matches"][0]) == {"id", "url", "title", "similarity", "thumbnail", "relation", "verified"}
    scores = [match["similarity"] for match in answer["matches"]]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    threshold = scores[2]
    limited = client.post(
        "/api/search", files={"file": PHOTOS[0].read_bytes()}, data={"threshold": f"{threshold - 1e-4}"}
    )
    assert len(limited.json()["matches"]) == 3


def test_search_by_address(client: TestClient, site: WebServer) -> None:
    answer = client.post("/api/search", files={"url": (None, urls(site)[5])})
    assert answer.json()["matches"][0]["url"] == urls(site)[5]


def test_a_thumbnail_is_served_for_ever(client: TestClient) -> None:
    match = client.post("/api/search", files={"file": PHOTOS[0].read_bytes()}).json()["matches"][0]
    answer = client.get(match["thumbnail"])
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert min(Image.open(io.BytesIO(answer.content)).size) <= 256


def test_a_list_again_is_already_there(client: TestClient, site: WebServer, engine: Engine) -> None:
    answer = client.post("/api/upsert?wait=30", json={"images": urls(site)}).json()
    assert answer["counts"] == {"waiting": 0, "indexed": 0, "already_there": len(PHOTOS), "failed": 0}
    assert engine.store.count() == len(PHOTOS)


def test_bad_addresses_are_named_and_the_rest_goes_on(client: TestClient, site: WebServer) -> None:
    images = [urls(site)[0], "ftp://a.example/x.jpg", 7, site.url("/nothing.jpg")]
    answer = client.post("/api/upsert?wait=30", json={"images": images})
    body = answer.json()
    assert answer.status_code == 200
    assert body["accepted"] == 2
    assert [entry["url"] for entry in body["rejected"]] == ["ftp://a.example/x.jpg", "7"]
    assert body["counts"]["failed"] == 1
    assert "404" in body["failures"][0]["reason"]
    again = client.get(f"/api/imports/{body['import']}").json()
    assert again == {key: body[key] for key in ("import", "counts", "failures")}


def test_without_wait_an_import_is_accepted(client: TestClient, site: WebServer) -> None:
    answer = client.post("/api/upsert", json={"images": urls(site)[:1]})
    assert answer.status_code == 202
    assert set(answer.json()) == {"import", "accepted", "rejected"}


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status", "sentence"),
    [
        ("POST", "/api/query", {"files": {"other": b"x"}}, 400, "Send a picture as the multipart field 'file'."),
        ("POST", "/api/query", {"data": {"file": "x"}}, 400, "multipart/form-data"),
        ("POST", "/api/query", {"files": {"file": b""}}, 415, "empty"),
        ("POST", "/api/query", {"files": {"file": b"just words"}}, 415, "not a picture"),
        ("POST", "/api/query", {"files": {"file": b"\0" * 21_000_000}}, 413, "large"),
        ("POST", "/api/search", {"files": {"nothing": b"x"}}, 400, "Send one of"),
        ("POST", "/api/search", {"files": {"text": (None, "a dog")}}, 503, "does not support text"),
        ("POST", "/api/search", {"files": {"url": (None, "ftp://a/b")}}, 400, "http"),
        ("POST", "/api/query", {"files": {"file": b"x"}, "data": {"threshold": "many"}}, 400, "'threshold'"),
        ("POST", "/api/query", {"files": {"file": b"x"}, "data": {"threshold": "nan"}}, 400, "'threshold'"),
        ("POST", "/api/query", {"files": {"file": b"x"}, "data": {"top_k": "0"}}, 400, "'top_k'"),
        ("POST", "/api/upsert", {"content": b'{"images": []}'}, 415, "application/json"),
        ("POST", "/api/upsert", {"json": {"images": []}}, 400, "no web address"),
        ("POST", "/api/upsert", {"json": {"images": "x"}}, 400, "Send {"),
        ("POST", "/api/upsert", {"json": ["x"]}, 400, "Send {"),
        (
            "POST",
            "/api/upsert",
            {"content": b"{", "headers": {"content-type": "application/json"}},
            400,
            "not valid JSON",
        ),
        ("GET", "/api/imports/999999", {}, 404, "no import 999999"),
        ("GET", "/api/imports/x", {}, 404, "no import x"),
        ("GET", "/api/thumb/0", {}, 404, "no picture"),
        ("GET", "/api/thumb/00000000-0000-0000-0000-000000000000", {}, 404, "no picture"),
        ("GET", "/api/nothing", {}, 404, "no call"),
        ("GET", "/api/upsert", {}, 405, "answers POST only"),
        (
            "POST",
            "/api/query",
            {"files": {"file": b"x"}, "headers": {"sec-fetch-site": "cross-site"}},
            403,
            "other sites",
        ),
    ],
)
def test_errors_are_json_sentences(
    client: TestClient, method: str, path: str, arguments: dict[str, Any], status: int, sentence: str
) -> None:
    answer = client.request(method, path, **arguments)
    assert answer.status_code == status, answer.text
    assert sentence in answer.json()["error"]


def test_health_tells_of_every_part(client: TestClient, engine: Engine) -> None:
    body = client.get("/api/health").json()
    assert body["status"] == "ok"
    assert body["database"]["state"] == "ready"
    assert body["model"]["state"] == "ready"
    assert body["worker"]["state"] == "running"
    assert body["pictures"] == engine.store.count()
    assert body["disk"]["free_bytes"] > 0


def test_a_full_disk_is_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DISK_LOW", 1 << 60)
    body = client.get("/api/health").json()
    assert body["status"] == "degraded"
    assert "make room" in body["disk"]["message"]


def test_a_token_guards_every_call_but_health(client: TestClient, engine: Engine) -> None:
    thumbnail = client.post("/api/search", files={"file": PHOTOS[0].read_bytes()}).json()["matches"][0]["thumbnail"]
    plain, engine.settings = engine.settings, engine.settings.model_copy(update={"api_token": _Token()})
    try:
        guarded = client_of(engine)
        for method, path in [
            ("POST", "/api/upsert"),
            ("POST", "/api/query"),
            ("POST", "/api/search"),
            ("GET", "/api/imports/1"),
            ("GET", thumbnail),
        ]:
            assert guarded.request(method, path).status_code == 401
        assert guarded.get("/api/health").json() == {"status": "ok"}, "strangers are told no more"
        assert guarded.get("/api/health", headers={"Authorization": "Bearer t0ken"}).json()["version"]
        answer = guarded.post(
            "/api/search", files={"file": PHOTOS[0].read_bytes()}, headers={"Authorization": "Bearer t0ken"}
        )
        signed = answer.json()["matches"][0]["thumbnail"]
        assert guarded.get(signed).status_code == 200
        assert "private" in guarded.get(signed).headers["cache-control"]
    finally:
        engine.settings = plain


class _Token:
    def get_secret_value(self) -> str:
        return "t0ken"
