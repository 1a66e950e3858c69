"""`python -m docs.screenshots`: take the README's pictures anew, of the real app with a drawn collection."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image, ImageOps
from playwright.sync_api import FilePayload, Page, ViewportSize, expect, sync_playwright

from bench.support.app import App
from bench.support.browser import launch
from bench.support.data import MODEL_SETTING
from bench.support.webserver import WebServer
from core.media.sample_images import DRAWN, drawings, jpeg, sample

HERE = Path(__file__).parent
VERDICTS = 60
VIEW: ViewportSize = {"width": 1280, "height": 800}


def search(page: Page, url: str, query: Image.Image) -> None:
    """The look-alikes of a cropped drawing."""
    page.goto(url)
    width, height = query.size
    part = query.crop((width // 12, height // 12, width - width // 12, height - height // 12))
    picture: FilePayload = {"name": "boats.jpg", "mimeType": "image/jpeg", "buffer": jpeg(part, 70)}
    page.locator('[data-testid="stFileUploader"] input[type="file"]').set_input_files(picture)
    images = page.get_by_role("list", name="Matches").get_by_role("img")
    images.nth(11).wait_for()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    for place in range(12):
        expect(images.nth(place)).to_have_js_property("complete", value=True)
    page.wait_for_timeout(500)  # they are faded in
    page.screenshot(path=HERE / "search.png")


def same(page: Page, url: str, images: dict[str, Image.Image]) -> None:
    """A collage that finds its drawings, and where one of them lies in it."""
    collage = Image.new("RGB", (1000, 760), "white")
    chosen = [images["boats-03.jpg"], ImageOps.mirror(images["flower-04.jpg"]), images["tiles-05.jpg"]]
    for place, drawing in enumerate([*chosen, images["mountains-06.jpg"].rotate(180)]):
        collage.paste(ImageOps.contain(drawing, (480, 360)), (10 + 500 * (place % 2), 10 + 380 * (place // 2)))
    page.goto(url)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    picture: FilePayload = {"name": "collage.jpg", "mimeType": "image/jpeg", "buffer": jpeg(collage, 85)}
    page.locator('[data-testid="stFileUploader"] input[type="file"]').set_input_files(picture)
    cards = page.get_by_role("listitem").filter(has=page.locator(".relation:visible"))
    cards.locator(".picture").first.click()
    page.get_by_text("Same picture: ").first.wait_for()
    page.wait_for_timeout(1500)  # until the originals are there
    page.screenshot(path=HERE / "same.png")


def index(page: Page, url: str, urls: list[str]) -> None:
    """A list that is ready, below an import that is done."""
    page.goto(f"{url}/index")
    box = page.get_by_label("One URL per line")
    box.fill("\n".join([*urls[:6], urls[0], "ftp://museum.example/old/12.jpg"]))
    box.press("Control+Enter")
    page.get_by_text("6 ready").wait_for()
    page.get_by_text("could not be indexed").first.click()
    page.get_by_role("table").wait_for()
    page.wait_for_timeout(1500)  # the expander opens slowly
    page.set_viewport_size({"width": VIEW["width"], "height": 1350})
    page.get_by_role("heading", name="Index pictures").scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    page.screenshot(path=HERE / "index.png")
    page.set_viewport_size(VIEW)


def duplicates(page: Page, url: str) -> None:
    """Copies in groups."""
    page.goto(f"{url}/duplicates")
    page.get_by_text("Review all").wait_for()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    page.screenshot(path=HERE / "duplicates.png")


def tune(page: Page, app: App, query: bytes) -> None:
    """What a threshold means, after a drawing's kind was judged some dozen times."""
    answer = app.post("/api/search", files={"file": query}, data={"top_k": "1000"})
    kinds = {match["id"]: match["url"].rpartition("/")[2].partition("-")[0] for match in answer["matches"]}
    page.goto(f"{app.url}/tune")
    page.get_by_text("Do these belong together?").wait_for()
    for _ in range(VERDICTS):
        shown = page.locator(".judge").get_attribute("data-pair") or ""
        match, _, asked = shown.partition(" picture:")  # a query may also be what was searched with before
        page.keyboard.press("y" if kinds[match] == kinds.get(asked, "boats") else "n")
        expect(page.locator(".judge")).not_to_have_attribute("data-pair", shown)
    page.get_by_text("are right").first.wait_for()
    page.wait_for_timeout(2500)
    page.screenshot(path=HERE / "tune.png")


def main() -> None:
    """Draw, index, search and take the pictures."""
    images = dict(drawings(DRAWN))
    pages = {f"/collection/{file.name}": file.data for file in sample()}
    with (
        WebServer(pages) as site,
        App(CLIP_MODEL=os.environ.get("CLIP_MODEL", MODEL_SETTING)) as app,
        sync_playwright() as playwright,
    ):
        urls = [site.url(path) for path in pages]
        missing = [site.url("/collection/lost-1.jpg"), site.url("/collection/lost-2.jpg")]
        app.post("/api/upsert?wait=120", json={"images": [*urls, *missing]})
        browser = launch(playwright)
        page = browser.new_page(viewport=VIEW, device_scale_factor=1.5)
        search(page, app.url, images["boats-08.jpg"])
        same(page, app.url, images)
        index(page, app.url, urls)
        duplicates(page, app.url)
        tune(page, app, jpeg(images["boats-08.jpg"]))
        browser.close()


if __name__ == "__main__":
    main()
