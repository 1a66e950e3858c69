"""Lists of several kinds in the browser: what is chosen about them, and imports that wait or are fetched again."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from openpyxl import Workbook
from playwright.sync_api import Page, expect

from bench.support.app import App
from bench.support.data import many_files
from bench.support.webserver import Page as ServedPage
from bench.support.webserver import Visit, WebServer
from tests.support.haste import HASTE

pytestmark = pytest.mark.browser

FILES = many_files(40)


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with App(constants=HASTE, RETRY_DELAY="0.05") as running:
        yield running


def paste(page: Page, app: App, text: str) -> None:
    page.goto(f"{app.url}/index")
    box = page.get_by_label("One URL per line")
    box.fill(text)
    box.press("Control+Enter")


def test_a_pasted_web_page_is_fetched_again_and_its_bin_is_asked_about(app: App, page: Page) -> None:
    now = dict[str, bytes]()

    def serve(visit: Visit) -> None:
        visit.answer(now.get(visit.path) or FILES[int(visit.path[1:-4])])

    with WebServer({f"/{number}.jpg": serve for number in range(4)}) as site:
        images = "".join(
            f'<img src="s/{n}.jpg" srcset="/s/{n}.jpg 90w, /{n}.jpg 900w" alt="Vase {n}">' for n in range(4)
        )
        text = f'<!doctype html><base href="{site.url("/")}"><a href="https://a.example/about">About</a>{images}'
        paste(page, app, text)
        expect(page.get_by_text("4 ready")).to_be_visible()
        expect(page.get_by_text("in other columns")).to_be_visible()
        page.get_by_role("button", name="Index 4 pictures").click()
        expect(page.get_by_text(re.compile("^4 indexed$"))).to_be_visible()
        now["/2.jpg"] = FILES[30]
        page.get_by_role("button", name="Fetch again").click()
        expect(page.get_by_text("Pasted list, fetched again")).to_have_count(1)
        expect(page.get_by_text("1 indexed · 3 already in the collection")).to_be_visible()
        page.get_by_role("button", name="Delete").first.click()
        page.get_by_role("button", name="Delete the import").click()
        expect(page.get_by_text(re.compile("was deleted, and 1 picture with it"))).to_be_visible()
        page.get_by_role("button", name="Delete").first.click()
        page.get_by_role("button", name="Delete the import").click()
        expect(page.get_by_text(re.compile("was deleted, and 3 pictures with it"))).to_be_visible()
        paste(page, app, text)
        expect(page.get_by_text("4 URLs of these lead to pictures in your bin")).to_be_visible()
        expect(page.get_by_role("button", name="Index 0 pictures")).to_be_disabled()
        page.get_by_text("Restore them").click()
        page.get_by_role("button", name="Index 4 pictures").click()
        expect(page.get_by_text(re.compile("^4 indexed$"))).to_be_visible()


def test_a_placeholder_and_what_is_in_the_bin_are_told(app: App, page: Page) -> None:
    with WebServer({f"/{number}.jpg": FILES[33] for number in range(6)} | {"/other.jpg": FILES[34]}) as site:
        paste(page, app, "\n".join(site.url(f"/{number}.jpg") for number in range(6)))
        page.get_by_role("button", name="Index 6 pictures").click()
        expect(page.get_by_text("6 URLs gave the same picture, first 0.jpg.")).to_be_visible()
        page.get_by_role("button", name="It is a placeholder").click()
        page.get_by_text("6 could not be indexed").click()
        expect(page.get_by_text("The site sends a placeholder instead of this picture.")).to_be_visible()
        page.get_by_role("button", name="No placeholder").click()
        expect(page.get_by_text(re.compile("^1 indexed · 5 already in the collection$"))).to_be_visible()
        page.get_by_role("button", name="Delete").first.click()
        page.get_by_role("button", name="Delete the import").click()
        expect(page.get_by_text(re.compile("was deleted, and 1 picture with it"))).to_be_visible()
        paste(page, app, "\n".join([site.url("/0.jpg?another"), site.url("/other.jpg")]))
        page.get_by_role("button", name="Index 2 pictures").click()
        expect(page.get_by_text("1 picture is in your bin and stayed there.")).to_be_visible()
        page.get_by_role("button", name="Restore them").click()
        expect(page.get_by_text(re.compile("^1 indexed · 1 already in the collection$"))).to_be_visible()


def test_sheets_and_columns_are_chosen(app: App, page: Page) -> None:
    book = Workbook()
    del book["Sheet"]
    for name, first in (("Old", 0), ("New", 2)):
        sheet = book.create_sheet(name)
        sheet.append(["Title", "Image 1", "Image 2"])
        sheet.append([f"Vase {first}", *(f"https://a.example/{number}.jpg" for number in (first, first + 1))])
    buffer = io.BytesIO()
    book.save(buffer)
    page.goto(f"{app.url}/index")
    page.get_by_role("tab", name="Upload a list").click()
    page.locator("input[type=file]").first.set_input_files(
        {"name": "vases.xlsx", "mimeType": "application/octet-stream", "buffer": buffer.getvalue()}
    )
    expect(page.get_by_role("button", name="Index 4 pictures")).to_be_visible()
    page.get_by_role("button", name=re.compile("Remove Old|Old, close")).or_(
        page.get_by_label("Old, clear", exact=False)
    ).first.click()
    expect(page.get_by_role("button", name="Index 2 pictures")).to_be_visible()


def test_the_code_page_is_chosen_by_how_it_reads(app: App, page: Page) -> None:
    data = "Titel;Bild\nDzbanek z Łodzi, błękitny;https://a.example/1.jpg\n".encode("cp1250")
    page.goto(f"{app.url}/index")
    page.get_by_role("tab", name="Upload a list").click()
    page.locator("input[type=file]").first.set_input_files(
        {"name": "vases.csv", "mimeType": "text/csv", "buffer": data}
    )
    box = page.get_by_role("combobox", name="Letters with accents, or of other scripts, read as")
    expect(box).to_have_value(re.compile("Dzbanek z Łodzi, błękitny.*Central European"))
    expect(page.get_by_role("button", name="Index 1 picture")).to_be_visible()


def test_an_import_that_waits_says_why_and_until_when(app: App, page: Page) -> None:
    def rests(visit: Visit) -> None:
        visit.answer(b"", 429, Retry_After="50")

    pages: dict[str, ServedPage] = {f"/{number}.jpg": rests for number in range(6)}
    with WebServer(pages) as site:
        paste(page, app, "\n".join(site.url(path) for path in pages))
        page.get_by_role("button", name="Index 6 pictures").click()
        expect(
            page.get_by_text(
                re.compile(r"6 URLs until \d\d?:\d\d.*127\.0\.0\.1 answered 429: requests are rate-limited")
            )
        ).to_be_visible()
        page.get_by_role("button", name="Cancel").first.click()
        expect(page.get_by_text(re.compile("^0 indexed · 6 failed$"))).to_be_visible()
