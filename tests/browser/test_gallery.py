"""The result gallery in a real browser: what a curator sees, touches, and what Python hears of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from core.ui.gallery import per_mille

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 1400, 900
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def site(streamlit_server: Callable[..., str]) -> str:
    return streamlit_server(Path(__file__).with_name("gallery_app.py"))


@pytest.fixture(scope="module")
def context_for(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """One context for equal options: its cache spares each test the load of Streamlit's own scripts."""
    contexts: dict[str, BrowserContext] = {}

    def context(**options: Any) -> BrowserContext:
        name = repr(sorted(options.items()))
        if name not in contexts:
            contexts[name] = browser.new_context(**options)
        return contexts[name]

    yield context
    for opened in contexts.values():
        opened.close()


@pytest.fixture
def visit(context_for: Callable[..., BrowserContext], site: str) -> Iterator[Visit]:
    """`visit("n=60&threshold=0.8", color_scheme="dark")` opens the gallery; a script error fails the test."""
    pages: list[Page] = []
    errors: list[str] = []

    def open_page(query: str, **options: Any) -> Page:
        page = context_for(**{"viewport": {"width": WIDTH, "height": HEIGHT}, **options}).new_page()
        pages.append(page)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{site}/?{query}")
        page.locator(".toolbar:visible, .empty:visible").first.wait_for(timeout=60_000)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert errors == []


def heard(page: Page) -> dict[str, Any]:
    """What the script knew in its last run."""
    answer: dict[str, Any] = json.loads(page.get_by_test_id("stCode").inner_text())
    return answer


def expect_heard(page: Page, **facts: Any) -> None:
    for name, value in facts.items():
        said = f"{json.dumps(name)}: {json.dumps(value)}"
        expect(page.get_by_test_id("stCode")).to_contain_text(said, timeout=15_000)


def expect_value(page: Page, text: str) -> None:
    expect(page.locator(".value")).to_have_text(text)


def at(page: Page, percent: float) -> tuple[float, float]:
    """Where on the screen a threshold lies on the scale."""
    box = page.locator(".plot").bounding_box()
    assert box is not None
    return box["x"] + box["width"] * percent / 100, box["y"] + box["height"] - 5


def drag(page: Page, start: float, end: float) -> None:
    """Press at one percentage and move to another; the button stays down."""
    page.mouse.move(*at(page, start))
    page.mouse.down()
    page.mouse.move(*at(page, end), steps=25)


def scores(page: Page) -> list[float]:
    texts = page.locator(".card:not(.below) .score").all_text_contents()
    return [float(text.split()[0]) for text in texts]


def middle_of(page: Page, locator: Locator) -> tuple[float, float]:
    box = locator.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize(
    ("similarity", "shown"),
    [
        (1.0, 1000),
        (0.9995, 1000),
        (0.99949, 999),
        (0.81, 810),
        (0.29, 290),
        (0.80999, 809),
        (0.0004, 0),
        (0.0, 0),
        (-0.3, 0),
    ],
)
def test_a_similarity_is_rounded_down_and_never_flattered(similarity: float, shown: int) -> None:
    assert per_mille(similarity) == shown


def test_every_tenth_of_a_percent_reaches_itself() -> None:
    assert [per_mille(step / 1000) for step in range(1000)] == list(range(1000))


def test_it_paints_the_matches_that_reach_the_line_and_the_one_below(visit: Visit) -> None:
    page = visit("n=500&threshold=0.9")
    shown = scores(page)
    assert len(shown) > 10
    assert min(shown) >= 90
    assert all(better >= worse for better, worse in pairwise(shown))
    assert shown[0] == 100.0
    below = page.locator(".card.below")
    expect(below).to_have_count(1)
    expect(below.locator(".score")).to_have_text(re.compile(r"^Just below the line: 89\.\d\s%$"))
    assert page.locator(".card").count() == len(shown) + 1
    expect(page.locator(".status")).to_have_text(
        f"{len(shown)} of 500 fetched matches reach 90 % (1,204 pictures in the collection)"
    )
    expect_value(page, "90.0 %")
    image = page.locator(".card img").first
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("i => i.naturalWidth") > 0
    assert image.evaluate("i => getComputedStyle(i).objectFit") == "contain"
    expect(image).to_have_attribute("alt", re.compile(", no. "))


def test_pictures_that_are_hidden_are_not_fetched(visit: Visit) -> None:
    page = visit("n=500&threshold=0.97")
    page.wait_for_load_state("networkidle")
    fetched = page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.includes('/api/thumb/')).length"
    )
    assert 1 <= fetched <= page.locator(".card").count()


def test_a_drag_answers_at_once_and_python_hears_of_the_release_only(visit: Visit) -> None:
    page = visit("n=500&threshold=0.8", color_scheme="light")
    frames: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: frames.append(frame)))
    page.reload()
    expect(page.locator(".card").nth(20)).to_be_visible()
    assert frames, "the listener must see the traffic of the page load"
    before, runs = len(scores(page)), heard(page)["runs"]
    page.evaluate(
        """() => {
            const live = document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot
                .querySelector('[aria-live]');
            window.announced = [];
            new MutationObserver(() => window.announced.push(live.textContent))
                .observe(live, {childList: true, characterData: true, subtree: true});
        }"""
    )
    frames.clear()
    drag(page, 80, 92)
    expect_value(page, "92.0 %")
    during = len(scores(page))
    assert 0 < during < before
    assert min(scores(page)) >= 92
    assert frames == []
    assert heard(page)["runs"] == runs
    page.mouse.up()
    expect_heard(page, released=0.92, threshold=0.92)
    assert len(frames) == 1
    expect_value(page, "92.0 %")
    page.wait_for_function("window.announced.length > 0")
    assert page.evaluate("window.announced.length") <= 2, "a listener must not hear every step"
    assert page.evaluate("window.announced.at(-1)") == page.locator("[data-part=count]").inner_text()


def test_a_finger_moves_the_line(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8", has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    session = page.context.new_cdp_session(page)

    def touch(kind: str, percent: float | None) -> None:
        points = [] if percent is None else [dict(zip("xy", at(page, percent), strict=True))]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 80)
    for percent in (78, 74, 70, 65):
        touch("touchMove", percent)
    touch("touchEnd", None)
    expect_value(page, "65.0 %")
    expect_heard(page, released=0.65)


def test_the_keys_move_the_line(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8")
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    steps = [
        ("ArrowRight", "80.5 %"),
        ("ArrowUp", "81.0 %"),
        ("ArrowLeft", "80.5 %"),
        ("ArrowDown", "80.0 %"),
        ("PageUp", "85.0 %"),
        ("PageDown", "80.0 %"),
        ("Home", "0.0 %"),
        ("ArrowLeft", "0.0 %"),
        ("End", "100.0 %"),
        ("ArrowRight", "100.0 %"),
        ("PageDown", "95.0 %"),
    ]
    runs = heard(page)["runs"]
    for key, value in steps:
        page.keyboard.press(key)
        expect_value(page, value)
    expect(slider).to_have_attribute("aria-valuenow", "95")
    expect(slider).to_have_attribute("aria-valuemin", "0")
    expect(slider).to_have_attribute("aria-valuemax", "100")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^95.%, \d+ of 60 fetched matches"))
    expect_heard(page, released=0.95)
    assert heard(page)["runs"] - runs <= 3, "a burst of keys is one release"
    expect(slider).to_be_focused()


@pytest.mark.parametrize(("key", "value", "cards"), [("Home", 0.0, 60), ("End", 1.0, 1)])
def test_the_line_holds_at_its_ends(visit: Visit, key: str, value: float, cards: int) -> None:
    page = visit("n=60&threshold=0.8")
    page.get_by_role("slider").focus()
    page.keyboard.press(key)
    expect_heard(page, released=value)
    runs = heard(page)["runs"]
    page.get_by_role("button", name="Run again").click()
    expect_heard(page, runs=runs + 1)
    expect_value(page, f"{value * 100:.1f} %")
    assert len(scores(page)) == cards


def test_a_rerun_with_the_same_matches_disturbs_nothing(visit: Visit) -> None:
    page = visit("n=500&threshold=0.8&selectable=1")
    card = page.locator(".card").nth(30)
    card.evaluate("card => card.mine = 'kept'")
    card.locator("input").check(force=True)
    expect_heard(page, runs=2)
    page.locator(".card .picture").nth(40).focus()
    main = page.get_by_test_id("stMain")
    top = main.evaluate("m => m.scrollTop")
    assert top > 200
    card.evaluate(
        """card => {
            window.changes = 0;
            new MutationObserver(all => window.changes += all.length)
                .observe(card.parentElement, {childList: true, subtree: true, attributes: true, characterData: true});
        }"""
    )
    # A real click would take the focus away: these are reruns that come by themselves.
    page.get_by_role("button", name="Run again").evaluate("button => button.click()")
    expect_heard(page, runs=3)
    page.get_by_role("button", name="Grow").evaluate("button => button.click()")
    expect(page.locator(".status")).to_contain_text("1,205 pictures in the collection")
    assert page.evaluate("window.changes") == 0
    expect(page.locator(".card .picture").nth(40)).to_be_focused()
    expect(card.locator("input")).to_be_checked()
    assert main.evaluate("m => m.scrollTop") == top
    assert len(heard(page)["selected"]) == 1
    page.get_by_role("slider").press("ArrowLeft")
    expect_heard(page, threshold=0.795)
    assert card.evaluate("card => card.mine") == "kept"


def test_a_step_touches_only_the_cards_that_change(visit: Visit) -> None:
    page = visit("n=500&threshold=0.8")
    page.locator(".card").first.evaluate(
        """card => {
            window.touched = new Set();
            const touch = (node) => window.touched.add((node.closest ? node : node.parentElement).closest('.card'));
            new MutationObserver(all => {
                for (const {type, target, removedNodes} of all)
                    type === 'childList' && target.matches('.cards') ? removedNodes.forEach(touch) : touch(target);
            }).observe(card.parentElement, {childList: true, subtree: true, attributes: true, characterData: true});
        }"""
    )
    before = len(scores(page))
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    expect_value(page, "80.5 %")
    moved = before - len(scores(page))
    assert moved > 0
    assert page.evaluate("window.touched.size") == moved + 1


def test_an_order_from_python_is_obeyed_and_the_same_value_is_heard_again(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8")
    drag(page, 80, 90)
    page.mouse.up()
    expect_heard(page, threshold=0.9)
    page.get_by_role("button", name="Order 50").click()
    expect_value(page, "50.0 %")
    expect_heard(page, threshold=0.5)
    drag(page, 50, 90)
    page.mouse.up()
    expect_heard(page, threshold=0.9)
    expect_value(page, "90.0 %")


def test_another_query_replaces_everything(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&selectable=1")
    page.locator(".pick input").first.check(force=True)
    expect(page.locator("[data-part=picked]")).to_have_text("1 selected")
    titles = page.locator(".title").all_text_contents()
    page.get_by_role("button", name="Another query").click()
    expect(page.locator(".title").first).not_to_have_text(titles[0])
    assert page.locator(".card").count() == len(titles)
    expect(page.locator("[data-part=picked]")).to_be_hidden()
    expect(page.locator(".card.selected")).to_have_count(0)
    expect_heard(page, selected=[])


def test_a_range_is_selected_with_shift(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&selectable=1")
    boxes = page.locator(".pick input")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(page.locator("[data-part=picked]")).to_have_text("4 selected")
    expect(page.locator(".card.selected")).to_have_count(4)
    sources = page.locator(".card.selected img").evaluate_all("all => all.map(i => i.getAttribute('src'))")
    expect_heard(page, selected=["p" + source.rsplit("/", 1)[1] for source in sources])
    page.get_by_role("button", name="Clear").click()
    expect_heard(page, selected=[])
    expect(page.locator(".card.selected")).to_have_count(0)
    page.get_by_role("button", name="Select all shown").click()
    count = len(scores(page))
    expect(page.locator("[data-part=picked]")).to_have_text(f"{count} selected")
    expect(page.locator(".card.below input")).not_to_be_checked()
    drag(page, 80, 95)
    hidden = count - len(scores(page))
    expect(page.locator("[data-part=picked]")).to_have_text(f"{count} selected, {hidden} of them below the line")
    page.mouse.up()


def test_without_selectable_there_is_nothing_to_tick(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8")
    expect(page.locator(".pick").first).to_be_hidden()
    expect(page.get_by_role("button", name="Select all shown")).to_be_hidden()


def test_the_grid_is_walked_with_the_keys(visit: Visit) -> None:
    page = visit("n=60&threshold=0.7&selectable=1")
    pictures = page.locator(".picture")
    page.get_by_role("button", name="Select all shown").focus()
    page.keyboard.press("Tab")
    expect(pictures.first).to_be_focused()
    columns = page.locator(".cards").evaluate("c => getComputedStyle(c).gridTemplateColumns.split(' ').length")
    for key, place in [
        ("ArrowLeft", 0),
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowLeft", columns),
        ("ArrowUp", 0),
        ("End", len(scores(page))),
        ("Home", 0),
        ("ArrowRight", 1),
    ]:
        page.keyboard.press(key)
        expect(pictures.nth(place)).to_be_focused()
    assert pictures.nth(1).evaluate("p => getComputedStyle(p).outlineStyle") == "solid"
    page.keyboard.press("Space")
    expect(page.locator(".pick input").nth(1)).to_be_checked()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Space")
    expect(page.locator(".card.selected")).to_have_count(3)
    assert heard(page)["opened"] is None
    tabbable = page.locator(".card [tabindex='0']")
    assert tabbable.count() == 3, "one card at a time: its picture, its checkbox, its link"
    page.keyboard.press("Enter")
    source = page.locator(".card img").nth(3).get_attribute("src")
    assert source is not None
    expect_heard(page, opened="p" + source.rsplit("/", 1)[1])


def test_the_keys_do_not_walk_under_the_toolbar(visit: Visit) -> None:
    page = visit("n=500&threshold=0.6")
    page.locator(".picture").nth(60).focus()
    for _ in range(5):
        page.keyboard.press("ArrowUp")
    focused = page.locator(".picture:focus").bounding_box()
    toolbar = page.locator(".toolbar").bounding_box()
    assert focused is not None
    assert toolbar is not None
    assert toolbar["y"] >= 0, "the toolbar stays in sight"
    assert focused["y"] >= toolbar["y"] + toolbar["height"]


def test_a_click_on_a_picture_opens_it_and_its_title_is_a_link(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8")
    page.locator(".picture").nth(2).click()
    source = page.locator(".card img").nth(2).get_attribute("src")
    assert source is not None
    expect_heard(page, opened="p" + source.rsplit("/", 1)[1])
    page.get_by_role("button", name="Run again").click()
    expect_heard(page, opened=None)
    link = page.locator(".title").nth(2)
    expect(link).to_have_attribute("href", re.compile(r"^https://museum\.example/collection/"))
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(page.locator(".host").nth(2)).to_have_text("museum.example")


def test_no_match_offers_the_closest(visit: Visit) -> None:
    page = visit("n=60&best=0.8123&threshold=0.95")
    expect(page.locator(".empty")).to_contain_text("No picture reaches 95 %. The closest is 81.2 %.")
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("button", name="Show the closest").click()
    expect_value(page, "81.2 %")
    expect(page.locator(".empty")).to_be_hidden()
    assert scores(page) == [81.2]
    expect(page.locator(".status")).to_contain_text("1 of 60 fetched matches reaches 81.2 %")
    expect_heard(page, released=0.812)


def test_no_matches_at_all_are_said_to_be_none(visit: Visit) -> None:
    page = visit("n=0&threshold=0.8")
    expect(page.locator(".empty p")).to_have_text("There are no matches to show.")
    expect(page.get_by_role("button", name="Show the closest")).to_be_hidden()
    expect(page.locator(".toolbar")).to_be_hidden()


def test_more_may_follow_when_all_that_was_fetched_reaches_the_line(visit: Visit) -> None:
    page = visit("n=60&threshold=0.1")
    expect(page.locator(".status")).to_contain_text("60 of 60 fetched matches reach 10 %")
    expect(page.locator(".status")).to_contain_text("more may reach it")
    expect(page.locator(".card.below")).to_have_count(0)


def test_hostile_words_stay_words(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&hostile=1&selectable=1")
    title = page.locator(".title").first
    expect(title).to_have_text("<img src=x onerror=\"window.pwned = 'title'\"><b>bold</b>")
    assert title.get_attribute("href") is None
    assert page.locator(".caption img, .caption b").count() == 0
    title.click()
    expect(page.locator(".broken").nth(1)).to_have_text("This picture cannot be shown")
    expect(page.locator(".broken").nth(1)).to_be_visible()
    expect(page.locator(".card img").nth(1)).to_be_hidden()
    assert page.evaluate("window.pwned") is None


CONTRAST = """([name, ground]) => {
    const root = document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot;
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const light = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const style = getComputedStyle(root.querySelector(name));
    const back = ground === 'page' ? getComputedStyle(root.querySelector('.toolbar')).backgroundColor
        : getComputedStyle(root.querySelector(ground)).backgroundColor;
    const [a, b] = [light(style.color), light(back)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_in_light_and_dark(visit: Visit, scheme: str) -> None:
    page = visit("n=60&threshold=0.8&hostile=1", color_scheme=scheme)
    pairs = [
        (".value", "page"),
        (".status", "page"),
        (".status .quiet", "page"),
        (".axis", "page"),
        (".title", "page"),
        (".host", "page"),
        (".below .score", "page"),
        (".broken", ".picture:not(.below .picture)"),
        (".strong", ".strong"),
    ]
    ratios = {name: page.evaluate(CONTRAST, [name, ground]) for name, ground in pairs}
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}
    paper = page.locator(".toolbar").evaluate("t => getComputedStyle(t).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", paper)[:3])) / 3
    assert brightness > 200 if scheme == "light" else brightness < 60


def test_a_phone_shows_two_columns_and_nothing_sticks_out(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&selectable=1", viewport={"width": 390, "height": 844}, has_touch=True)
    columns = page.locator(".cards").evaluate("c => getComputedStyle(c).gridTemplateColumns.split(' ').length")
    assert columns == 2
    assert len(scores(page)) > 4
    wide = page.locator(".gallery *:visible").evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().right > 390 && !e.closest('.hush')).map(e => e.className)"
    )
    assert wide == []
    assert page.get_by_test_id("stMain").evaluate("m => m.scrollWidth <= m.clientWidth")


def test_checkboxes_are_there_for_fingers_and_wait_for_a_mouse(visit: Visit) -> None:
    opacity = "p => getComputedStyle(p).opacity"
    phone = visit("n=60&threshold=0.8&selectable=1", has_touch=True, is_mobile=True)
    assert phone.locator(".pick").nth(1).evaluate(opacity) == "1"
    desk = visit("n=60&threshold=0.8&selectable=1")
    assert desk.locator(".pick").nth(1).evaluate(opacity) == "0"
    desk.mouse.move(*middle_of(desk, desk.locator(".picture").nth(1)))
    assert desk.locator(".pick").nth(1).evaluate(opacity) == "1"
