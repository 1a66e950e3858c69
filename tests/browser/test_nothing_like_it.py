"""A collection of scenes is asked for a photo of another kind of thing, and for another photo of one of its scenes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import FilePayload, Page, expect

from bench.support.app import App
from bench.support.data import DATA, PHOTOS, changed
from bench.support.webserver import WebServer

pytestmark = pytest.mark.browser

SCENES = sorted((DATA / "photos-more" / "openstax-photos").glob("*.jpg"))[:90]
FOREIGN = PHOTOS / "llama" / "image_0003.jpg"


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    """The app with ninety photos of scenes from textbooks indexed."""
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(SCENES)}) as site, App() as running:
        urls = [site.url(f"/{number}.jpg") for number in range(len(SCENES))]
        answer = running.post("/api/upsert?wait=120", json={"images": urls})
        assert answer["counts"]["indexed"] == len(SCENES)
        yield running


def search_for(page: Page, app: App, name: str, data: bytes) -> None:
    page.goto(app.url)
    expect(page.get_by_text("Which of your pictures look like it?")).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    picture: FilePayload = {"name": name, "mimeType": "image/jpeg", "buffer": data}
    page.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(picture)
    expect(page.get_by_role("list", name="Matches").get_by_role("img").first).to_be_visible()


def test_of_a_foreign_photo_it_says_that_there_is_probably_nothing_like_it(app: App, page: Page) -> None:
    search_for(page, app, "llama.jpg", FOREIGN.read_bytes())
    advice = page.locator('[data-part="advice"]')
    expect(advice).to_have_text(
        re.compile(
            r"^Probably nothing like it here: the best match, at \d+.%, is no closer than what \d+.% of the pictures "
            r"here find without their own look-alikes\. Unrelated pictures end at about \d+.%\.$"
        )
    )
    expect(page.locator(".advice svg")).to_be_visible()
    page.get_by_role("button", name="Details").click()
    expect(page.get_by_role("button", name=re.compile("^Same thing"))).to_be_visible()  # nothing is kept from view
    cuts = app.post("/api/search", files={"file": FOREIGN.read_bytes()})["cuts"]
    assert (cuts["nothing"], cuts["verdict"]) == (True, "nothing")
    assert 0.5 <= cuts["chance"] <= 1


def test_of_another_photo_of_a_scene_it_suggests_a_cut(app: App, page: Page) -> None:
    search_for(page, app, "scene.jpg", changed(SCENES[7]))
    expect(page.locator('[data-part="advice"]')).to_have_text(
        re.compile(r"^Suggested: \d+.%, .* end at about \d+.%\.$")
    )
    cuts = app.post("/api/search", files={"file": changed(SCENES[7])})["cuts"]
    assert (cuts["nothing"], cuts["verdict"]) == (False, "match")
    assert cuts["chance"] <= 0.05
