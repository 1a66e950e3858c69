"""Dropping pictures and ZIPs into the index page, and its offer to import a LlamaIndex table."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator

import httpx2
import psycopg
import pytest
from playwright.sync_api import FilePayload, Page, expect

from bench.support.app import App
from bench.support.browser import PATIENCE
from bench.support.data import some_photos
from bench.support.webserver import WebServer

pytestmark = pytest.mark.browser

PHOTOS = some_photos(20)


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    """An app with an empty collection."""
    with App(COPY_MODEL="off") as running:
        yield running


def payload(name: str, data: bytes, mime: str = "application/octet-stream") -> FilePayload:
    return {"name": name, "mimeType": mime, "buffer": data}


def box() -> bytes:
    """A ZIP of ten photos with what operating systems and people leave in such."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(5, 15):
            archive.writestr(f"tray {number % 2}/{number}.jpg", PHOTOS[number].read_bytes())
            archive.writestr(f"__MACOSX/tray {number % 2}/._{number}.jpg", b"\0\5\26\7")
        archive.writestr(".DS_Store", b"\0\0\0\1Bud1")
        archive.writestr("contents.csv", b"number,title\n5,Five\n")
    return buffer.getvalue()


def test_dropped_pictures_and_zips_are_previewed_indexed_and_kept(app: App, page: Page) -> None:
    page.goto(f"{app.url}/index")
    page.get_by_role("tab", name="Upload pictures").click()
    expect(page.get_by_text("Nothing has been indexed yet")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("LlamaIndex")).to_have_count(0)
    panel = page.get_by_role("tabpanel", name="Upload pictures")
    panel.locator('input[type="file"]').set_input_files(
        [
            *(payload(f"photo {number}.jpg", PHOTOS[number].read_bytes(), "image/jpeg") for number in range(5)),
            payload("notes.txt", b"These are our photos.", "text/plain"),
            payload("box.zip", box(), "application/zip"),
        ]
    )
    expect(panel.get_by_text("15 ready")).to_be_visible(timeout=PATIENCE)
    expect(panel.get_by_text("11 hidden")).to_be_visible()
    expect(panel.get_by_text("2 cannot be used")).to_be_visible()
    assert app.get("/api/health")["pictures"] == 0
    panel.get_by_role("button", name="Index 15 pictures").click()
    expect(page.get_by_text("15 indexed", exact=True)).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Uploaded pictures").last).to_be_visible()
    expect(panel.get_by_text("15 ready")).to_have_count(0)

    page.get_by_role("link", name="Search them").click()
    expect(page).to_have_url(re.compile("import=1"))
    page.get_by_label("Drop a picture, or press Ctrl+V").locator('input[type="file"]').set_input_files(
        payload("query.jpg", PHOTOS[8].read_bytes(), "image/jpeg")
    )
    best = page.get_by_role("list", name="Matches").get_by_role("link").first
    expect(best).to_have_text("8.jpg", timeout=PATIENCE)
    url = best.get_attribute("href")
    assert url is not None
    answer = httpx2.get(url)
    assert (answer.status_code, answer.content) == (200, PHOTOS[8].read_bytes())
    opened = page.context.new_page()
    opened.goto(url)
    assert opened.evaluate("document.images[0].naturalWidth") > 0


def test_a_zip_that_cannot_be_read_says_so(app: App, page: Page) -> None:
    page.goto(f"{app.url}/index")
    page.get_by_role("tab", name="Upload pictures").click()
    panel = page.get_by_role("tabpanel", name="Upload pictures")
    panel.locator('input[type="file"]').set_input_files(payload("box.zip", box()[:5000], "application/zip"))
    expect(panel.get_by_text("1 cannot be used")).to_be_visible(timeout=PATIENCE)
    expect(panel.get_by_role("button", name="Index 0 pictures")).to_be_disabled()


def test_a_llamaindex_table_is_offered_and_imported(empty_database: str, page: Page) -> None:
    pages = {f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}
    with WebServer(pages) as site:
        with psycopg.connect(empty_database) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION vector")
            cursor.execute(
                """CREATE TABLE llamaindex_embedding (
                       id uuid DEFAULT gen_random_uuid() PRIMARY KEY, external_id varchar, collection varchar,
                       document text, metadata jsonb DEFAULT '{}', embeddings vector(512))"""
            )
            cursor.executemany(
                "INSERT INTO llamaindex_embedding (collection, document, metadata) VALUES ('', '', %s)",
                [(json.dumps({"url": site.url(path)}),) for path in pages] + [("{}",), (None,)],
            )
        with App(POSTGRES_URL=empty_database, COPY_MODEL="off") as app:
            page.goto(f"{app.url}/index")
            offer = page.get_by_text("LlamaIndex table")
            expect(offer).to_contain_text("llamaindex_embedding in this database has 20 pictures", timeout=PATIENCE)
            page.get_by_role("button", name="Index them").click()
            expect(page.get_by_text("20 indexed", exact=True)).to_be_visible(timeout=PATIENCE)
            expect(page.get_by_test_id("stMain").get_by_text("llamaindex_embedding")).to_be_visible()
            expect(offer).to_have_count(0)
