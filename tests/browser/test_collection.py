"""The collection page: looking through, choosing, tagging, the bin, and one picture in the drawer."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, FilePayload, Locator, Page, expect

from bench.support.app import App
from bench.support.data import some_photos
from bench.support.webserver import WebServer

pytestmark = pytest.mark.browser

COUNT = 120
PHOTOS = some_photos(COUNT)
ARTISTS = ("Hals", "Leyster", "Vermeer")


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as server:
        yield server


@pytest.fixture(scope="module")
def app(site: WebServer) -> Iterator[App]:
    with App(COPY_MODEL="off") as running:
        yield running


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """A window so tall that nothing scrolls: a menu closes when what it stands in does."""
    return {**browser_context_args, "viewport": {"width": 1280, "height": 1600}}


@pytest.fixture(scope="module")
def filled(app: App, site: WebServer) -> App:
    """All photos but ten by the API, which says nothing of them."""
    answer = app.post("/api/upsert?wait=120", json={"images": [site.url(f"/{n}.jpg") for n in range(10, COUNT)]})
    assert answer["counts"]["indexed"] == COUNT - 10
    return app


def open_page(page: Page, app: App, query: str = "") -> None:
    page.goto(f"{app.url}/collection{query}")
    expect(pictures(page).first).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def pictures(page: Page) -> Locator:
    return page.get_by_role("list", name="Pictures").get_by_role("listitem")


def names(page: Page) -> list[str]:
    return page.get_by_role("list", name="Pictures").get_by_role("link").all_text_contents()


def status(page: Page) -> Locator:
    return page.locator(".picture-grid.selectable [data-part=heading], .picture-grid.all-selected [data-part=heading]")


def undo_bar(page: Page) -> Locator:
    return page.locator(".st-key-undo-bar-page")


def give_tag(page: Page, tag: str) -> None:
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_role("combobox", name=re.compile("^Tag")).fill(tag)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Add tag", exact=True).click()
    expect(undo_bar(page)).to_contain_text(f"tagged {tag}")
    page.keyboard.press("Escape")


def in_collection(app: App, count: int) -> None:
    deadline = time.monotonic() + 20
    while app.get("/api/health")["pictures"] != count and time.monotonic() < deadline:
        time.sleep(0.1)
    assert app.get("/api/health")["pictures"] == count


def test_a_list_with_columns_is_indexed_and_kept_to(app: App, site: WebServer, page: Page) -> None:
    page.goto(f"{app.url}/collection")
    expect(page.get_by_text("The collection is empty")).to_be_visible()
    table = io.StringIO()
    csv.writer(table).writerows(
        [("image", "Title", "artist"), *((site.url(f"/{n}.jpg"), f"Plate {n}", ARTISTS[n % 3]) for n in range(10))]
    )
    page.get_by_role("link", name="Index pictures").click()
    page.get_by_role("tab", name="Upload a list").click()
    plates: FilePayload = {"name": "plates.csv", "mimeType": "text/csv", "buffer": table.getvalue().encode()}
    page.locator('[data-testid="stFileUploader"]:visible input[type=file]').set_input_files(plates)
    page.get_by_role("button", name="Index 10 pictures").click()
    in_collection(app, 10)
    open_page(page, app, "?sort=Name,+A+to+Z")
    assert names(page) == [f"Plate {n}" for n in range(10)]
    page.get_by_role("button", name="Filters").click()
    page.get_by_role("combobox", name="Field").click()
    page.get_by_role("option", name="artist").click()
    page.get_by_role("combobox", name="artist").fill("Hals")
    page.keyboard.press("Enter")
    expect(pictures(page)).to_have_count(4)
    assert names(page) == ["Plate 0", "Plate 3", "Plate 6", "Plate 9"]
    expect(page).to_have_url(re.compile("field=artist.*value=Hals"))
    page.get_by_role("button", name="Clear filters").click()
    page.keyboard.press("Escape")
    expect(pictures(page)).to_have_count(10)


def test_pages_are_turned_and_the_url_has_the_page(filled: App, page: Page) -> None:
    open_page(page, filled, "?per_page=50+a+page&sort=Name,+A+to+Z")
    expect(status(page)).to_have_text("1 to 50 of 120 pictures")
    first = names(page)
    pages = page.get_by_test_id("stPagination")
    pages.last.get_by_role("button", name=re.compile("next", re.IGNORECASE)).click()
    expect(status(page)).to_have_text("51 to 100 of 120 pictures")
    expect(page).to_have_url(re.compile("page=2"))
    assert not set(first) & set(names(page))
    open_page(page, filled, "?per_page=50+a+page&sort=Name,+A+to+Z&page=3")
    expect(status(page)).to_have_text("101 to 120 of 120 pictures")
    page.get_by_role("combobox", name="Sort").click()
    page.get_by_role("option", name="Name, Z to A").click()
    expect(status(page)).to_have_text("1 to 50 of 120 pictures")
    assert names(page)[-1] not in first


def test_a_range_is_tagged_and_the_tag_renamed_and_all_undone(filled: App, page: Page) -> None:
    open_page(page, filled, "?per_page=50+a+page&sort=Name,+A+to+Z")
    pictures(page).nth(2).get_by_role("checkbox").click()
    pictures(page).nth(7).get_by_role("checkbox").click(modifiers=["Shift"])
    expect(page.get_by_text("6 pictures selected")).to_be_visible()
    give_tag(page, "Loan")
    page.get_by_role("button", name="Rename tag").click()
    page.get_by_label("New name").fill("Loan 2026")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Rename everywhere").click()
    expect(undo_bar(page)).to_contain_text("Loan is now Loan 2026 on 6 pictures.")
    open_page(page, filled, "?tag=Loan+2026")
    expect(pictures(page)).to_have_count(6)


def test_all_that_match_are_removed_looked_at_in_the_bin_and_restored(filled: App, page: Page) -> None:
    open_page(page, filled, "?per_page=50+a+page")
    page.get_by_role("button", name="Select all 120").click()
    expect(page.get_by_text("120 pictures selected")).to_be_visible()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("The collection is empty")).to_be_visible()
    assert filled.get("/api/health")["pictures"] == 0
    page.get_by_text("Bin", exact=True).click()
    expect(status(page)).to_have_text("1 to 50 of 120 pictures")
    expect(pictures(page).first).to_contain_text("Removed")
    pictures(page).first.get_by_role("checkbox").click()
    page.get_by_role("button", name="Restore", exact=True).click()
    expect(undo_bar(page)).to_contain_text("1 picture restored to the collection.")
    page.get_by_role("button", name="Select all 119").click()
    page.get_by_role("button", name="Restore", exact=True).click()
    expect(undo_bar(page)).to_contain_text("119 pictures restored to the collection.")
    expect(page.get_by_text("The bin is empty")).to_be_visible()
    undo_bar(page).get_by_role("button", name="Undo").click()
    expect(status(page)).to_have_text("1 to 50 of 119 pictures")
    page.get_by_role("button", name="Select all 119").click()
    page.get_by_role("button", name="Restore", exact=True).click()
    expect(page.get_by_text("The bin is empty")).to_be_visible()
    in_collection(filled, 120)


def test_one_picture_in_the_drawer(filled: App, site: WebServer, page: Page) -> None:
    open_page(page, filled, "?sort=Name,+Z+to+A")
    expect(pictures(page).first).to_contain_text("Plate 9")
    pictures(page).first.locator(".picture").click()
    drawer = page.get_by_role("dialog")
    expect(drawer).to_contain_text(ARTISTS[9 % 3])
    expect(drawer).to_contain_text("plates.csv")
    drawer.get_by_role("button", name="Check link").click()
    expect(drawer).to_contain_text("Alive: the URL still leads to this picture.")
    title = drawer.get_by_label("Title")
    title.fill("The last plate")
    title.press("Enter")
    expect(drawer).to_contain_text("The title is now The last plate.")
    drawer.get_by_role("button", name="Undo").click()
    expect(title).to_have_value("Plate 9")
    tags = drawer.get_by_role("combobox", name=re.compile("Tags"))
    tags.fill("Seen")
    tags.press("Enter")
    expect(drawer).to_contain_text("1 picture tagged Seen.")
    page.keyboard.press("Tab")  # the open menu hides the rest
    look_alikes = drawer.get_by_role("list", name="6 most similar pictures").get_by_role("listitem")
    expect(look_alikes).to_have_count(6)
    name = look_alikes.first.get_by_role("link").inner_text()
    look_alikes.first.locator(".picture").click()
    expect(drawer.get_by_placeholder(name, exact=True)).to_be_visible()
    expect(title).to_have_count(1)
    drawer.get_by_role("button", name="Back").click()
    expect(drawer.get_by_placeholder("Plate 9", exact=True)).to_have_value("Plate 9")
    drawer.get_by_role("button", name="Search with this picture").click()
    expect(page.get_by_role("list", name="Matches").get_by_role("link").first).to_have_text("Plate 9")


def test_a_picture_that_another_tab_removes_and_deletes(filled: App, page: Page, context: BrowserContext) -> None:
    open_page(page, filled, "?sort=Name,+Z+to+A&tag=Seen")
    expect(pictures(page)).to_have_count(1)
    other = context.new_page()
    open_page(other, filled, "?sort=Name,+Z+to+A&tag=Seen")
    for one in (page, other):
        pictures(one).first.get_by_role("checkbox").click()
        expect(one.get_by_text("1 picture selected")).to_be_visible()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(undo_bar(page)).to_contain_text("1 picture removed from the collection.")
    other.get_by_role("button", name="Remove", exact=True).click()
    expect(undo_bar(other)).to_contain_text("Nothing to do: someone else has already removed them.")
    open_page(other, filled, "?view=Bin")
    pictures(other).first.get_by_role("checkbox").click()
    expect(other.get_by_text("1 picture selected")).to_be_visible()
    page.bring_to_front()
    page.get_by_text("Bin", exact=True).click()
    page.get_by_role("button", name="Empty the bin").click()
    page.get_by_role("button", name="Delete 1 picture").click()
    expect(undo_bar(page)).to_contain_text("1 picture deleted permanently.")
    other.bring_to_front()
    other.get_by_role("button", name="Restore", exact=True).click()
    expect(undo_bar(other)).to_contain_text("someone else has already restored or deleted them")
    in_collection(filled, 119)
