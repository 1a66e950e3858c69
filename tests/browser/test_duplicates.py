"""The duplicates page: groups, the picture that stays, preview, removal, undo, and what is no duplicate."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Locator, Page, expect

from bench.support.app import App
from bench.support.data import some_photos
from bench.support.webserver import WebServer

pytestmark = pytest.mark.browser

PHOTOS = 6


def double(photo: Image.Image) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    """Six photos; of the first three a smaller copy, of the first also one recompressed, of the last a mirror."""
    pages = dict[str, bytes]()
    for number, path in enumerate(some_photos(PHOTOS)):
        photo = Image.open(path).convert("RGB")
        pages[f"/{number}.jpg"] = path.read_bytes()
        if number < 3:
            pages[f"/{number}-small.jpg"] = double(photo.resize((photo.width // 2, photo.height // 2)))
        if number == 0:
            pages["/0-again.jpg"] = double(photo)
        if number == PHOTOS - 1:
            pages[f"/{number}-mirror.jpg"] = double(ImageOps.mirror(photo))
    with WebServer(pages) as server:
        yield server


@pytest.fixture(scope="module")
def app(site: WebServer) -> Iterator[App]:
    """Without a copy model, so that the mirror is a look-alike: `tests/duplicates` pairs it by its copy embedding."""
    with App(COPY_MODEL="off") as running:
        yield running


@pytest.fixture(scope="module")
def filled(app: App, site: WebServer) -> App:
    urls = [site.url(path) for path in site.pages]
    answer = app.post("/api/upsert?wait=120", json={"images": urls})
    assert answer["counts"]["indexed"] == len(urls) == 11
    return app


def pictures(app: App) -> int:
    return int(app.get("/api/health")["pictures"])


def groups(page: Page) -> Locator:
    return page.get_by_role("list", name="Groups of duplicates").locator("> li")


def group_of(page: Page, number: int) -> Locator:
    """The group of a photo."""
    return groups(page).filter(has=page.get_by_text(re.compile(rf"^{number}(-\w+)?\.jpg$")))


def keeper(group: Locator) -> Locator:
    return group.locator(".keeper .name")


def open_copies(page: Page, app: App) -> None:
    page.goto(f"{app.url}/duplicates")
    expect(page.get_by_text("still to be looked at")).to_have_count(0)
    if not groups(page).count():
        page.reload()
    expect(groups(page)).to_have_count(3)


def test_an_empty_collection_leads_on(app: App, page: Page) -> None:
    page.goto(f"{app.url}/duplicates")
    expect(page.get_by_text("There is nothing to compare yet")).to_be_visible()
    page.get_by_role("link", name="Index pictures").click()
    expect(page.get_by_role("heading", name="Index pictures")).to_be_visible()


def test_copies_are_grouped_around_the_largest(filled: App, page: Page) -> None:
    open_copies(page, filled)
    expect(page.get_by_text("3 groups with 4 duplicates")).to_be_visible()
    expect(groups(page).first).to_contain_text("1 stays, 2 would go")
    for number in range(3):
        expect(keeper(group_of(page, number))).to_have_text(f"{number}.jpg")
    expect(group_of(page, 1).locator(".picture").nth(0)).to_contain_text("largest")
    expect(group_of(page, 1).locator("dd.differs").first).to_be_visible()


def test_pictures_are_compared_side_by_side_by_keys(filled: App, page: Page) -> None:
    open_copies(page, filled)
    groups(page).first.get_by_title("See side by side").nth(1).click()
    dialog = page.get_by_role("dialog", name="Side by side")
    expect(dialog).to_contain_text("Duplicate 1 of 2")
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text("Duplicate 2 of 2")
    box = dialog.bounding_box()
    assert box is not None
    assert box["width"] > 0.9 * page.evaluate("innerWidth")
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()


def test_another_picture_is_made_the_keeper(filled: App, page: Page) -> None:
    open_copies(page, filled)
    group_of(page, 1).get_by_role("button", name="Keep this one").click()
    expect(keeper(group_of(page, 1))).to_have_text("1-small.jpg")
    expect(keeper(group_of(page, 2))).to_have_text("2.jpg")


def test_all_duplicates_are_removed_after_a_preview_and_return(filled: App, page: Page) -> None:
    open_copies(page, filled)
    page.get_by_role("button", name="Review all 4 removals").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("In each of 3 groups, the largest whole picture stays. 4 pictures (")
    expect(dialog.get_by_role("img", name="Would be removed")).to_have_count(4)
    assert pictures(filled) == 11
    expect(dialog.get_by_role("checkbox", name="Add tags and details")).to_be_checked()
    dialog.get_by_role("button", name="Remove 4 pictures").click()
    expect(page.get_by_text("4 duplicates removed from the collection.")).to_be_visible()
    expect(page.get_by_text("No copies")).to_be_visible()
    assert pictures(filled) == 7
    page.get_by_role("button", name="Undo").click()
    expect(groups(page)).to_have_count(3)
    assert pictures(filled) == 11


def test_one_group_and_selected_groups_are_removed(filled: App, page: Page) -> None:
    open_copies(page, filled)
    group_of(page, 1).get_by_role("button", name="Remove 1 duplicate").click()
    expect(page.get_by_text("1 duplicate removed from the collection.")).to_be_visible()
    expect(groups(page)).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(groups(page)).to_have_count(3)
    group_of(page, 2).get_by_role("checkbox").check()
    page.get_by_role("button", name="Review 1 selected group").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove 1 picture").click()
    expect(groups(page)).to_have_count(2)
    expect(group_of(page, 2)).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(groups(page)).to_have_count(3)


def test_what_is_no_duplicate_is_remembered_and_taken_back(filled: App, page: Page) -> None:
    open_copies(page, filled)
    group_of(page, 0).locator(".picture").filter(has_text="0-small.jpg").get_by_role(
        "button", name="Not a duplicate"
    ).click()
    expect(group_of(page, 0)).to_contain_text("1 stays, 1 would go")
    group_of(page, 1).get_by_role("button", name="Not duplicates").click()
    expect(groups(page)).to_have_count(2)
    page.reload()
    expect(groups(page)).to_have_count(2)
    page.get_by_text("Not duplicates, and stacks").click()
    expect(page.get_by_text("3 pairs of pictures")).to_be_visible()
    for left in (2, 1, 0):
        page.get_by_test_id("stExpander").get_by_role("button", name="Undo").first.click()
        expect(page.get_by_test_id("stExpander").get_by_role("button", name="Undo")).to_have_count(left)
    expect(groups(page)).to_have_count(3)
    expect(group_of(page, 0)).to_contain_text("1 stays, 2 would go")


def test_a_group_is_kept_as_a_stack(filled: App, page: Page) -> None:
    open_copies(page, filled)
    group_of(page, 2).get_by_role("button", name="Keep both as a stack").click()
    expect(page.get_by_text("2 pictures stacked.")).to_be_visible()
    expect(groups(page)).to_have_count(2)
    page.get_by_text("Not duplicates, and stacks").click()
    expect(page.get_by_test_id("stExpander")).to_contain_text("Stacked ·")
    page.get_by_test_id("stExpander").get_by_role("button", name="Undo").click()
    expect(groups(page)).to_have_count(3)


def test_lookalikes_are_looked_for_in_the_background_and_kept(filled: App, page: Page) -> None:
    page.goto(f"{filled.url}/duplicates?tab=Look-alikes&alike=80")
    expect(page.get_by_text("Which pictures look alike?")).to_be_visible()
    page.get_by_role("button", name="Compare all pictures").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_text(re.compile("11 pictures compared with each other on .* at 80"))).to_be_visible()
    mirror = group_of(page, PHOTOS - 1)
    expect(mirror).to_contain_text("% similar")
    page.reload()
    expect(mirror).to_contain_text("% similar")
    slider = page.get_by_role("slider", name="Minimum similarity")
    slider.focus()
    page.keyboard.press("End")
    expect(page.get_by_text("No look-alikes")).to_be_visible()
