"""The comparing table in a real browser: what a curator sees and does there, and what Python learns of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

Visit = Callable[..., Page]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def site(streamlit_server: Callable[..., str]) -> str:
    return streamlit_server(Path(__file__).with_name("match_gallery_app.py"))


@pytest.fixture
def visit(new_page: Callable[..., Page], site: str) -> Visit:
    """`visit("same=1", place=2)` opens the match at that place on the table."""

    def open_table(more: str = "", place: int = 1, **options: Any) -> Page:
        page = new_page(**{"viewport": {"width": 1440, "height": 900}, **options})
        page.goto(f"{site}/?n=60&threshold=0.7&queries=1&judging=1&selectable=1&{more}")
        if "same" in more:
            page.get_by_role("button", name="Run again").click()
            expect(page.get_by_role("heading", name="Same picture")).to_be_visible()
        picture = page.locator(".picture").nth(place)
        expect(picture.locator("img")).to_have_js_property("complete", value=True)
        picture.focus()
        page.keyboard.press("Enter")
        expect(table(page)).to_be_visible()
        return page

    return open_table


def table(page: Page) -> Locator:
    return page.get_by_role("dialog")


def stage(page: Page) -> Locator:
    return page.locator(".stage")


def box(locator: Locator) -> dict[str, float]:
    found = locator.bounding_box()
    assert found is not None
    return {"x": found["x"], "y": found["y"], "width": found["width"], "height": found["height"]}


def names(page: Page) -> list[str]:
    return page.locator(".title").all_text_contents()


def ids(page: Page) -> list[str]:
    sources: list[str] = page.locator(".card img").evaluate_all("all => all.map(i => i.getAttribute('src'))")
    return ["p" + source.rsplit("/", 1)[1] for source in sources]


def expect_known(page: Page, **values: Any) -> None:
    for name, value in values.items():
        expect(page.get_by_test_id("stCode")).to_contain_text(f"{json.dumps(name)}: {json.dumps(value)}")


def fingers(page: Page) -> Callable[..., None]:
    """Puts fingers on the screen, moves or lifts them: `touch("touchMove", (100, 200))`."""
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    return touch


OPENING = """(picture) => new Promise((done, fail) => {
    setTimeout(() => fail(new Error('it did not open')), 10_000);
    const dialog = picture.getRootNode().querySelector('dialog.comparing-table');
    const start = performance.now();
    picture.click();
    const image = dialog.querySelector('.match img');
    const wait = () => dialog.open && image.complete && image.naturalWidth
        ? requestAnimationFrame(() => done(performance.now() - start)) : requestAnimationFrame(wait);
    wait();
})"""


def test_it_opens_at_once_and_the_original_follows(visit: Visit) -> None:
    page = visit()
    page.keyboard.press("Escape")
    times = list[float]()
    for place in (3, 4, 5, 6, 7):
        picture = page.locator(".picture").nth(place)
        picture.scroll_into_view_if_needed()
        expect(picture.locator("img")).to_have_js_property("complete", value=True)
        times.append(picture.evaluate(OPENING))
        page.keyboard.press("Escape")
    assert min(times) < 100, times  # a busy machine may delay any of them
    wanted = next(place for place, id in enumerate(ids(page)) if not id.endswith("0"))
    page.locator(".picture").nth(wanted).click()
    image = table(page).locator(".match img")
    expect(image).to_have_attribute("src", re.compile("^blob:"))
    assert image.evaluate("i => Math.max(i.naturalWidth, i.naturalHeight)") > 256
    expect(table(page).locator(".query img")).to_have_attribute("src", re.compile("^blob:"))
    expect(page.locator("[data-at=state]")).to_have_text("")


def test_the_thumbnail_stays_when_nothing_better_can_be_had(visit: Visit) -> None:
    page = visit("threshold=0.3")
    page.keyboard.press("Escape")
    lost = next(place for place, id in enumerate(ids(page)) if id.endswith("0"))
    page.locator(".picture").nth(lost).click()
    expect(page.locator("[data-at=state]")).to_have_text("· only its thumbnail can be shown")
    expect(table(page).locator(".match img")).to_have_attribute("src", re.compile("^/api/thumb/"))


def test_it_is_a_modal_dialog_and_the_focus_goes_back_to_the_card_it_came_to(visit: Visit) -> None:
    page = visit(place=2)
    titles = names(page)
    expect(table(page)).to_have_accessible_name(titles[2])
    expect(stage(page)).to_be_focused()
    covered = box(table(page))
    assert (covered["width"], covered["height"]) == (1440, 900)
    for _ in range(40):  # the Tab key stays inside
        page.keyboard.press("Tab")
        outside = "d => { const f = d.getRootNode().activeElement; return f !== null && !d.contains(f); }"
        assert not table(page).evaluate(outside)
    stage(page).focus()
    page.keyboard.press("ArrowRight")
    expect(table(page)).to_have_accessible_name(titles[3])
    expect(page.locator("[data-at=live]")).to_contain_text(titles[3])
    page.keyboard.press("Escape")
    expect(table(page)).to_have_count(0)
    expect(page.locator(".picture").nth(3)).to_be_focused()
    page.keyboard.press("Space")
    expect(table(page)).to_be_visible()


def test_the_arrows_walk_to_both_ends(visit: Visit) -> None:
    page = visit(place=0)
    titles = names(page)
    place = page.locator("[data-at=place]")
    expect(place).to_have_text(f"1 of {len(titles)}")
    expect(page.get_by_role("button", name="Previous match")).to_be_disabled()
    page.keyboard.press("ArrowLeft")
    expect(place).to_have_text(f"1 of {len(titles)}")
    page.keyboard.press("End")
    expect(table(page)).to_have_accessible_name(titles[-1])
    expect(page.get_by_role("button", name="Next match")).to_be_disabled()
    page.get_by_role("button", name="Previous match").click()
    expect(place).to_have_text(f"{len(titles) - 1} of {len(titles)}")


def test_four_ways_to_compare(visit: Visit) -> None:
    page = visit(reduced_motion="reduce")
    query, match = (page.locator(f".stage .{name}") for name in ("query", "match"))
    assert box(query)["x"] + box(query)["width"] <= box(match)["x"]
    for key, mode in [("2", "wipe"), ("3", "blink"), ("4", "difference"), ("1", "side")]:
        page.keyboard.press(key)
        expect(stage(page)).to_have_attribute("data-mode", mode)
        pressed = page.locator("[data-at=modes] [aria-pressed=true]")
        expect(pressed).to_have_attribute("data-mode", mode)
    page.get_by_role("button", name="Wipe", exact=True).click()
    line = box(stage(page))
    x, y = line["x"] + line["width"] / 2, line["y"] + line["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - line["width"] / 4, y, steps=5)
    page.mouse.up()
    assert match.evaluate("m => getComputedStyle(m).clipPath") == "inset(0px 0px 0px 25%)"
    slider = page.get_by_role("slider", name="How much of the query shows")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("26")
    page.get_by_role("button", name="Blink", exact=True).click()
    expect(match).to_be_visible()
    expect(query).to_be_hidden()
    stage(page).click(position={"x": 300, "y": 300})
    expect(query).to_be_visible()
    expect(match).to_be_hidden()
    stage(page).focus()
    page.keyboard.press("Space")
    expect(match).to_be_visible()
    page.get_by_role("button", name="Difference", exact=True).click()
    assert match.evaluate("m => getComputedStyle(m).mixBlendMode") == "difference"


def test_they_blink_by_themselves_where_motion_is_welcome(visit: Visit) -> None:
    page = visit(reduced_motion="no-preference")
    page.keyboard.press("3")
    for name in ("query", "match", "query"):
        expect(page.locator(f".stage .{name}")).to_be_visible()


def test_both_pictures_are_zoomed_and_moved_together(visit: Visit) -> None:
    page = visit()
    transforms = "s => [...s.querySelectorAll('.zoom')].map(z => z.style.transform)"
    area = box(page.locator(".stage .match"))
    x, y = area["x"] + area["width"] * 0.75, area["y"] + area["height"] / 2
    page.mouse.move(x, y)
    page.mouse.wheel(0, -250)
    one, other = stage(page).evaluate(transforms)
    assert one == other
    assert "scale(1)" not in one
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=4)
    page.mouse.up()
    moved = stage(page).evaluate(transforms)
    assert moved[0] == moved[1] != one
    stage(page).focus()
    page.keyboard.press("0")
    assert stage(page).evaluate(transforms) == ["translate(0px, 0px) scale(1)"] * 2
    page.keyboard.press("+")
    expect(page.locator("[data-at=fit]")).to_have_text("1.5×")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-at=fit]")).to_have_text("Fit")


def test_a_mirrored_match_is_outlined_and_laid_over_the_query_as_it_was(visit: Visit) -> None:
    page = visit("same=1", place=0)
    expect(table(page).get_by_text("Same picture: Mirrored", exact=True)).to_be_visible()
    expect(table(page).locator(".query polygon")).to_have_attribute("points", "1,0 0,0 0,1 1,1")
    expect(table(page).locator(".query img")).to_have_attribute("src", re.compile("^blob:"))
    expect(page.locator("[data-at=state]")).not_to_contain_text("loading")  # a thumbnail is a pixel narrower
    page.keyboard.press("4")
    query, match = (page.locator(f".stage .{name} .sheet") for name in ("query", "match"))
    assert match.evaluate("s => new DOMMatrix(getComputedStyle(s).transform).m11") < 0
    for side in ("x", "y", "width", "height"):
        assert box(match)[side] == pytest.approx(box(query)[side], abs=1)
    page.keyboard.press("ArrowRight")
    assert match.evaluate("s => s.style.transform") == ""


def test_verdicts_are_given_and_undone(visit: Visit) -> None:
    page = visit(place=2)
    id = ids(page)[2]
    page.keyboard.press("y")
    right = table(page).get_by_role("button", name=re.compile("^Right"))
    expect(right).to_have_attribute("aria-pressed", "true")
    expect_known(page, verdicts={id: True})
    page.keyboard.press("n")
    expect(right).to_have_attribute("aria-pressed", "false")
    expect_known(page, verdicts={id: False})
    expect(table(page)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".card").nth(2).locator("[data-verdict=no]")).to_have_attribute("aria-pressed", "true")


def test_a_removed_match_makes_way_for_the_next_and_comes_back(visit: Visit) -> None:
    page = visit(place=2)
    found, titles = ids(page), names(page)
    page.keyboard.press("x")
    expect(table(page)).to_have_accessible_name(titles[3])
    expect(page.get_by_role("status").filter(visible=True)).to_contain_text(f"{titles[2]} is in the bin.")
    expect_known(page, edits=[[found[2], "remove", ""]])
    expect(page.locator(".card")).to_have_count(len(found) - 1)
    expect(table(page)).to_have_accessible_name(titles[3])
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(page.locator(".card")).to_have_count(len(found))
    expect_known(page, edits=[[found[2], "remove", ""], [found[2], "restore", ""]])
    expect(table(page)).to_have_accessible_name(titles[3])


def test_facts_and_tags_come_from_python_and_stay_words(visit: Visit) -> None:
    page = visit(place=2)
    id = ids(page)[2]
    page.keyboard.press("t")
    field = page.get_by_label("Tags")
    expect(field).to_be_focused()
    facts = page.get_by_role("complementary", name="Facts")
    expect(facts).to_contain_text("640 × 480 pixels")
    expect(facts).to_contain_text("<b>field</b>")
    expect(facts.locator("b, i, dd *")).to_have_count(0)
    expect(facts.get_by_text("bad")).not_to_have_attribute("href", re.compile("."))
    expect(facts.get_by_text("https://a.example/<b>")).to_have_attribute("href", "https://a.example/%3Cb%3E")
    field.fill("xyn mt")  # letters that are keys elsewhere
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove the tag xyn mt")).to_be_visible()
    expect_known(page, edits=[[id, "tag", "xyn mt"]])
    page.keyboard.press("Escape")
    expect(stage(page)).to_be_focused()
    page.keyboard.press("i")
    expect(facts).to_be_hidden()


def test_more_like_it_and_all_of_it_close_the_table(visit: Visit) -> None:
    page = visit(place=2)
    id = ids(page)[2]
    page.keyboard.press("m")
    expect(table(page)).to_have_count(0)
    expect_known(page, more_like=id)
    page.keyboard.press("Enter")
    page.keyboard.press("i")
    page.get_by_role("button", name=re.compile("^Edit, check links")).click()
    expect(table(page)).to_have_count(0)
    expect_known(page, opened=id)


def test_words_have_nothing_to_lay_over(visit: Visit) -> None:
    page = visit("queries=")
    for name in ("Wipe", "Blink", "Difference"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_disabled()
    page.keyboard.press("2")
    expect(stage(page)).to_have_attribute("data-mode", "side")


def test_another_picture_of_the_query_is_put_beside(visit: Visit) -> None:
    page = visit()
    expect(page.get_by_text("Your query: query 3")).to_be_visible()
    page.get_by_role("button", name="Compare with query 17").click()
    expect(page.get_by_text("Your query: query 17")).to_be_visible()
    expect(table(page).locator(".query img")).to_have_attribute("alt", "Your query: query 17")


def test_a_phone_swipes_taps_and_pinches(visit: Visit) -> None:
    page = visit(**PHONE)
    titles, touch = names(page), fingers(page)
    query, match = (page.locator(f".stage .{name}") for name in ("query", "match"))
    assert box(query)["y"] + box(query)["height"] <= box(match)["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.locator("dialog *:visible").evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().right > 391).map(e => e.className)"
    )
    assert wide == []
    area = box(match)
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    touch("touchStart", (x + 100, y))
    for step in range(1, 6):
        touch("touchMove", (x + 100 - 40 * step, y))
    touch("touchEnd")
    expect(table(page)).to_have_accessible_name(titles[2])
    page.touchscreen.tap(x, y)
    expect(stage(page)).to_have_attribute("data-mode", "blink")
    expect(match).to_be_visible()
    page.wait_for_timeout(900)
    expect(match).to_be_visible()  # a tap flips by hand
    page.touchscreen.tap(x, y)
    expect(query).to_be_visible()
    touch("touchStart", (x - 20, y), (x + 20, y))
    for step in range(1, 6):
        touch("touchMove", (x - 20 - 16 * step, y), (x + 20 + 16 * step, y))
    touch("touchEnd")
    expect(stage(page)).to_have_class(re.compile("zoomed"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_words_can_be_read(visit: Visit, scheme: str) -> None:
    page = visit("same=1", place=0, color_scheme=scheme)
    page.keyboard.press("i")
    expect(page.get_by_role("complementary")).to_contain_text("640")
    ratio = """d => {
        const light = (color) => {
            const [r, g, b] = color.match(/[\\d.]+/g).map(Number).map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ground = (e) => {
            const color = getComputedStyle(e).backgroundColor;
            return color === 'rgba(0, 0, 0, 0)' && e !== d ? ground(e.parentElement) : color;
        };
        const worst = {};
        for (const e of d.querySelectorAll('h2, h3, p span, button:not(:disabled), dt, dd, a, label, figcaption')) {
            if (!e.checkVisibility() || !e.textContent.trim()) continue;
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < 4.5) worst[e.textContent.trim()] = ratio;
        }
        return worst;
    }"""
    assert table(page).evaluate(ratio) == {}
