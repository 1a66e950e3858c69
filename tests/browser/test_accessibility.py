"""What axe finds on each page and in what opens on it, empty and filled, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Page, expect

from bench.support.app import App
from bench.support.data import changed, some_photos
from bench.support.webserver import WebServer

pytestmark = pytest.mark.browser

PAGES = ["", "index", "collection", "duplicates", "tune"]
PHOTOS = some_photos(40)

STREAMLITS = [
    '[data-testid="stFileUploaderDropzone"]',  # presentational, and yet it has a tab index and a label
    '[data-testid="stPagination"] [role="navigation"]',  # two of them have one name, which is fixed
]
"""Elements of Streamlit's own that nothing here can name or mark otherwise."""


@pytest.fixture(scope="module")
def empty() -> Iterator[App]:
    with App() as running:
        yield running


@pytest.fixture(scope="module")
def filled() -> Iterator[App]:
    """With forty photos, and changed copies of three of them."""
    files: dict[str, Any] = {f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}
    with WebServer(files) as site, App() as running:
        running.post("/api/upsert?wait=120", json={"images": [site.url(name) for name in files]})
        yield running


def check(page: Page, found: dict[str, Any], what: str) -> None:
    """Note what axe finds on the page as it is, once it is at rest."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    page.wait_for_timeout(300)  # what fades in has its contrast at the end
    violations = Axe().run(page, context={"exclude": [[part] for part in STREAMLITS]}).response["violations"]
    for violation in violations:
        found[f"{what}: {violation['id']}"] = [node["html"][:200] for node in violation["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["empty", "filled"])
def test_axe_finds_nothing(
    new_page: Callable[..., Page], request: pytest.FixtureRequest, scheme: str, state: str
) -> None:
    app: App = request.getfixturevalue(state)
    page = new_page(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    found: dict[str, Any] = {}
    for path in PAGES:
        page.goto(f"{app.url}/{path}")
        expect(page.get_by_role("heading").first).to_be_visible()
        check(page, found, path or "search")
    if state == "filled":
        page.locator('[data-testid="stMain"]').wait_for()
        page.goto(app.url)
        expect(page.get_by_text("Which of your pictures look like it?")).to_be_visible()
        picture: FilePayload = {"name": "mine.jpg", "mimeType": "image/jpeg", "buffer": changed(PHOTOS[5])}
        page.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(picture)
        edit = page.get_by_role("button", name="Edit mine.jpg")
        expect(edit).to_be_visible()
        check(page, found, "matches")
        page.get_by_role("button", name="Details").click()
        check(page, found, "details")
        page.keyboard.press("Escape")
        edit.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        check(page, found, "editor")
        page.get_by_role("button", name="Done").click()
        page.get_by_role("button", name="Add to the query").click()
        check(page, found, "adding")
        page.keyboard.press("Escape")
        page.locator(".picture").first.click()
        page.keyboard.press("i")
        expect(page.get_by_role("complementary", name="Facts")).to_be_visible()
        check(page, found, "comparing table")
        page.goto(f"{app.url}/collection")
        page.locator(".picture").first.click()
        expect(page.get_by_role("dialog", name=re.compile("Picture"))).to_be_visible()
        check(page, found, "drawer")
    assert found == {}
