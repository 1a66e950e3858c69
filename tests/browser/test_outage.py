"""The whole app while its database or its model cannot be had, and when they come back."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from bench.support.app import App
from bench.support.data import some_photos
from bench.support.fakehub import VIT_B_32, FakeHub, make_vit_b_32
from bench.support.host import short_folder
from bench.support.webserver import WebServer
from core.database.embedded_server import EmbeddedPostgres
from core.media.decode import THUMBNAIL_SIDE
from tests.support.databases import database_url

pytestmark = pytest.mark.browser

PHOTOS = some_photos(24)


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def copy_of(path: Path) -> bytes:
    """A photo cropped to 94 % and compressed again."""
    image = Image.open(path).convert("RGB")
    w, h = image.size
    buffer = io.BytesIO()
    image.crop((w * 3 // 100, h * 3 // 100, w * 97 // 100, h * 97 // 100)).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def test_a_database_that_is_down_at_start_is_reported_and_used_once_it_is_up(page: Page) -> None:
    with short_folder() as folder:
        server = EmbeddedPostgres(folder)
        with App(until="degraded", POSTGRES_URL=database_url(server, "postgres")) as app:
            page.goto(app.url)
            expect(page.get_by_role("alert").filter(has_text="The database cannot be reached")).to_be_visible()
            assert app.raw("GET", "/api/health").status_code == 503
            refused = app.raw("POST", "/api/upsert", json={"images": ["https://example.org/a.jpg"]})
            assert refused.status_code == 503
            assert "database" in refused.json()["error"]
            server.start()
            try:
                expect(page.get_by_text("There is nothing to search yet")).to_be_visible()
                wait_for(lambda: app.get("/api/health")["status"] == "ok")
            finally:
                app.stop()
                server.stop()


def test_a_wrong_database_url_is_reported_without_its_password(page: Page) -> None:
    with App(until="degraded", POSTGRES_URL="postgresql://me:hunter2@127.0.0.1:1/db") as app:
        page.goto(app.url)
        alert = page.get_by_role("alert").filter(has_text="The database cannot be reached")
        expect(alert).to_be_visible()
        assert "hunter2" not in page.content()
        assert "hunter2" not in app.read_log()


def test_two_apps_share_one_data_folder() -> None:
    with (
        WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as site,
        App(COPY_MODEL="off") as first,
    ):
        urls = [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))]
        with App(COPY_MODEL="off", DATA_DIR=first.environment["DATA_DIR"]) as second:
            done = second.post("/api/upsert?wait=60", json={"images": urls})
            assert done["counts"]["indexed"] == len(PHOTOS)
            assert first.get("/api/health")["pictures"] == len(PHOTOS)
        found = first.post("/api/query", files={"file": PHOTOS[0].read_bytes()})
        assert found[0] == urls[0]


def index_photos(app: App, site: WebServer, pages: Mapping[str, Path]) -> list[str]:
    urls = [site.url(path) for path in pages]
    done = app.post("/api/upsert?wait=120", json={"images": urls})
    assert done["counts"]["indexed"] == len(urls), done
    return urls


PAGES = {f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}


def test_without_a_hub_the_encoder_in_the_box_does_the_work(tmp_path: Path, page: Page) -> None:
    with (
        WebServer(PAGES) as site,
        App(CLIP_MODEL="", COPY_MODEL="off", HF_ENDPOINT="http://127.0.0.1:1", HF_HOME=str(tmp_path)) as app,
    ):
        model = app.get("/api/health")["model"]
        assert (model["name"], model["state"]) == ("built-in", "ready")
        urls = index_photos(app, site, PAGES)
        page.goto(app.url)
        pill = page.get_by_role("button", name="Without CLIP")
        pill.click()
        expect(page.get_by_text("is weaker at finding other things of the same kind")).to_be_visible()
        expect(page.get_by_text("The model hub http://127.0.0.1:1 cannot be reached")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_text("This model does not support text searches")).to_be_visible()
        page.locator('input[type="file"]').first.set_input_files(
            {"name": "copy.jpg", "mimeType": "image/jpeg", "buffer": copy_of(PHOTOS[7])}
        )
        first = page.get_by_role("list", name="Matches").get_by_role("link").first
        expect(first).to_have_attribute("href", urls[7])
        expect(page.get_by_text(re.compile("24 pictures compared in .* with the built-in encoder"))).to_be_visible()
        pill.click()
        page.get_by_role("button", name="Try CLIP again").click()
        expect(pill).to_be_visible()
        page.goto(f"{app.url}/index")
        expect(pill).to_be_visible()
        asked = {"files": {"file": copy_of(PHOTOS[7])}}
        default = app.post("/api/query", **asked)
        assert default == app.post("/api/query", data={"threshold": 0.6}, **asked)
        assert default[0] == urls[7]
        refused = app.raw("POST", "/api/search", files={"text": (None, "a red bicycle")})
        assert refused.status_code == 503
        assert "does not support text: search with a picture" in refused.json()["error"]


def test_clip_comes_when_it_is_tried_again_and_takes_the_collection_over(tmp_path: Path, page: Page) -> None:
    """With random weights: the real CLIP's cannot be had here. They still tell photos apart."""
    hub = FakeHub({VIT_B_32: make_vit_b_32(tmp_path / "vit")})
    hub.rate, hub.mode = 100e6, "broken"
    with (
        hub,
        WebServer(PAGES) as site,
        App(CLIP_MODEL="", COPY_MODEL="off", HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "hf")) as app,
    ):
        urls = index_photos(app, site, PAGES)
        page.goto(app.url)
        page.get_by_role("button", name="Without CLIP").click()
        expect(page.get_by_text("unavailable (HTTP 503)")).to_be_visible()
        hub.mode = "whole"
        page.get_by_role("button", name="Try CLIP again").click()
        expect(page.get_by_text(re.compile("Downloading CLIP: [0-9]+ MB of 605 MB"))).to_be_visible()
        expect(page.get_by_role("button", name="Without CLIP")).to_have_count(0)
        expect(page.get_by_label("Image URL or text")).to_be_visible()
        wait_for(lambda: "reembedding" not in app.get("/api/health"), 120)
        for number in (0, 7, 15):
            same = app.post("/api/search", files={"file": PHOTOS[number].read_bytes()})
            assert same["model"] == "ViT-B-32/laion2b_s34b_b79k"
            assert same["matches"][0]["url"] == urls[number]
            assert same["matches"][0]["similarity"] >= 0.99, "it was embedded from its thumbnail"
            assert app.post("/api/query", files={"file": copy_of(PHOTOS[number])})[0] == urls[number]
        words = app.post("/api/search", files={"text": (None, "a red bicycle")})
        assert len(words["matches"]) == len(PHOTOS)
        thumbnail = app.raw("GET", same["matches"][0]["thumbnail"])
        assert min(Image.open(io.BytesIO(thumbnail.content)).size) <= THUMBNAIL_SIDE
