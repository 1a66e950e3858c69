"""The contact sheet in a real browser, on the screen and on paper."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from core.search.result_export import as_contact_sheet
from tests.search.test_result_export import HOSTILE, LOST, match, report, thumbnail

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_context(color_scheme="dark", viewport={"width": 1100, "height": 800}) as context:
        yield context.new_page()


def show(page: Page, tmp_path: Path, sheet: bytes) -> None:
    path = tmp_path / "sheet.html"
    path.write_bytes(sheet)
    page.goto(path.as_uri())


def test_the_sheet_shows_everything_on_light_paper(page: Page, tmp_path: Path) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    show(page, tmp_path, as_contact_sheet(report(match(1, HOSTILE), match(LOST.int), match(4)), thumbnail))
    assert [url.partition(":")[0] for url in requests] == ["file"], "nothing else is loaded"
    assert page.locator("h1").inner_text() == "a red bicycle"
    assert page.locator("dd").all_inner_texts() == [
        "3",
        "81.0\u202f%",
        "ViT-B-32/laion2b_s34b_b79k",
        "1 March 2026, 00:30 EET",
    ]
    assert page.locator(".title").first.inner_text() == HOSTILE
    assert page.locator(".score").all_inner_texts()[2].split() == ["90.0", "%", "3"]
    assert page.locator("li").nth(1).inner_text().startswith("No thumbnail")
    assert page.locator("img").evaluate_all("all => all.every(i => i.naturalWidth > 0)")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light only"


def drawn(printed: bytes) -> list[tuple[int, int]]:
    """How many pictures and how many links each page of a PDF from Chromium has."""
    objects = dict(re.findall(rb"\n(\d+) 0 obj\n(.*?)\nendobj", printed, re.S))
    pages = [facts for facts in objects.values() if facts.startswith(b"<</Type /Page\n")]
    found = []
    for facts in pages:
        [content] = re.findall(rb"/Contents (\d+) 0 R", facts)
        [stream] = re.findall(rb"stream\n(.*)\nendstream", objects[content], re.S)
        annotations = re.findall(rb"/Annots \[(.*?)\]", facts)
        pictures = re.findall(rb"/X\d+ Do", zlib.decompress(stream))
        found.append((len(pictures), annotations[0].count(b" R") if annotations else 0))
    return found


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_no_picture_is_torn_from_its_words(page: Page, tmp_path: Path, paper: str) -> None:
    """A card's picture comes first and its link last: both are on one page, whatever stands above the cards."""
    for lines in (0, 3, 6):
        matches = [
            match(number, "A title of two lines, both of them full" * (number % 3)) for number in range(100, 140)
        ]
        query = "a long query that fills a line and in the end the page too, words and words and words " * lines
        show(page, tmp_path, as_contact_sheet(report(*matches, query=query), thumbnail))
        pages = drawn(page.pdf(format=paper))
        assert sum(pictures for pictures, _ in pages) == len(matches)
        assert all(pictures == links for pictures, links in pages), pages
