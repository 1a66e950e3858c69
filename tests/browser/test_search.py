"""The search page: a composed query, the suggested cuts, and what is done with the matches."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Download, FilePayload, Locator, Page, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from bench.support.app import App
from bench.support.browser import PATIENCE
from bench.support.data import changed, some_photos
from bench.support.webserver import WebServer

pytestmark = pytest.mark.browser

PHOTOS = some_photos(60)


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as server:
        yield server


@pytest.fixture(scope="module")
def app(site: WebServer) -> Iterator[App]:
    """The app with sixty photos indexed."""
    with App() as running:
        answer = running.post("/api/upsert?wait=120", json={"images": [site.url(f"/{n}.jpg") for n in range(60)]})
        assert answer["counts"]["indexed"] == 60
        yield running


def drop(page: Page, *files: tuple[str, bytes]) -> None:
    """Drop pictures on the page that is open, once it is at rest: until then it may show an uploader of the past."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    payloads: list[FilePayload] = [{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in files]
    page.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(payloads)


def photo(number: int) -> tuple[str, bytes]:
    return f"mine {number}.jpg", PHOTOS[number].read_bytes()


def matches(page: Page) -> Locator:
    return page.get_by_role("list", name="Matches").get_by_role("listitem").filter(has=page.locator(".picture"))


def count(page: Page) -> Locator:
    """How many pictures reach the threshold."""
    return page.locator('[data-part="count"]')


def first_link(page: Page) -> Locator:
    return page.get_by_role("list", name="Matches").get_by_role("link").first


def tiles(page: Page) -> Locator:
    """The parts of the query on the strip."""
    return page.locator(".tile")


def add(page: Page, how: str, *files: tuple[str, bytes]) -> None:
    """Give pictures to the panel that the strip's + opens."""
    page.get_by_role("button", name="Add to the query").click()
    page.get_by_text(how, exact=True).click()
    drop(page, *files)
    expect(page.get_by_label("Image URL")).to_be_hidden()


def remove(page: Page, place: int = 0) -> None:
    tiles(page).nth(place).hover()
    tiles(page).nth(place).get_by_role("button", name=re.compile("^Remove")).click()


def show_details(page: Page) -> None:
    if page.get_by_role("group", name="Details of the threshold").is_hidden():
        page.get_by_role("button", name="Details").click()


def parts(page: Page) -> list[dict[str, object]]:
    """The parts of the query as the URL has them."""
    found = page.evaluate("new URL(location).searchParams.get('q')")
    return list(json.loads(found or "[]"))


def ids(app: App) -> dict[str, str]:
    """The pictures' ids by the name in their URL."""
    answer = app.post("/api/search", files={"file": PHOTOS[0].read_bytes()})
    return {match["url"].rpartition("/")[2]: match["id"] for match in answer["matches"]}


def open_with(page: Page, app: App, *files: tuple[str, bytes]) -> None:
    page.goto(app.url)
    expect(page.get_by_text("Which of your pictures look like it?")).to_be_visible()
    drop(page, *files)
    expect(matches(page).get_by_role("img").first).to_be_visible()


class Delayed:
    """The server of a page, as it is when it is slow: it gets each message at once, and its own can be held back."""

    def __init__(self, page: Page) -> None:
        """Call it before the page is loaded."""
        self.holds = self.holds_from_the_end_of_a_run = False
        self._page = page
        self._held = list[tuple[WebSocketRoute, str | bytes]]()
        self._runs = 0
        page.route_web_socket(re.compile("/_stcore/stream"), self._relay)

    def wait_for_runs(self, count: int) -> None:
        """Wait until the server has drawn the whole page so many times since its messages are held back."""
        deadline = time.monotonic() + PATIENCE / 1000
        while self._runs < count:
            assert time.monotonic() < deadline
            self._page.wait_for_timeout(50)

    def let_go(self) -> None:
        """Deliver what was held back, and hold back nothing more."""
        while self._held:
            browser, message = self._held.pop(0)
            browser.send(message)
        self.holds = self.holds_from_the_end_of_a_run = False

    def _relay(self, browser: WebSocketRoute) -> None:
        server = browser.connect_to_server()
        browser.on_message(server.send)
        server.on_message(lambda message: self._pass_on(browser, message))

    def _pass_on(self, browser: WebSocketRoute, message: str | bytes) -> None:
        ended = isinstance(message, bytes) and _is_end_of_a_run(ForwardMsg.FromString(message))
        self.holds = self.holds or (self.holds_from_the_end_of_a_run and ended)
        if self.holds:
            self._held.append((browser, message))
            self._runs += ended
        else:
            browser.send(message)


def _is_end_of_a_run(message: ForwardMsg) -> bool:
    """Of one that drew the whole page, and to its end."""
    return message.WhichOneof("type") == "script_finished" and (
        message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
    )


def show_wide(page: Page) -> None:
    """Press a suggested cut that shows some matches."""
    show_details(page)
    kind = page.get_by_role("button", name=re.compile("^Same kind"))
    kind.click()
    expect(kind).to_have_attribute("aria-pressed", "true")  # perhaps it was before, and nothing moves
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def saved(download: Download, folder: Path) -> bytes:
    path = folder / download.suggested_filename
    download.save_as(path)
    return path.read_bytes()


def test_a_cut_is_suggested_with_its_reason(app: App, page: Page) -> None:
    open_with(page, app, ("copy.jpg", changed(PHOTOS[7])))
    expect(matches(page).first).to_contain_text("Closer than 98.3")
    expect(count(page)).to_have_text("1 picture")
    show_details(page)
    expect(page.get_by_text(re.compile("Suggested: .* where the scores drop most"))).to_be_visible()
    slider = page.get_by_role("slider", name="Threshold")
    thing = page.get_by_role("button", name=re.compile("^Same thing"))
    expect(thing).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name=re.compile("^Same kind")).click()
    expect(thing).to_have_attribute("aria-pressed", "false")
    before = slider.get_attribute("aria-valuenow")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).not_to_have_attribute("aria-valuenow", str(before))


def test_on_a_phone_the_threshold_and_the_pages_are_where_the_thumb_is(app: App, browser: Browser) -> None:
    phone = browser.new_context(
        viewport={"width": 390, "height": 844},
        is_mobile=True,
        has_touch=True,
        user_agent="Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/156.0 Mobile Safari/537.36",
    )
    try:
        page = phone.new_page()
        page.goto(app.url)
        expect(page.get_by_text("Take or choose a photo")).to_be_visible()
        expect(page.get_by_text("Which of your pictures look like it?")).to_be_visible()
        drop(page, photo(3))
        expect(matches(page).first).to_be_in_viewport(ratio=0.9)
        page.get_by_test_id("stMain").evaluate("m => m.scrollTop = 400")
        to_collection = page.locator(".st-key-bottom-nav").get_by_role("link", name="Collection")
        places = [page.get_by_role("slider", name="Threshold"), to_collection]
        for place in places:
            expect(place).to_be_in_viewport(ratio=1)
            box = place.bounding_box()
            assert box is not None
            assert box["y"] > 844 - 4 * 16 - 64
        for tile in (tiles(page), page.get_by_role("button", name="Filters")):
            expect(tile).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        to_collection.tap()
        expect(page.get_by_role("list", name="Pictures")).to_be_visible()
    finally:
        phone.close()


def test_a_query_is_put_together_and_taken_apart(app: App, page: Page) -> None:
    open_with(page, app, photo(3), photo(17))
    expect(tiles(page)).to_have_count(2)
    assert {part.get("upload") for part in parts(page)} == {ids(app)["3.jpg"], ids(app)["17.jpg"]}
    expect(matches(page).nth(0)).to_contain_text("In your query")
    expect(matches(page).nth(1)).to_contain_text("In your query")
    add(page, "Add", photo(30))
    expect(tiles(page)).to_have_count(3)
    add(page, "Exclude", photo(40))
    expect(tiles(page)).to_have_count(4)
    expect(page.get_by_role("button", name="Edit mine 40.jpg, excluded, weight 0.5")).to_be_visible()
    remove(page, 0)
    expect(tiles(page)).to_have_count(3)
    drop(page, photo(50))  # the panel is closed: a new search
    expect(tiles(page)).to_have_count(1)
    expect(page.get_by_role("button", name="Edit mine 50.jpg")).to_be_visible()


def test_more_and_less_like_a_card(app: App, page: Page) -> None:
    open_with(page, app, photo(3))
    show_wide(page)
    second = matches(page).nth(1)
    second.hover()
    second.get_by_role("button", name=re.compile("More like")).click()
    expect(tiles(page)).to_have_count(2)
    third = matches(page).nth(2)
    third.hover()
    third.get_by_role("button", name=re.compile("Less like")).click()
    expect(tiles(page)).to_have_count(3)
    assert [part.get("weight") for part in parts(page)] == [None, None, -0.5]


def test_a_part_is_edited_large(app: App, page: Page) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    open_with(page, app, photo(3), photo(17))
    page.get_by_role("button", name="Edit mine 17.jpg").click()
    dialog = page.get_by_role("dialog", name="Edit the query")
    slider = dialog.get_by_role("slider", name=re.compile("Weight"))
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".tile .part").nth(1)).to_have_attribute("aria-label", "Edit mine 17.jpg, weight 0.75")
    assert parts(page)[1]["weight"] == 0.75
    dialog.get_by_text("Exclude it").click()
    expect(page.locator(".tile.negative")).to_have_count(1)
    assert parts(page)[1]["weight"] == -0.75
    picture = dialog.get_by_role("img", name=re.compile("^The picture mine 17"))
    expect(picture).to_have_attribute("src", re.compile("/api/original/"))
    box = picture.bounding_box()
    assert box is not None
    assert max(box["width"], box["height"]) >= 640
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.9, steps=5)
    page.mouse.up()
    expect(page.locator(".tile .part").nth(1)).to_have_attribute("aria-label", re.compile("cropped$"))
    assert parts(page)[1]["crop"] == pytest.approx([0.1, 0.2, 0.8, 0.9], abs=0.03)
    dialog.get_by_role("button", name="Whole picture", exact=True).click()
    expect(page.locator(".tile .part").nth(1)).not_to_have_attribute("aria-label", re.compile("cropped$"))
    dialog.get_by_role("button", name="Done").click()
    expect(dialog).to_be_hidden()


def test_a_link_restores_the_search_in_another_browser(app: App, page: Page, browser: Browser) -> None:
    open_with(page, app, ("copy.jpg", changed(PHOTOS[12])), photo(20))
    show_wide(page)
    shown = count(page).inner_text()
    names = page.get_by_role("list", name="Matches").get_by_role("link").all_inner_texts()
    stranger = browser.new_context()
    try:
        other = stranger.new_page()
        other.goto(page.url)
        expect(count(other)).to_have_text(shown)
        assert other.get_by_role("list", name="Matches").get_by_role("link").all_inner_texts() == names
        expect(tiles(other)).to_have_count(2)
    finally:
        stranger.close()


def test_back_brings_the_former_query_back(app: App, page: Page) -> None:
    known = ids(app)
    page.goto(f"{app.url}/?q={quote(json.dumps([{'picture': known['5.jpg']}]))}")
    expect(first_link(page)).to_have_text("5.jpg")
    page.goto(f"{app.url}/?q={quote(json.dumps([{'picture': known['6.jpg']}]))}")
    expect(first_link(page)).to_have_text("6.jpg")
    page.go_back()
    expect(first_link(page)).to_have_text("5.jpg")


def test_what_was_clicked_before_the_page_knew_the_new_query_does_not_bring_the_old_one_back(
    app: App, page: Page
) -> None:
    """The server's messages are held back, so that the browser sends the URL of a query that is gone by then."""
    server = Delayed(page)
    open_with(page, app, photo(3))
    page.get_by_role("button", name="Options").click()
    switch = page.get_by_test_id("stCheckbox").filter(has_text="Exact")
    expect(switch).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    server.holds = True
    tiles(page).get_by_role("button", name=re.compile("^Remove")).dispatch_event("click")
    server.wait_for_runs(1)  # else the server would take both clicks as one
    if switch.is_hidden():  # a click beside it closes the popover
        page.get_by_role("button", name="Options").click()
    switch.click()
    server.wait_for_runs(2)
    server.let_go()
    expect(page.get_by_text("Which of your pictures look like it?")).to_be_visible()
    expect(tiles(page)).to_have_count(0)
    expect(page).not_to_have_url(re.compile("[?&]q="))


def test_a_picture_that_is_removed_before_the_page_is_complete_does_not_come_back(app: App, page: Page) -> None:
    """Until the browser hears that a run is finished, it sends the dropped file again with every click."""
    server = Delayed(page)
    page.goto(app.url)
    expect(page.get_by_text("Which of your pictures look like it?")).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    server.holds_from_the_end_of_a_run = True
    drop(page, photo(3))
    expect(tiles(page)).to_have_count(1)
    server.wait_for_runs(1)
    tiles(page).get_by_role("button", name=re.compile("^Remove")).dispatch_event("click")
    server.wait_for_runs(2)
    server.let_go()
    expect(page.get_by_text("Which of your pictures look like it?")).to_be_visible()
    expect(tiles(page)).to_have_count(0)
    expect(page).not_to_have_url(re.compile("[?&]q="))


FILLED = """() => {
    const shadows = [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].map(e => e.shadowRoot);
    const root = shadows.find(r => r.querySelector('.match-gallery'));
    const top = root.querySelector('.toolbar').getBoundingClientRect().bottom;
    let area = 0;
    for (const image of root.querySelectorAll('.card img')) {
        const box = image.getBoundingClientRect();
        const width = Math.min(box.right, innerWidth) - Math.max(box.left, 0);
        const height = Math.min(box.bottom, innerHeight) - Math.max(box.top, top);
        if (width > 0 && height > 0) area += width * height;
    }
    return area / (innerWidth * innerHeight);
}"""


def test_photos_fill_the_screen_below_a_strip_that_stays(app: App, page: Page) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"{app.url}/?q={quote(json.dumps([{'picture': ids(app)['5.jpg']}]))}&threshold=0")
    expect(matches(page).nth(40)).to_be_attached()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    assert page.evaluate(FILLED) > 0.6
    page.get_by_test_id("stMain").evaluate("m => m.scrollTop = 700")
    strip = page.locator(".toolbar").bounding_box()
    assert strip is not None
    assert strip["height"] <= 64
    for what in (page.get_by_role("slider", name="Threshold"), tiles(page), page.get_by_role("button", name="Filters")):
        expect(what).to_be_in_viewport(ratio=1)
    assert page.evaluate(FILLED) > 0.7


def test_what_is_selected_far_below_can_be_acted_on_there(app: App, page: Page) -> None:
    open_with(page, app, photo(3))
    page.get_by_role("slider", name="Threshold").press("End")
    last = matches(page).last
    last.scroll_into_view_if_needed()
    last.hover()
    last.get_by_role("checkbox").check()
    bar = page.locator(".st-key-selection-bar")
    expect(bar).to_contain_text("1 picture selected")
    expect(bar).to_be_in_viewport(ratio=1)
    expect(last).to_be_in_viewport()
    last.locator(".picture").focus()
    page.keyboard.press("Control+a")
    expect(bar).to_contain_text("60 pictures selected")
    page.keyboard.press("Control+a")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(bar).to_have_count(0)
    last.get_by_role("checkbox").check()
    bar.get_by_role("button", name="Exclude").click()
    expect(tiles(page)).to_have_count(2)
    assert parts(page)[1]["weight"] == -0.5


def test_matches_are_tagged_removed_and_brought_back(app: App, page: Page) -> None:
    open_with(page, app, photo(25))
    page.get_by_role("button", name="Select all shown").click()
    expect(page.get_by_text(re.compile(r"\d+ pictures? selected"))).to_be_visible()
    page.get_by_role("button", name="Tag", exact=True).click()
    box = page.get_by_role("combobox", name=re.compile("^Tag"))
    box.fill("Loan 2026")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Add tag", exact=True).click()
    expect(page.get_by_text(re.compile("tagged Loan 2026"))).to_be_visible()
    found = app.post("/api/search", json={"parts": [{"picture": ids(app)["25.jpg"]}], "tag": ["Loan 2026"]})
    assert found["matches"][0]["url"].endswith("/25.jpg")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove", exact=True).last.click()
    expect(page.get_by_text(re.compile("removed from the collection"))).to_be_visible()
    assert app.get("/api/health")["pictures"] < 60
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text(re.compile("removed from the collection"))).not_to_be_visible()
    assert app.get("/api/health")["pictures"] == 60


def test_matches_are_downloaded(app: App, page: Page, tmp_path: Path) -> None:
    open_with(page, app, ("ein Bild.jpg", changed(PHOTOS[33])))
    show_wide(page)
    page.get_by_role("button", name="Download").click()
    files = dict[str, bytes]()
    for label in ("CSV", "JSON", "ZIP of thumbnails", "Contact sheet to print"):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        files[label] = saved(download.value, tmp_path)
    rows = list(csv.DictReader(io.StringIO(files["CSV"].decode("utf-8-sig"))))
    assert rows[0]["url"].endswith("/33.jpg")
    assert rows[0]["query"] == "ein Bild.jpg"
    exported = json.loads(files["JSON"])
    assert len(exported["matches"]) == len(rows)
    assert exported["query"] == "ein Bild.jpg"
    assert len(zipfile.ZipFile(io.BytesIO(files["ZIP of thumbnails"])).namelist()) == len(rows) + 1
    assert b"ein Bild.jpg" in files["Contact sheet to print"]


def test_a_search_keeps_to_a_site(app: App, page: Page) -> None:
    known = ids(app)
    query = quote(json.dumps([{"picture": known["5.jpg"]}]))
    page.goto(f"{app.url}/?q={query}&domain=a.example")
    expect(page.get_by_text("There are no matches to show.")).to_be_visible()
    page.goto(f"{app.url}/?q={query}&domain=127.0.0.1&leave_out=true")
    expect(matches(page).first).to_be_visible()
    expect(page.get_by_text("In your query")).to_have_count(0)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("[{", "cannot be read: it is not valid JSON"),
        ('[{"picture":"00000000-0000-0000-0000-000000000001"}]', "no longer in the collection"),
        ('[{"upload":"00000000-0000-0000-0000-000000000001"}]', "no longer available"),
        ('[{"picture":"00000000-0000-0000-0000-000000000001","crop":[0,0,0,1]}]', "The crop has no area"),
        (json.dumps([{"words": "a"}] * 50), "up to 10 parts, and this one has 50"),
    ],
)
def test_a_link_that_leads_nowhere_says_so(app: App, page: Page, query: str, sentence: str) -> None:
    page.goto(f"{app.url}/?q={quote(query)}")
    expect(page.get_by_text(re.compile(re.escape(sentence)))).to_be_visible()


@pytest.mark.parametrize(("threshold", "sentence"), [("7", "between 0 and 1"), ("high", "is not a number")])
def test_an_invalid_threshold_is_reported(app: App, page: Page, threshold: str, sentence: str) -> None:
    query = quote(json.dumps([{"picture": ids(app)["5.jpg"]}]))
    page.goto(f"{app.url}/?q={query}&threshold={threshold}")
    expect(page.get_by_text(re.compile(sentence))).to_be_visible()
    expect(matches(page).first).to_be_visible()


def test_fifty_pictures_are_too_many(app: App, page: Page) -> None:
    open_with(page, app, *(photo(number) for number in range(10)))
    expect(tiles(page)).to_have_count(10)
    page.get_by_role("button", name="Add to the query").click()
    drop(page, photo(20))
    expect(page.get_by_text(re.compile("can have up to 10 parts"))).to_be_visible()
    expect(tiles(page)).to_have_count(10)


def test_a_url_that_fails_is_reported(app: App, site: WebServer, page: Page) -> None:
    page.goto(app.url)
    box = page.get_by_label("Image URL")
    box.fill(site.url("/status?code=404"))
    box.press("Enter")
    expect(page.get_by_text(re.compile("answered 404: the picture is not there any more"))).to_be_visible()
    expect(box).to_have_value(site.url("/status?code=404"))  # to be mended
