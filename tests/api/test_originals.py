"""Pictures in full over HTTP: from the kept file, from the site, from a query, and what is shown instead."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from diskcache_community import Cache, SafeDisk
from PIL import Image, ImageOps
from pydantic import SecretStr
from starlette.testclient import TestClient

from bench.support.data import changed, some_photos
from bench.support.webserver import WebServer
from core.collection.filters import Filter
from core.collection.store import picture_id
from core.engine import Engine
from core.media.uploads import DroppedFile
from core.signed_urls import original_path
from tests.conftest import client_of

PHOTOS = some_photos(6)
LARGE = (5000, 3200)


def large() -> bytes:
    """A photo that is far larger than its thumbnail, lying on its side as cameras store portraits."""
    with Image.open(PHOTOS[4]) as photo:
        image = photo.convert("RGB").resize(LARGE)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60, exif=exif)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    pages: dict[str, bytes | Path] = {f"/{number}.jpg": path for number, path in enumerate(PHOTOS[:4])}
    with WebServer(pages | {"/large.jpg": large()}) as server:
        yield server


@pytest.fixture(scope="module")
def client(client: TestClient, site: WebServer) -> TestClient:
    """The API with five pictures indexed."""
    urls = [site.url(f"/{number}.jpg") for number in range(4)]
    answer = client.post("/api/upsert?wait=60", json={"images": [*urls, site.url("/large.jpg")]})
    assert answer.json()["counts"]["indexed"] == 5, answer.text
    return client


def id_of(data: bytes) -> str:
    return str(picture_id(sha256(data).digest()))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def visits(site: WebServer, path: str) -> int:
    return site.hits[path]


def test_an_original_is_fetched_once_upright_and_never_as_it_came(client: TestClient, site: WebServer) -> None:
    before = visits(site, "/large.jpg")
    answers = [client.get(f"/api/original/{id_of(large())}") for _ in range(2)]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "immutable" in answer.headers["cache-control"]
        assert "x-thumbnail-only" not in answer.headers
        image = opened(answer.content)
        assert image.size == LARGE[::-1]  # 3,200 is less than twice the short side that is kept
        assert not image.getexif()
    assert answers[0].content == answers[1].content
    assert visits(site, "/large.jpg") == before + 1


def test_the_thumbnail_stands_in_when_the_site_has_it_no_more_or_another(client: TestClient, site: WebServer) -> None:
    gone, other = PHOTOS[0].read_bytes(), PHOTOS[1].read_bytes()
    pages = dict(site.pages)
    site.pages.pop("/0.jpg")
    site.pages["/1.jpg"] = PHOTOS[5]
    try:
        for data, path in [(gone, "/0.jpg"), (other, "/1.jpg")]:
            before = visits(site, path)
            for _ in range(2):
                answer = client.get(f"/api/original/{id_of(data)}")
                assert answer.status_code == 200
                assert answer.headers["x-thumbnail-only"] == "1"
                assert answer.headers["cache-control"] == "no-store"
                assert answer.content == client.get(f"/api/thumb/{id_of(data)}").content
            assert visits(site, path) == before + 1, "a site that has it no more is not asked each time"
    finally:
        site.pages.clear()
        site.pages.update(pages)


def test_another_encoding_of_the_picture_is_taken(client: TestClient, site: WebServer) -> None:
    data = PHOTOS[2].read_bytes()
    buffer = io.BytesIO()
    opened(data).convert("RGB").save(buffer, "WEBP", quality=70)
    site.pages["/2.jpg"] = buffer.getvalue()
    answer = client.get(f"/api/original/{id_of(data)}")
    assert "x-thumbnail-only" not in answer.headers


def test_a_mirrored_picture_at_its_url_is_another_one(client: TestClient, site: WebServer) -> None:
    data = PHOTOS[3].read_bytes()
    buffer = io.BytesIO()
    ImageOps.mirror(opened(data).convert("RGB")).save(buffer, "JPEG")
    site.pages["/3.jpg"] = buffer.getvalue()
    assert client.get(f"/api/original/{id_of(data)}").headers["x-thumbnail-only"] == "1"


def test_a_dropped_file_and_a_query_need_no_site(client: TestClient, engine: Engine) -> None:
    dropped, known = PHOTOS[5].read_bytes(), engine.store.count()
    engine.imports.submit_files("Dropped", [DroppedFile(sha256(dropped).digest(), "photo.jpg", dropped)])
    deadline = time.monotonic() + 60
    while engine.store.count() == known:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    query = changed(PHOTOS[5])
    engine.query_images.keep("query.jpg", query)
    for data in (dropped, query):
        answer = client.get(f"/api/original/{id_of(data)}")
        assert answer.status_code == 200
        assert opened(answer.content).size == opened(data).size


def test_what_was_deleted_is_gone_from_the_cache_too(client: TestClient, engine: Engine, site: WebServer) -> None:
    with Image.open(PHOTOS[5]) as photo:
        buffer = io.BytesIO()
        photo.convert("L").convert("RGB").save(buffer, "PNG")
    site.pages["/grey.png"] = data = buffer.getvalue()
    client.post("/api/upsert?wait=60", json={"images": [site.url("/grey.png")]})
    path = f"/api/original/{id_of(data)}"
    assert client.get(path).status_code == 200
    id = picture_id(sha256(data).digest())
    engine.curation.remove([id])
    assert client.get(path).status_code == 200, "in the bin it can be looked at"
    engine.curation.delete([id], engine.curation.deletable(Filter(removed=True)).until)
    answer = client.get(path)
    assert answer.status_code == 404
    assert "no picture" in answer.json()["error"]
    with Cache(str(engine.settings.data_dir / "originals"), disk=SafeDisk) as cache:
        assert str(id) not in cache


def test_a_signature_opens_this_picture_and_not_that(client: TestClient, engine: Engine) -> None:
    first, second = picture_id(sha256(large()).digest()), picture_id(sha256(PHOTOS[0].read_bytes()).digest())
    plain, engine.settings = engine.settings, engine.settings.model_copy(update={"api_token": SecretStr("t0ken")})
    try:
        guarded = client_of(engine)
        signed = original_path(engine.settings, first)
        assert guarded.get(signed).status_code == 200
        assert "private" in guarded.get(signed).headers["cache-control"]
        assert guarded.get(f"/api/original/{first}").status_code == 401
        signature = signed.partition("?")[2]
        assert guarded.get(f"/api/original/{second}?{signature}").status_code == 401
        assert guarded.get(f"/api/thumb/{first}?{signature}").status_code == 401
    finally:
        engine.settings = plain


def test_it_goes_on_without_a_cache(client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    file = engine.settings.data_dir / "a file"
    file.write_text("in the way of a folder")
    settings = engine.settings.model_copy(update={"data_dir": file})
    monkeypatch.setattr(engine.originals, "_settings", settings)
    monkeypatch.delitem(vars(engine.originals), "_cache", raising=False)
    answer = client.get(f"/api/original/{id_of(large())}")
    assert answer.status_code == 200
    monkeypatch.delitem(vars(engine.originals), "_cache")
