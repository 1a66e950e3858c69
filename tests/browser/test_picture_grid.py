"""The picture grid in a real browser: what a curator sees and touches, and what Python learns of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def site(streamlit_server: Callable[..., str]) -> str:
    return streamlit_server(Path(__file__).with_name("picture_grid_app.py"))


@pytest.fixture
def visit(new_page: Callable[..., Page], site: str) -> Visit:
    def open_page(query: str, **options: Any) -> Page:
        page = new_page(**{"viewport": {"width": 1400, "height": 900}, **options})
        page.goto(f"{site}/?{query}")
        page.locator(".card").first.wait_for(timeout=60_000)
        return page

    return open_page


def expect_known(page: Page, **values: Any) -> None:
    for name, value in values.items():
        expect(page.get_by_test_id("stCode")).to_contain_text(f"{json.dumps(name)}: {json.dumps(value)}")


def columns_of(page: Page) -> int:
    tops: list[int] = page.locator(".card").evaluate_all("all => all.map(c => c.offsetTop)")
    return tops.count(tops[0])


def test_all_pictures_are_shown_in_their_order_and_only_those_in_sight_are_fetched(visit: Visit) -> None:
    page = visit("n=200")
    expect(page.locator(".status")).to_have_text("Page 1 of many")
    assert page.locator(".title").all_text_contents() == [f"No. {place}" for place in range(200)]
    page.wait_for_load_state("networkidle")
    fetched = page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.includes('/api/thumb/')).length"
    )
    assert 1 <= fetched < 200
    for part in (".score", ".handle", ".asks", ".verdicts", ".fold"):
        expect(page.locator(part)).to_have_count(0)
    expect(page.locator(".picture").first).to_have_attribute("aria-label", "No. 0, 300 × 200")


def test_a_range_and_the_whole_page_are_selected(visit: Visit) -> None:
    page = visit("n=60&selectable=1")
    boxes = page.locator(".pick input")
    boxes.nth(2).click()
    boxes.nth(5).click(modifiers=["Shift"])
    expect(page.locator("[data-part=picked]")).to_have_text("4 selected")
    expect_known(page, selected=["p2", "p3", "p4", "p5"])
    page.get_by_role("button", name="Select this page").click()
    expect_known(page, selected=[f"p{place}" for place in range(60)])
    page.get_by_role("button", name="Clear").click()
    expect_known(page, selected=[])
    expect(page.locator(".card.selected")).to_have_count(0)


def test_another_page_starts_at_its_top_without_a_selection(visit: Visit) -> None:
    page = visit("n=60&selectable=1")
    page.locator(".pick input").nth(50).click()
    expect_known(page, selected=["p50"])
    page.get_by_role("button", name="Next page").evaluate("button => button.click()")
    expect(page.locator(".status")).to_have_text("Page 2 of many")
    expect(page.locator(".title").first).to_have_text("No. 60")
    expect_known(page, selected=[])
    expect(page.locator("[data-part=picked]")).to_be_hidden()
    expect(page.locator(".card").first).to_be_in_viewport()
    expect(page.locator("[data-part=live]")).to_have_text("Page 2 of many")


def test_a_rerun_with_the_same_pictures_disturbs_nothing(visit: Visit) -> None:
    page = visit("n=60&selectable=1")
    page.locator(".pick input").nth(3).click()
    expect_known(page, selected=["p3"])
    card = page.locator(".card").nth(3)
    card.evaluate("card => card.mine = 'kept'")
    page.locator(".picture").nth(9).focus()
    page.get_by_role("button", name="Run again").evaluate("button => button.click()")
    expect_known(page, runs=3)
    assert card.evaluate("card => card.mine") == "kept"
    expect(card.locator("input")).to_be_checked()
    expect(page.locator(".picture").nth(9)).to_be_focused()


def test_all_of_every_page_are_shown_as_selected_and_none_can_be_ticked(visit: Visit) -> None:
    page = visit("n=60&selectable=1")
    page.get_by_test_id("stCheckbox").click()
    expect(page.locator(".picture-grid")).to_have_class(re.compile("all-selected"))
    expect(page.locator(".pick").first).to_be_hidden()
    expect(page.get_by_role("button", name="Select this page")).to_be_hidden()


def test_the_grid_is_walked_with_the_keys_and_a_picture_is_opened(visit: Visit) -> None:
    page = visit("n=60&selectable=1")
    pictures = page.locator(".picture")
    pictures.first.focus()
    columns = columns_of(page)  # all have one shape
    for key, place in [("ArrowLeft", 0), ("ArrowRight", 1), ("ArrowDown", 1 + columns), ("End", 59), ("Home", 0)]:
        page.keyboard.press(key)
        expect(pictures.nth(place)).to_be_focused()
    page.keyboard.press("Space")
    expect_known(page, selected=["p0"], opened=None)
    page.keyboard.press("y")
    expect(pictures.first).to_be_focused()
    assert page.locator(".card [tabindex='0']:visible").count() == 3, "one card: its picture, its checkbox, its link"
    page.keyboard.press("Enter")
    expect_known(page, opened="p0")
    pictures.nth(4).click()
    expect_known(page, opened="p4")
    page.get_by_role("button", name="Run again").click()
    expect_known(page, opened=None)


def test_hostile_words_stay_words_and_a_stored_file_is_a_link_to_this_server(visit: Visit) -> None:
    page = visit("n=60&hostile=1")
    title = page.locator(".title").first
    expect(title).to_have_text("<b onclick=alert()>bold</b>")
    assert title.get_attribute("href") is None
    assert page.locator(".card b").count() == 0
    expect(page.locator(".broken").nth(1)).to_be_visible()
    expect(page.locator(".note").nth(1)).to_be_hidden()
    expect(page.locator(".host").nth(1)).to_have_text("Stored file")
    expect(page.locator(".title").nth(1)).to_have_attribute("href", re.compile(r"^http://127\.0\.0\.1:\d+/api/file/1$"))
    assert page.evaluate("window.pwned") is None


def test_a_phone_shows_two_columns(visit: Visit) -> None:
    page = visit("n=60&selectable=1", viewport={"width": 390, "height": 844}, has_touch=True)
    assert columns_of(page) == 2
    assert page.get_by_test_id("stMain").evaluate("m => m.scrollWidth <= m.clientWidth")
    assert page.locator(".pick").first.evaluate("p => getComputedStyle(p).opacity") == "1"
