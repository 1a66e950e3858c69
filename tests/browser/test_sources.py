"""A source in the browser: a folder that gains and loses files while it is watched, and a list that is not there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from bench.support.app import App
from bench.support.data import many_files
from bench.support.host import short_folder
from bench.support.webserver import WebServer
from tests.support.haste import HASTE

pytestmark = pytest.mark.browser

FILES = many_files(4)

INTERVALS = {"never": None, "hour": 2.0, "day": 86_400.0, "week": 604_800.0}
"""An hour is over soon."""


@pytest.fixture(scope="module")
def library() -> Iterator[Path]:
    with short_folder() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def app(library: Path) -> Iterator[App]:
    constants = {**HASTE, "core.indexing.sources.reader.INTERVALS": INTERVALS}
    with App(constants=constants, RETRY_DELAY="0.05", COPY_MODEL="off", LIBRARY_DIRS=str(library)) as running:
        yield running


def test_a_folder_is_watched_and_told_of(app: App, library: Path, page: Page) -> None:
    folder = library / "vases"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(FILES[0])
    (folder / "two.jpg").write_bytes(FILES[1])
    (folder / "notes.txt").write_text("no picture")
    page.goto(f"{app.url}/index")
    expect(page.get_by_text("Enter the URL of a list, a feed")).to_be_visible()
    location = page.get_by_role("textbox", name="URL or folder")
    location.fill("/etc")
    page.get_by_role("button", name="Add source").click()
    expect(page.get_by_text("/etc is not a folder below")).to_be_visible()
    location.fill("vases")
    page.get_by_role("combobox", name="Read").click()
    page.get_by_role("option", name="Every hour").click()
    page.get_by_role("button", name="Add source").click()
    card = page.locator(".st-key-source-1")
    expect(card.get_by_text(re.compile("^2 pictures · 1 skipped · last reading"))).to_be_visible()
    expect(page.get_by_text(re.compile("^2 indexed$"))).to_be_visible()
    (folder / "three.jpg").write_bytes(FILES[2])
    (folder / "one.jpg").unlink()
    expect(card.get_by_text("2 pictures · 1 vanished · 1 skipped")).to_be_visible()
    expect(page.get_by_text(re.compile("^1 indexed$"))).to_be_visible()
    assert app.get("/api/health")["pictures"] == 3
    card.get_by_role("button", name="Pause").click()
    expect(card.get_by_text("Paused", exact=True)).to_be_visible()
    card.get_by_text("1 vanished from the source, kept here; 1 file skipped").click()
    card.get_by_text("History", exact=True).click()
    rows = card.get_by_role("table").get_by_role("row")
    expect(rows.filter(has_text="2 new")).to_have_count(1)
    expect(rows.filter(has_text="1 new, 1 vanished")).to_have_count(1)
    (entry,) = app.get("/api/sources")
    assert (entry["held"], entry["vanished"], entry["skipped"], entry["paused"]) == (2, 1, 1, True)
    left = {each["location"]: each["problem"] for each in app.get("/api/sources/1")["left_out"]}
    assert left == {"one.jpg": None, "notes.txt": "This is a text, not a picture."}
    shutil.rmtree(folder)
    card.get_by_role("button", name="Read now").click()
    expect(card.get_by_role("alert").get_by_text(re.compile("vases is not there"))).to_be_visible()
    card.get_by_role("button", name="Remove source").click()
    expect(card).to_have_count(0)
    assert app.get("/api/health")["pictures"] == 3


def test_a_source_is_added_over_the_api(app: App) -> None:
    with WebServer({"/a.jpg": FILES[3]}) as site:
        site.pages["/feed"] = (
            f'<rss><channel><item><enclosure url="{site.url("/a.jpg")}"/></item></channel></rss>'.encode()
        )
        added = app.raw("POST", "/api/sources", json={"location": site.url("/feed")})
        assert added.status_code == 201
        path = f"/api/sources/{added.json()['id']}"
        for _ in range(100):
            state = app.get(path)
            if not state["reading"] and app.get("/api/health")["pictures"] == 4:
                break
            app.raw("POST", "/api/upsert?wait=0.2", json={"images": [site.url("/a.jpg")]})
        assert (state["held"], state["last_reading"]["added"], state["next_reading_at"]) == (1, 1, None)
        again = app.raw("POST", "/api/sources", json={"location": site.url("/feed")})
        assert (again.status_code, again.json()) == (400, {"error": "This is a source already."})
        assert app.raw("POST", f"{path}/read").status_code == 202
        assert app.raw("DELETE", path).status_code == 204
        assert app.raw("GET", path).status_code == 404
        assert app.get("/api/health")["pictures"] == 4
