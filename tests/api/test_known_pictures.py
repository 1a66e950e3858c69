"""Pictures that an import meets again, over the API: placeholders, those in the bin, and changed ones."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from bench.support.webserver import Page, Visit, WebServer
from core.engine import Engine
from core.indexing.known_pictures import PLACEHOLDER


def swatch(seed: int) -> bytes:
    """A picture unlike those of other seeds."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def upsert(client: TestClient, urls: list[str], **more: Any) -> dict[str, Any]:
    answer = client.post("/api/upsert?wait=60", json={"images": urls, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def wait(client: TestClient, engine: Engine, import_id: int) -> dict[str, Any]:
    for _ in range(600):
        if engine.imports.read(import_id).done:
            return dict(client.get(f"/api/imports/{import_id}").json())
        time.sleep(0.1)
    raise AssertionError("the import is not done")


def test_a_placeholder_is_told_and_known_from_then_on(client: TestClient) -> None:
    pages: dict[str, Page] = {**{f"/{number}.png": swatch(1) for number in range(6)}, "/real.png": swatch(2)}
    with WebServer(pages) as site:
        first = upsert(client, [site.url(path) for path in pages])
        (same,) = first["same_pictures"]
        assert (same["count"], same["url"]) == (6, site.url("/0.png"))
        path = f"/api/pictures/{same['picture']}/placeholder"
        assert client.post(path).json() == {"items": 6}
        told = client.get(f"/api/imports/{first['import']}").json()
        assert told["counts"] == {"waiting": 0, "indexed": 1, "already_there": 0, "failed": 6}
        assert {failure["reason"] for failure in told["failures"]} == {PLACEHOLDER}
        assert "same_pictures" not in told
        later = upsert(client, [site.url("/0.png"), site.url("/0.png?another")])
        assert later["counts"] == {"waiting": 0, "indexed": 0, "already_there": 0, "failed": 2}
        site.pages["/1.png"] = swatch(3)
        assert upsert(client, [site.url("/1.png")])["counts"]["indexed"] == 1
    assert client.delete(path).json() == {"items": 8}
    assert client.get(f"/api/imports/{first['import']}").json()["counts"]["failed"] == 0
    assert client.delete(path).status_code == 404


def test_what_is_in_the_bin_is_known_by_its_bytes_and_left_or_restored(client: TestClient, engine: Engine) -> None:
    with WebServer({"/a.png": swatch(4), "/b.png": swatch(5)}) as site:
        a, b = site.url("/a.png"), site.url("/b.png")
        upsert(client, [a, b])
        (kept,) = engine.curation.remove([picture_of(client, swatch(4))])
        again = upsert(client, [a, f"{a}?signed=anew", b], refresh=False)
        assert again["counts"] == {"waiting": 0, "indexed": 0, "already_there": 3, "failed": 0}
        assert again["in_bin"] == 2
        assert site.hits["/a.png"] == 2, "the URL that is known was not asked"
        restored = client.post(f"/api/imports/{again['import']}/restore").json()
        assert "in_bin" not in restored
        assert picture_of(client, swatch(4)) == kept
        engine.curation.remove([kept])
        assert upsert(client, [a], restore=True)["counts"]["indexed"] == 1


def test_fetch_again_asks_only_for_what_changed(client: TestClient, engine: Engine) -> None:
    now = {"/tagged.png": swatch(6), "/dated.png": swatch(7), "/plain.png": swatch(8)}
    sent = dict[str, int]()

    def serve(visit: Visit) -> None:
        data = now[visit.path]
        version = {"/tagged.png": {"ETag": f'"{hash(data)}"'}, "/dated.png": {"Last_Modified": str(hash(data))}}
        headers: dict[str, Any] = dict(version.get(visit.path, {}))
        asked = (visit.headers.get("If-None-Match"), visit.headers.get("If-Modified-Since"))
        if any(value in asked for value in headers.values()):
            visit.answer(status=304, **headers)
            return
        sent[visit.path] = sent.get(visit.path, 0) + 1
        visit.answer(data, **headers)

    with WebServer(dict.fromkeys(now, serve)) as site:
        first = upsert(client, [site.url(path) for path in now])
        again = client.post(f"/api/imports/{first['import']}/fetch_again")
        assert again.status_code == 202
        assert wait(client, engine, again.json()["import"])["counts"]["already_there"] == 3
        assert sent == {"/tagged.png": 1, "/dated.png": 1, "/plain.png": 2}
        now["/tagged.png"] = swatch(9)
        again = client.post(f"/api/imports/{first['import']}/fetch_again")
        assert wait(client, engine, again.json()["import"])["counts"]["indexed"] == 1
        assert sent["/tagged.png"] == 2
        found = client.post("/api/query", files={"file": swatch(9)}, data={"top_k": "1"}).json()
        assert found == [site.url("/tagged.png")]
        now["/tagged.png"] = swatch(6)  # back to the former picture, which is in the bin since
        again = client.post(f"/api/imports/{first['import']}/fetch_again")
        assert wait(client, engine, again.json()["import"])["counts"]["indexed"] == 1
        now["/plain.png"] = swatch(10)
        assert upsert(client, [site.url("/plain.png")], refresh=False)["counts"]["already_there"] == 1
        assert upsert(client, [site.url("/plain.png")])["counts"]["indexed"] == 1
        assert client.post("/api/query", files={"file": swatch(10)}, data={"top_k": "1"}).json() == [
            site.url("/plain.png")
        ]
    assert client.post("/api/imports/999999/fetch_again").status_code == 404


def picture_of(client: TestClient, data: bytes) -> Any:
    found = client.post("/api/search", files={"file": data}, data={"top_k": "1"}).json()
    return UUID(found["matches"][0]["id"])


def test_an_import_that_waits_says_why_and_until_when(client: TestClient, engine: Engine) -> None:
    with WebServer() as site:
        answer = client.post("/api/upsert?wait=2", json={"images": [site.url("/status?code=429&after=50")]})
        assert answer.status_code == 202
        (wait,) = answer.json()["waits"]
        engine.imports.cancel(answer.json()["import"])
    assert (wait["count"], wait["reason"]) == (1, "127.0.0.1 answered 429: requests are rate-limited.")
    assert datetime.fromisoformat(wait["until"]) > datetime.now(UTC)
