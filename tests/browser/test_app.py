"""The real app in a real browser: index from pasted and uploaded lists, then search."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Callable, Iterator

import httpx2
import openpyxl
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from bench.support.app import App
from bench.support.browser import PATIENCE
from bench.support.data import changed, some_photos
from bench.support.webserver import WebServer
from core.version import VERSION

pytestmark = pytest.mark.browser

PHOTOS = some_photos(60)


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as server:
        yield server


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    """An app with an empty collection."""
    with App() as running:
        yield running


@pytest.fixture(scope="module")
def full(site: WebServer) -> Iterator[App]:
    """An app with all photos indexed."""
    with App() as running:
        answer = running.post("/api/upsert?wait=100", json={"images": urls_of(site)})
        assert answer["counts"]["waiting"] == 0, answer
        yield running


def urls_of(site: WebServer) -> list[str]:
    return [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))]


def upload(page: Page, name: str, data: bytes, mime: str = "image/jpeg") -> None:
    page.get_by_test_id("stFileUploader").filter(visible=True).locator('input[type="file"]').set_input_files(
        {"name": name, "mimeType": mime, "buffer": data}
    )


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for something that the browser does not show."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def cards(page: Page) -> int:
    """How many pictures the gallery shows above the line, all painted."""
    return page.get_by_role("list", name="Matches").get_by_role("img").count()


def test_the_about_box_names_the_version(page: Page, app: App) -> None:
    page.goto(app.url)
    page.get_by_test_id("stMainMenu").get_by_role("button").click()
    page.get_by_text("About", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text(f"Lookalike {VERSION}")


def test_a_first_visitor_may_come_by_a_deep_link(page: Page) -> None:
    with App() as fresh:
        page.goto(f"{fresh.url}/index")
        expect(page.get_by_role("heading", name="Index pictures")).to_be_visible()
        expect(page.get_by_role("link", name="Search")).to_be_visible()
        expect(page).to_have_title("Index · Lookalike")


def test_an_empty_collection_says_what_to_do(app: App, page: Page) -> None:
    page.goto(app.url)
    expect(page.get_by_text("There is nothing to search yet")).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("link", name="Index pictures").click()
    expect(page.get_by_role("heading", name="Index pictures")).to_be_visible()


def test_pasted_urls_are_previewed_and_indexed_and_failures_are_shown(app: App, site: WebServer, page: Page) -> None:
    page.goto(f"{app.url}/index")
    box = page.get_by_label("One URL per line")
    lines = [*urls_of(site)[:20], urls_of(site)[0], "ftp://a.example/x.jpg", site.url("/missing.jpg")]
    expect(page.get_by_role("button", name="Index", exact=True)).to_be_disabled()
    page.locator("[data-listening]").wait_for(state="attached")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=app.url)
    page.evaluate("text => navigator.clipboard.writeText(text)", "\n".join(lines))
    box.click()
    page.keyboard.press("Control+v")  # and nothing else
    expect(page.get_by_text("21 ready")).to_be_visible()
    expect(page.get_by_text("1 repeated")).to_be_visible()
    expect(page.get_by_text("1 invalid")).to_be_visible()
    page.get_by_role("button", name="Index 21 pictures").click()
    expect(page.get_by_text(re.compile("20 indexed · 1 failed"))).to_be_visible()
    expect(box).to_have_value("")
    page.reload()
    expect(page.get_by_text(re.compile("20 indexed · 1 failed"))).to_be_visible()
    hits = site.hits["/missing.jpg"]
    page.get_by_role("button", name="Retry failed").click()
    wait_until(lambda: site.hits["/missing.jpg"] > hits)
    expect(page.get_by_text(re.compile("20 indexed · 1 failed"))).to_be_visible()


def test_a_spreadsheet_is_indexed_from_its_column(app: App, site: WebServer, page: Page) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["Title", "Picture", "Page"])
    for number, url in enumerate(urls_of(site)[20:30]):
        sheet.append([f"Picture {number}", url, "https://a.example/page"])
    buffer = io.BytesIO()
    book.save(buffer)
    page.goto(f"{app.url}/index")
    page.get_by_role("tab", name="Upload a list").click()
    upload(page, "museum.xlsx", buffer.getvalue(), "application/octet-stream")
    expect(page.get_by_text("10 ready")).to_be_visible()
    page.get_by_role("button", name="Index 10 pictures").click()
    expect(page.get_by_text("museum.xlsx").first).to_be_visible()
    expect(page.get_by_text("10 indexed", exact=True)).to_be_visible()


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [("empty.csv", b"", "empty"), ("list.xlsx", b"PK\x03\x04 nonsense", "cannot be read as an Excel file")],
)
def test_a_list_that_cannot_be_read_says_so(app: App, page: Page, name: str, data: bytes, sentence: str) -> None:
    page.goto(f"{app.url}/index")
    page.get_by_role("tab", name="Upload a list").click()
    upload(page, name, data, "application/octet-stream")
    expect(page.get_by_role("alert").filter(has_text=sentence)).to_be_visible()


def test_ten_thousand_lines_of_junk_are_read(app: App, page: Page) -> None:
    page.goto(f"{app.url}/index")
    box = page.get_by_label("One URL per line")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        "navigator.clipboard.writeText(Array.from({ length: 10000 }, (_, n) => `line ${n} of junk`).join('\\n'))"
    )
    box.press("Control+V")
    box.press("Control+Enter")
    expect(page.get_by_text(re.compile("[0-9,]+ invalid"))).to_be_visible()
    expect(page.get_by_role("button", name="Index 0 pictures")).to_be_disabled()


def test_a_changed_copy_finds_its_original_first(full: App, site: WebServer, page: Page) -> None:
    page.goto(full.url)
    upload(page, "copy.jpg", changed(PHOTOS[7]))
    gallery = page.get_by_role("list", name="Matches")
    expect(gallery.get_by_role("img").first).to_be_visible()
    assert cards(page) > 0
    link = gallery.get_by_role("link").first
    assert link.get_attribute("href") == urls_of(site)[7]
    first = gallery.get_by_role("img").first
    assert first.evaluate("image => image.complete && image.naturalWidth > 0")


def test_a_picture_is_pasted_anywhere(full: App, page: Page) -> None:
    page.goto(full.url)
    expect(page.get_by_text("Which of your pictures look like it?")).to_be_visible()
    page.get_by_text("Which of your pictures look like it?").click()
    page.locator("[data-listening]").wait_for(state="attached")  # the page's words come before its scripts
    buffer = io.BytesIO()
    Image.open(PHOTOS[3]).save(buffer, "PNG")
    page.evaluate(
        """encoded => {
            const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "image.png", { type: "image/png" }));
            document.activeElement.dispatchEvent(
                new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, composed: true }));
        }""",
        base64.b64encode(buffer.getvalue()).decode(),
    )
    expect(page.get_by_role("list", name="Matches").get_by_role("img").first).to_be_visible()


GIVE = """([kind, type, text]) => {
    const transfer = new DataTransfer();
    if (type === "file") transfer.items.add(new File(["words"], text, { type: "application/pdf" }));
    else transfer.setData(type, text);
    const event = kind === "paste"
        ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, composed: true, cancelable: true })
        : new DragEvent(kind, { dataTransfer: transfer, bubbles: true, composed: true, cancelable: true });
    document.querySelector("[data-testid=stMain]").dispatchEvent(event);
}"""


def test_urls_and_pictures_of_other_pages_are_given_anywhere(full: App, site: WebServer, page: Page) -> None:
    urls = urls_of(site)
    page.goto(full.url)
    expect(page.get_by_text("Which of your pictures look like it?")).to_be_visible()
    page.locator("[data-listening]").wait_for(state="attached")
    page.evaluate(GIVE, ["drop", "file", "notes.pdf"])
    expect(page.get_by_text(re.compile(r"^Not a picture: notes\.pdf\."))).to_be_visible()
    page.evaluate(GIVE, ["dragover", "text/uri-list", urls[12]])
    target = page.get_by_text("Drop it anywhere to search for it")
    expect(target).to_be_visible()
    page.evaluate(GIVE, ["drop", "text/html", f'<a href="https://a.example/page"><img src="{urls[12]}"></a>'])
    expect(target).to_be_hidden()
    first = page.get_by_role("list", name="Matches").get_by_role("link").first
    expect(first).to_have_attribute("href", urls[12])
    page.evaluate(GIVE, ["paste", "text/plain", f" {urls[14]}\n"])
    expect(first).to_have_attribute("href", urls[14])
    page.get_by_role("link", name="Tune").click()
    expect(page.get_by_role("heading", name="Tune the threshold")).to_be_visible()
    page.get_by_role("link", name="Search", exact=True).click()  # the last search is still there
    expect(first).to_have_attribute("href", urls[14])


def test_search_by_url(full: App, site: WebServer, page: Page) -> None:
    page.goto(full.url)
    box = page.get_by_label("Image URL")
    box.fill(urls_of(site)[11])
    box.press("Enter")
    expect(page.get_by_role("list", name="Matches").get_by_role("link").first).to_have_attribute(
        "href", urls_of(site)[11]
    )


def test_threshold_and_top_k_are_kept_in_the_url(full: App, page: Page) -> None:
    page.goto(f"{full.url}/?threshold=0.3&top_k=20")
    upload(page, "photo.jpg", PHOTOS[5].read_bytes())
    slider = page.get_by_role("slider", name=re.compile("hreshold"))
    expect(slider).to_have_attribute("aria-valuetext", re.compile("from 30.%$"))
    before = full.get("/api/health")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("PageDown")
    expect(page).to_have_url(re.compile(r"threshold=0\.5\b"))
    expect(page).to_have_url(re.compile("top_k=20"))
    assert before["pictures"] == full.get("/api/health")["pictures"]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("words.jpg", b"this is only text", "not a picture"),
        ("empty.jpg", b"", "empty"),
    ],
)
def test_what_is_not_a_picture_gets_a_reason(full: App, page: Page, name: str, data: bytes, sentence: str) -> None:
    page.goto(full.url)
    upload(page, name, data)
    expect(page.get_by_role("alert").filter(has_text=sentence)).to_be_visible()


def test_no_match_above_the_threshold_offers_the_closest(full: App, page: Page) -> None:
    page.goto(f"{full.url}/?threshold=1")
    upload(page, "copy.jpg", changed(PHOTOS[7]))
    expect(page.get_by_text(re.compile("The closest is"))).to_be_visible()
    page.get_by_role("button", name="Show the closest").click()
    expect(page.get_by_role("list", name="Matches").get_by_role("img").first).to_be_visible()


def test_a_foreign_host_name_is_refused(full: App) -> None:
    answer = httpx2.get(f"{full.url}/api/health", headers={"Host": "evil.example"})
    assert answer.status_code == 400


CONTRAST = """element => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const paint = color => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = () => {
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const around = [];
    for (let node = element; node; node = node.parentElement) around.unshift(getComputedStyle(node));
    for (const style of around) paint(style.backgroundColor);
    const back = light();
    canvas.globalAlpha = around.reduce((alpha, style) => alpha * style.opacity, 1);
    paint(getComputedStyle(element).color);
    const front = light();
    return (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_captions_and_primary_buttons_can_be_read(full: App, new_page: Callable[..., Page], scheme: str) -> None:
    page = new_page(color_scheme=scheme)
    page.goto(f"{full.url}/duplicates?tab=Look-alikes")
    button = page.get_by_role("button", name="Compare all pictures")
    expect(button).to_be_visible()
    assert button.evaluate(CONTRAST) >= 4.5
    button.hover()
    assert button.evaluate(CONTRAST) >= 4.5
    caption = page.get_by_text("Pictures that are in the collection more than once.")
    assert caption.evaluate(CONTRAST) >= 4.5
