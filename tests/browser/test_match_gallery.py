"""The match gallery in a real browser: what a curator sees and touches, and what Python learns of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from core.search.score import per_mille
from core.ui.components.match_gallery import MatchCard, leaders

pytestmark = pytest.mark.browser

WIDTH, HEIGHT = 1400, 900
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def site(streamlit_server: Callable[..., str]) -> str:
    return streamlit_server(Path(__file__).with_name("match_gallery_app.py"))


@pytest.fixture
def visit(new_page: Callable[..., Page], site: str) -> Visit:
    """`visit("n=60&threshold=0.8", color_scheme="dark")` opens the gallery; a script error fails the test."""

    def open_page(query: str, **options: Any) -> Page:
        page = new_page(**{"viewport": {"width": WIDTH, "height": HEIGHT}, **options})
        page.goto(f"{site}/?{query}")
        page.locator(".toolbar:visible, .empty:visible").first.wait_for(timeout=60_000)
        return page

    return open_page


def known(page: Page) -> dict[str, Any]:
    """What the script knew in its last run."""
    answer: dict[str, Any] = json.loads(page.get_by_test_id("stCode").inner_text())
    return answer


def expect_known(page: Page, **values: Any) -> None:
    for name, value in values.items():
        expect(page.get_by_test_id("stCode")).to_contain_text(f"{json.dumps(name)}: {json.dumps(value)}")


def sentence(page: Page) -> Locator:
    """What the details say of the threshold."""
    return page.locator("[data-part=sentence]")


def expect_value(page: Page, text: str) -> None:
    expect(page.locator(".value")).to_have_text(text)


def at(page: Page, percent: float) -> tuple[float, float]:
    """Where on the screen a threshold lies on the scale, which shows where the scores lie."""
    plot = page.locator(".plot")
    box = plot.bounding_box()
    assert box is not None
    high, low = (int(end) / 10 for end in str(plot.get_attribute("data-span")).split(","))
    place = min(max((high - percent) / (high - low), 0), 1)
    return box["x"] + box["width"] * place, box["y"] + box["height"] - 5


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


def ids(page: Page, which: str = ".card:not(.below)") -> list[str]:
    """The pictures on the page, in their order there, without those below the threshold."""
    sources: list[str] = page.locator(f"{which} img").evaluate_all("all => all.map(i => i.getAttribute('src'))")
    return ["p" + source.rsplit("/", 1)[1] for source in sources]


def fold_of(page: Page, picture: str) -> Locator:
    """The button that folds and unfolds the copies of a picture."""
    image = page.locator(f'img[src="/api/thumb/{picture[1:]}"]')
    return page.locator(".card").filter(has=image).locator(".fold")


@pytest.fixture
def ranked(visit: Visit) -> list[tuple[str, float]]:
    """Every match of `n=60`, best first, and its percentage."""
    page = visit("n=60&threshold=0.1")
    return list(zip(ids(page), scores(page), strict=True))


def folded(ranked: list[tuple[str, float]], percent: float, unfolded: frozenset[int] = frozenset()) -> list[str]:
    """What is on the page with `copies=1`: leaders, and the copies of those unfolded behind them."""
    reaching = [place for place, (_, score) in enumerate(ranked) if score >= percent]
    order = [
        place
        for leader in reaching
        if leader % 28 < 7
        for place in [leader, *(range(leader + 7, leader + 28, 7) if leader in unfolded else [])]
        if place in reaching
    ]
    return [ranked[place][0] for place in order]


def rows(page: Page) -> list[list[int]]:
    """The places of the cards on the page, row by row."""
    tops = page.locator(".card").evaluate_all("all => all.map(c => c.offsetTop)")
    return [[place for place, top in enumerate(tops) if top == row] for row in dict.fromkeys(tops)]


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


def match(name: str, copy_of: str = "") -> MatchCard:
    return {
        "id": name,
        "src": "",
        "url": "",
        "name": "",
        "note": "",
        "badge": "",
        "similarity": 0.5,
        "copy_of": copy_of,
        "relation": "",
        "outlines": None,
        "original": "",
        "width": 300,
        "height": 200,
    }


@pytest.mark.parametrize(
    ("ranked", "places"),
    [
        ([], []),
        ([match("a"), match("b", "a"), match("c"), match("d", "a")], [None, 0, None, 0]),
        ([match("a"), match("b", "a"), match("c", "b")], [None, 0, 0]),
        ([match("a", "b"), match("b", "a")], [None, 0]),
        ([match("a", "a"), match("b", "elsewhere")], [None, None]),
    ],
    ids=["nothing", "two copies", "a copy of a copy", "a copy of a worse match", "a copy of itself or of no match"],
)
def test_a_copy_is_led_by_the_first_better_match(ranked: list[MatchCard], places: list[int | None]) -> None:
    assert leaders(ranked) == places


def test_it_shows_the_matches_that_reach_the_threshold_and_a_row_of_those_below(visit: Visit) -> None:
    page = visit("n=500&threshold=0.9")
    shown = scores(page)
    assert len(shown) > 10
    assert min(shown) >= 90
    assert all(better >= worse for better, worse in pairwise(shown))
    assert shown[0] == 100.0
    below = page.locator(".card.below")
    expect(page.get_by_role("heading", name="Below the threshold")).to_be_visible()
    left_out = [float(text.split()[0]) for text in below.locator(".score").all_text_contents()]
    assert 89 < max(left_out) < 90
    assert rows(page)[-1] == list(range(len(shown), len(shown) + len(left_out))), "one row of what was left out"
    assert below.first.locator("img").evaluate("i => getComputedStyle(i).opacity") == "0.4"
    assert page.locator(".card").count() == len(shown) + len(left_out)
    expect(page.locator(".status")).to_have_text(f"{len(shown)} pictures")
    expect(sentence(page)).to_have_text(f"{len(shown)} of 1,204 reach 90\u202f%")
    expect_value(page, "90.0 %")
    image = page.locator(".card img").first
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("i => i.naturalWidth") > 0
    expect(image).to_have_attribute("alt", re.compile(", no. "))


def test_pictures_that_are_hidden_are_not_fetched(visit: Visit) -> None:
    page = visit("n=500&threshold=0.97")
    page.wait_for_load_state("networkidle")
    fetched = page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.includes('/api/thumb/')).length"
    )
    assert 1 <= fetched <= page.locator(".card").count()


def test_a_drag_shows_at_once_and_python_learns_of_the_release_only(visit: Visit) -> None:
    page = visit("n=500&threshold=0.8", color_scheme="light")
    frames: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: frames.append(frame)))
    page.reload()
    expect(page.locator(".card").nth(20)).to_be_visible()
    assert frames, "the listener must see the traffic of the page load"
    before, runs = len(scores(page)), known(page)["runs"]
    page.evaluate(
        """() => {
            const live = document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot
                .querySelector('.match-gallery [aria-live]');
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
    assert known(page)["runs"] == runs
    page.mouse.up()
    expect_known(page, released=0.92, threshold=0.92)
    assert len(frames) == 1
    expect_value(page, "92.0 %")
    page.wait_for_function("window.announced.length > 0")
    assert page.evaluate("window.announced.length") <= 2, "a listener must not hear every step"
    assert page.evaluate("window.announced.at(-1)") == page.locator("[data-part=count]").inner_text()


def test_a_finger_moves_the_threshold(visit: Visit) -> None:
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
    expect_known(page, released=0.65)


def test_the_keys_move_the_threshold(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8")
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    steps = [
        ("ArrowLeft", "80.5 %"),
        ("ArrowDown", "81.0 %"),
        ("ArrowRight", "80.5 %"),
        ("ArrowUp", "80.0 %"),
        ("PageDown", "85.0 %"),
        ("PageUp", "80.0 %"),
        ("End", "0.0 %"),
        ("ArrowRight", "0.0 %"),
        ("Home", "100.0 %"),
        ("ArrowLeft", "100.0 %"),
        ("PageUp", "95.0 %"),
    ]
    runs = known(page)["runs"]
    for key, value in steps:
        page.keyboard.press(key)
        expect_value(page, value)
    expect(slider).to_have_attribute("aria-valuenow", str(len(scores(page))))
    expect(slider).to_have_attribute("aria-valuemin", "0")
    expect(slider).to_have_attribute("aria-valuemax", "60")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^\d+ pictures?, from 95.%$"))
    expect_known(page, released=0.95)
    assert known(page)["runs"] - runs <= 3, "a burst of keys is one release"
    expect(slider).to_be_focused()


@pytest.mark.parametrize(("key", "value", "cards"), [("End", 0.0, 60), ("Home", 1.0, 1)])
def test_the_threshold_holds_at_its_ends(visit: Visit, key: str, value: float, cards: int) -> None:
    page = visit("n=60&threshold=0.8")
    page.get_by_role("slider", name="Threshold").focus()
    page.keyboard.press(key)
    expect_known(page, released=value)
    runs = known(page)["runs"]
    page.get_by_role("button", name="Run again").click()
    expect_known(page, runs=runs + 1)
    expect_value(page, f"{value * 100:.1f} %")
    assert len(scores(page)) == cards


def test_a_rerun_with_the_same_matches_disturbs_nothing(visit: Visit) -> None:
    page = visit("n=500&threshold=0.8&selectable=1")
    card = page.locator(".card").nth(30)
    card.evaluate("card => card.mine = 'kept'")
    card.locator("input").check(force=True)
    expect_known(page, runs=2)
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
    expect_known(page, runs=3)
    page.get_by_role("button", name="Grow").evaluate("button => button.click()")
    expect(sentence(page)).to_contain_text("of 1,205 reach")
    assert page.evaluate("window.changes") == 0
    expect(page.locator(".card .picture").nth(40)).to_be_focused()
    expect(card.locator("input")).to_be_checked()
    assert main.evaluate("m => m.scrollTop") == top
    assert len(known(page)["selected"]) == 1
    page.get_by_role("slider", name="Threshold").press("ArrowRight")
    expect_known(page, threshold=0.795)
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
    page.get_by_role("slider", name="Threshold").focus()
    page.keyboard.press("ArrowLeft")
    expect_value(page, "80.5 %")
    moved = before - len(scores(page))
    assert moved > 0
    assert page.evaluate("window.touched.size") <= 2 * moved + 2, "those that leave, and those at the end of the row"


SHADOW = "document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
COUNT_MOVES = f"""() => {{
    window.moved = 0;
    const count = ({{addedNodes, removedNodes}}) => window.moved += addedNodes.length + removedNodes.length;
    new MutationObserver(all => all.forEach(count)).observe({SHADOW}.querySelector('.cards'), {{childList: true}});
}}"""
FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.mark.parametrize("more", ["", "&copies=1&notes=1&marks=1"])
def test_a_jump_over_all_matches_is_one_repaint(visit: Visit, more: str) -> None:
    """The work of it is counted, which a busy machine does not change: layouts, and cards put in or taken out."""
    page = visit(f"n=500&threshold=0.9{more}")
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def layouts() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(float(metric["value"]) for metric in metrics if metric["name"] == "LayoutCount")

    page.evaluate(COUNT_MOVES)
    page.get_by_role("slider", name="Threshold").focus()
    for key, value in [("End", "0.0\u202f%"), ("Home", "100.0\u202f%"), ("End", "0.0\u202f%")]:
        page.evaluate(FRAMES)
        shown, start = set(ids(page, ".card")), layouts()
        page.evaluate("window.moved = 0")
        page.keyboard.press(key)
        expect_value(page, value)
        page.evaluate(FRAMES)
        assert layouts() - start <= 12, key
        moved = page.evaluate("window.moved") - len(shown ^ set(ids(page, ".card")))
        assert 0 <= moved <= 3, "cards that come and go, two headings, and what ends the row above them"


def test_a_step_through_unfolded_copies_moves_none_of_the_cards_around_them(visit: Visit) -> None:
    page = visit("n=60&copies=1&threshold=0.75")
    for fold in page.locator(".fold:visible").all():
        fold.click()
    page.evaluate(COUNT_MOVES)
    page.get_by_role("slider", name="Threshold").focus()
    for key, step in [("ArrowLeft", n) for n in range(151, 176)] + [("ArrowRight", n) for n in range(174, 149, -1)]:
        shown, below = set(ids(page, ".card")), page.locator(".below").count()
        page.evaluate("window.moved = 0")
        page.keyboard.press(key)
        expect_value(page, f"{step / 2:.1f}\u202f%")
        change = len(shown ^ set(ids(page, ".card")))
        assert page.evaluate("window.moved") <= change + 2 * (below + 2), "all but the row below the line stay put"


def test_a_late_answer_undoes_no_key(visit: Visit) -> None:
    page = visit("n=60&threshold=0.5&slow=1")
    page.get_by_role("slider", name="Threshold").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(500)  # let go of, and the script runs
    steps = 1
    while known(page)["runs"] == 1 and steps < 80:
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(100)  # too soon after each other to be let go of
        steps += 1
    assert 1 < steps < 80
    expect_value(page, f"{50 + steps / 2:.1f}\u202f%")


def test_many_moves_in_one_frame_are_one_repaint(visit: Visit) -> None:
    page = visit("n=500&threshold=0.8&copies=1")
    drag(page, 80, 85)
    expect_value(page, "85.0\u202f%")
    x, y = at(page, 90)
    steps = page.evaluate(
        f"""async ([x, y]) => {{
            const [scale, value] = [{SHADOW}.querySelector('.scale'), {SHADOW}.querySelector('.value')];
            let steps = 0;
            new MutationObserver(all => steps += all.length).observe(value, {{childList: true}});
            for (let step = 0; step <= 200; step++)
                scale.dispatchEvent(new PointerEvent('pointermove', {{clientX: x - 200 + step, clientY: y}}));
            await ({FRAMES})();
            return steps;
        }}""",
        [x, y],
    )
    assert steps == 1
    expect_value(page, "90.0\u202f%")
    page.mouse.up()


def test_an_order_from_python_is_obeyed_and_the_same_value_is_released_again(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8")
    drag(page, 80, 90)
    page.mouse.up()
    expect_known(page, threshold=0.9)
    page.get_by_role("button", name="Order 50").click()
    expect_value(page, "50.0 %")
    expect_known(page, threshold=0.5)
    drag(page, 50, 90)
    page.mouse.up()
    expect_known(page, threshold=0.9)
    expect_value(page, "90.0 %")


def test_another_query_replaces_everything(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&selectable=1")
    page.locator(".pick input").first.check(force=True)
    expect(page.locator("[data-part=picked]")).to_have_text("1 selected")
    titles = page.locator(".title").all_text_contents()
    page.get_by_role("button", name="Another query").click()
    expect(page.locator(".title").first).not_to_have_text(titles[0])
    expect(page.locator("[data-part=picked]")).to_be_hidden()
    expect(page.locator(".card.selected")).to_have_count(0)
    expect_known(page, selected=[])


def test_what_is_selected_stays_so_when_the_same_pictures_are_found(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&selectable=1&same=1&copies=1")
    names = page.locator(".title").all_text_contents()
    page.locator(".fold:visible").first.click()
    page.evaluate(
        """([box, button]) => { box.click(); button.click(); }""",
        [
            page.locator(".pick input").nth(5).element_handle(),
            page.get_by_role("button", name="Run again").element_handle(),
        ],
    )
    expect(page.get_by_role("heading", name="Same picture")).to_be_visible()
    expect(page.locator(".title").first).to_have_text(names[2])
    expect(page.locator("[data-part=picked]")).to_have_text("1 selected")
    selected = page.locator(".card.selected img").get_attribute("src")
    assert selected is not None
    expect_known(page, selected=["p" + selected.rsplit("/", 1)[1]])
    expect(page.locator(".fold:visible[aria-expanded=true]")).to_have_count(1)
    page.get_by_role("button", name="Another query").click()
    expect_known(page, selected=[])


def test_a_range_is_selected_with_shift(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&selectable=1")
    boxes = page.locator(".pick input")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(page.locator("[data-part=picked]")).to_have_text("4 selected")
    expect(page.locator(".card.selected")).to_have_count(4)
    sources = page.locator(".card.selected img").evaluate_all("all => all.map(i => i.getAttribute('src'))")
    expect_known(page, selected=["p" + source.rsplit("/", 1)[1] for source in sources])
    page.get_by_role("button", name="Clear").click()
    expect_known(page, selected=[])
    expect(page.locator(".card.selected")).to_have_count(0)
    page.get_by_role("button", name="Select all shown").click()
    count = len(scores(page))
    expect(page.locator("[data-part=picked]")).to_have_text(f"{count} selected")
    expect(page.locator(".card.below input:checked")).to_have_count(0)
    drag(page, 80, 95)
    hidden = count - len(scores(page))
    expect(page.locator("[data-part=picked]")).to_have_text(f"{count} selected, {hidden} of them below the threshold")
    page.mouse.up()


def test_without_selectable_there_is_nothing_to_tick(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8")
    expect(page.locator(".pick").first).to_be_hidden()
    expect(page.get_by_role("button", name="Select all shown")).to_be_hidden()


def test_the_grid_is_walked_with_the_keys(visit: Visit) -> None:
    page = visit("n=60&threshold=0.7&selectable=1")
    pictures = page.locator(".picture")
    page.get_by_role("slider", name="Picture size").focus()
    page.keyboard.press("Tab")
    expect(pictures.first).to_be_focused()
    middles = page.locator(".card").evaluate_all("all => all.map(c => c.offsetLeft + c.offsetWidth / 2)")
    second = rows(page)[1]
    under = min(second, key=lambda place: abs(middles[place] - middles[1]))
    above = min(rows(page)[0], key=lambda place: abs(middles[place] - middles[under - 1]))
    for key, place in [
        ("ArrowLeft", 0),
        ("ArrowRight", 1),
        ("ArrowDown", under),
        ("ArrowLeft", under - 1),
        ("ArrowUp", above if under > second[0] else under - 1),
        ("End", page.locator(".card").count() - 1),
        ("Home", 0),
        ("ArrowRight", 1),
    ]:
        if key == "ArrowUp" and under == second[0]:
            continue
        page.keyboard.press(key)
        expect(pictures.nth(place)).to_be_focused()
    assert pictures.nth(1).evaluate("p => getComputedStyle(p).outlineStyle") == "solid"
    page.keyboard.press("s")
    expect(page.locator(".pick input").nth(1)).to_be_checked()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+S")
    expect(page.locator(".card.selected")).to_have_count(3)
    expect(page.get_by_test_id("stCode")).not_to_contain_text('"selected": []')
    expect(page.get_by_role("dialog")).to_have_count(0)
    tabbable = page.locator(".card [tabindex='0']:visible")
    assert tabbable.count() == 5, "one card at a time: its picture, its checkbox, more, less, its link"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()


@pytest.mark.parametrize("more", ["", "&marks=1&caution=1&selectable=1"])
def test_the_keys_do_not_walk_under_the_toolbar(visit: Visit, more: str) -> None:
    page = visit(f"n=500&threshold=0.6{more}")
    page.locator(".picture").nth(60).focus()
    for _ in range(5):
        page.keyboard.press("ArrowUp")
    focused = page.locator(".picture:focus").bounding_box()
    toolbar = page.locator(".toolbar").bounding_box()
    assert focused is not None
    assert toolbar is not None
    assert toolbar["y"] >= 0, "the toolbar stays in sight"
    assert focused["y"] >= toolbar["y"] + toolbar["height"]


def test_the_title_of_a_picture_is_a_link(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8")
    link = page.locator(".title").nth(2)
    expect(link).to_have_attribute("href", re.compile(r"^https://museum\.example/collection/"))
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(page.locator(".host").nth(2)).to_have_text("museum.example")


def test_no_match_offers_the_closest(visit: Visit) -> None:
    page = visit("n=60&best=0.8123&threshold=0.95")
    expect(page.locator(".empty")).to_contain_text("No picture reaches 95 %. The closest is 81.2 %.")
    expect(page.locator(".card:not(.below)")).to_have_count(0)
    page.get_by_role("button", name="Show the closest").click()
    expect_value(page, "81.2 %")
    expect(page.locator(".empty")).to_be_hidden()
    assert scores(page) == [81.2]
    expect(page.locator(".status")).to_have_text("1 picture")
    expect(sentence(page)).to_have_text("1 of 1,204 reaches 81.2\u202f%")
    expect_known(page, released=0.812)


def test_no_matches_at_all_are_announced_as_none(visit: Visit) -> None:
    page = visit("n=0&threshold=0.8")
    expect(page.locator(".empty p")).to_have_text("There are no matches to show.")
    expect(page.get_by_role("button", name="Show the closest")).to_be_hidden()
    expect(page.get_by_role("slider")).to_have_count(0)


def test_more_may_follow_when_all_that_was_fetched_reaches_the_threshold(visit: Visit) -> None:
    page = visit("n=60&threshold=0.1")
    expect(sentence(page)).to_have_text("At least 60 of 1,204 reach 10\u202f%")
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    expect(page.locator(".card.below")).to_have_count(0)
    page = visit("n=60&threshold=0.1&total=60")
    expect(sentence(page)).to_have_text("60 of 60 reach 10\u202f%")


def test_hostile_words_stay_words(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&hostile=1&selectable=1")
    title = page.locator(".title").first
    expect(title).to_have_text("<img src=x onerror=\"window.pwned = 'title'\"><b>bold</b>")
    assert title.get_attribute("href") is None
    assert page.locator(".caption img, .card b, .pills img").count() == 0
    expect(page.locator(".note").nth(1)).to_have_text("<b onclick=alert()>bold</b>")
    expect(page.locator(".badge").nth(1)).to_have_text("<b onclick=alert()>bold</b>")
    title.dispatch_event("click")
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
    page = visit("n=60&threshold=0.745&hostile=1&copies=1&notes=1&marks=1&caution=1", color_scheme=scheme)
    page.locator(".fold").first.click()
    pairs = [
        (".value", "page"),
        (".status", "page"),
        (".axis", "page"),
        (".plain", "page"),
        (".score", ".score"),
        (".relation", ".relation"),
        (".title", ".score"),
        (".broken", ".picture"),
        (".strong", ".strong"),
        (".badge", ".badge"),
        (".stack .fold", ".stack .fold"),
        (".open .fold", ".open .fold"),
        (".asks button", ".asks button"),
        (".marks [aria-pressed=false]", ".details"),
        (".marks [aria-pressed=true]", ".marks [aria-pressed=true]"),
        (".advice", ".advice"),
    ]
    ratios = {name: page.evaluate(CONTRAST, [name, ground]) for name, ground in pairs}
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}
    paper = page.locator(".toolbar").evaluate("t => getComputedStyle(t).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", paper)[:3])) / 3
    assert brightness > 200 if scheme == "light" else brightness < 60


@pytest.mark.parametrize("more", ["", "&copies=1&notes=1&marks=1&caution=1"])
def test_a_phone_shows_pictures_beside_each_other_and_nothing_sticks_out(visit: Visit, more: str) -> None:
    page = visit(f"n=60&threshold=0.75&selectable=1{more}", viewport={"width": 390, "height": 844}, has_touch=True)
    page.get_by_role("button", name="Select all shown").click()
    assert len(rows(page)[0]) >= 2
    assert len(scores(page)) > 4
    wide = page.locator(".match-gallery *:visible").evaluate_all(
        "all => all.filter(e => e.getBoundingClientRect().right > 390 && !e.closest('.hush')).map(e => e.className)"
    )
    assert wide == []
    assert page.get_by_test_id("stMain").evaluate("m => m.scrollWidth <= m.clientWidth")


@pytest.mark.parametrize("part", [".pick", ".asks"])
def test_the_buttons_of_a_card_wait_for_a_mouse_or_the_focus(visit: Visit, part: str) -> None:
    opacity = "p => getComputedStyle(p).opacity"
    desk = visit("n=60&threshold=0.8&selectable=1")
    assert desk.locator(part).nth(1).evaluate(opacity) == "0"
    desk.mouse.move(*middle_of(desk, desk.locator(".picture").nth(1)))
    assert desk.locator(part).nth(1).evaluate(opacity) == "1"
    desk.locator(".picture").nth(2).focus()
    assert desk.locator(part).nth(2).evaluate(opacity) == "1"


def test_a_finger_finds_one_control_on_a_picture_and_holds_it_to_see_its_name(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&selectable=1&judging=1", has_touch=True, is_mobile=True)
    card = page.locator(".card").nth(1)
    visible = card.locator("button:visible:not(.picture), input:visible")
    expect(visible).to_have_count(1)
    assert card.locator(".pick").evaluate("p => getComputedStyle(p).opacity") == "1"
    caption = card.locator(".caption")
    assert caption.evaluate("c => getComputedStyle(c).opacity") == "0"
    session = page.context.new_cdp_session(page)
    point = dict(zip("xy", middle_of(page, card), strict=True))
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    expect(card).to_have_class(re.compile("named"))
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert caption.evaluate("c => getComputedStyle(c).opacity") == "1"
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.touchscreen.tap(*middle_of(page, card))
    expect(page.get_by_role("dialog")).to_be_visible()


def test_the_pictures_fill_rows_and_keep_their_shapes(visit: Visit) -> None:
    page = visit("n=60&threshold=0.55")
    boxes = page.locator(".card").evaluate_all(
        "all => all.map(c => c.getBoundingClientRect()).map(({x, y, width, height}) => [x, y, width, height])"
    )
    shapes = page.locator(".card img").evaluate_all(
        "all => all.map(i => getComputedStyle(i.closest('.card')).flexGrow)"
    )
    width = page.locator(".cards").bounding_box()
    assert width is not None
    for row in rows(page)[:-2]:  # the last of the matches and that below them end where they end
        assert sum(boxes[place][2] for place in row) + 6 * (len(row) - 1) == pytest.approx(width["width"], abs=2)
        assert len({round(boxes[place][3]) for place in row}) <= 2
    for (_, _, wide, high), shape in zip(boxes, shapes, strict=True):
        assert wide / high == pytest.approx(float(shape), rel=0.02)
    first = page.locator(".card img").first
    natural = first.evaluate("i => i.naturalWidth / i.naturalHeight")
    assert natural == pytest.approx(float(shapes[0]), rel=0.02)


def test_the_size_of_the_pictures_is_remembered(visit: Visit) -> None:
    page = visit("n=60&threshold=0.7")
    size = page.get_by_role("slider", name="Picture size")
    before = len(rows(page)[0])
    size.focus()
    page.keyboard.press("End")
    assert len(rows(page)[0]) < before
    expect(size).to_have_attribute("aria-valuetext", "360 pixels high")
    large = len(rows(page)[0])
    page.reload()
    page.locator(".card").first.wait_for()
    expect(size).to_have_value("4")
    assert len(rows(page)[0]) == large
    size.focus()
    page.keyboard.press("Home")
    assert len(rows(page)[0]) > before
    page.evaluate("localStorage.clear()")


def test_copies_are_folded_under_the_best_of_them(visit: Visit, ranked: list[tuple[str, float]]) -> None:
    page = visit("n=60&copies=1&threshold=0.75")
    assert ids(page) == folded(ranked, 75)
    reaching = sum(score >= 75 for _, score in ranked)
    assert reaching == 23
    expect(page.locator(".status")).to_have_text("23 pictures")
    assert [" ".join(text.split()) for text in page.locator(".fold:visible").all_inner_texts()] == [
        *["+ 3 copies"] * 2,
        *["+ 2 copies"] * 5,
    ]
    expect(page.locator(".below .fold:visible")).to_have_count(0)
    second = fold_of(page, ranked[1][0])
    expect(second).to_have_attribute("aria-expanded", "false")
    second.click()
    expect(second).to_have_attribute("aria-expanded", "true")
    expect(second).to_have_text("\u2212 3 copies")
    assert ids(page) == folded(ranked, 75, frozenset({1}))
    expect(page.locator(".card").nth(2).locator(".picture")).to_have_attribute("aria-label", re.compile(", a copy$"))
    expect(page.locator(".status")).to_have_text("23 pictures")
    second.click()
    expect(second).to_have_attribute("aria-expanded", "false")
    assert ids(page) == folded(ranked, 75)


def test_the_threshold_moves_through_folded_and_unfolded_copies(visit: Visit, ranked: list[tuple[str, float]]) -> None:
    page = visit("n=60&copies=1&threshold=0.75")
    fold_of(page, ranked[1][0]).click()
    fold_of(page, ranked[4][0]).click()
    page.mouse.move(*at(page, 75))
    page.mouse.down()
    for percent in (74, 76, 80, 83, 82, 99, 55, 62.5, 100, 70):
        page.mouse.move(*at(page, percent))
        expect_value(page, f"{percent:.1f}\u202f%")
        assert ids(page) == folded(ranked, percent, frozenset({1, 4})), percent
        reaching = sum(score >= percent for _, score in ranked)
        expect(sentence(page)).to_contain_text(f"{reaching} of 1,204 reach")
        copies = sum(score >= percent for _, score in ranked[7:28:7])
        words = f"+ {copies} {'copy' if copies == 1 else 'copies'}"
        shown = fold_of(page, ranked[0][0]).filter(visible=True).all_inner_texts()
        assert [" ".join(text.split()) for text in shown] == [words] * (copies > 0)
    page.mouse.up()


def test_copies_unfold_by_keyboard_and_the_focus_stays(visit: Visit, ranked: list[tuple[str, float]]) -> None:
    page = visit("n=60&copies=1&threshold=0.75")
    page.locator(".picture").first.focus()
    page.keyboard.press("ArrowRight")
    fold = fold_of(page, ranked[1][0])
    for part in [".title", "[data-ask=more]", "[data-ask=less]", ".fold"]:
        page.keyboard.press("Tab")
        expect(page.locator(".card").nth(1).locator(part)).to_be_focused()
    page.keyboard.press("Enter")
    assert ids(page) == folded(ranked, 75, frozenset({1}))
    expect(fold).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".picture").nth(2)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("End")
    expect(page.locator(".below .picture").last).to_be_focused()
    fold.focus()
    page.keyboard.press("Space")
    assert ids(page) == folded(ranked, 75)
    expect(fold).to_be_focused()


def test_the_focus_is_not_lost_with_its_card(visit: Visit) -> None:
    page = visit("n=60&best=0.6&copies=1&threshold=0.3")
    page.locator(".fold").first.click()
    page.locator(".picture").nth(2).focus()
    order = page.get_by_role("button", name="Order 50")
    order.evaluate("button => button.click()")
    expect_value(page, "50.0\u202f%")
    expect(page.locator(".picture").first).to_be_focused()
    page = visit("n=60&best=0.6&copies=1&threshold=0.3")
    page.locator(".fold").nth(3).focus()
    page.get_by_role("button", name="Order 50").evaluate("button => button.click()")
    expect_value(page, "50.0\u202f%")
    expect(page.locator(".picture").nth(3)).to_be_focused()
    page.get_by_role("button", name="Another query").evaluate("button => button.click()")
    expect_known(page, runs=3)
    expect(page.locator(".picture").first).to_be_focused()


def test_folded_copies_are_selected_openly_or_not_at_all(visit: Visit, ranked: list[tuple[str, float]]) -> None:
    page = visit("n=60&copies=1&threshold=0.75&selectable=1")
    names = [name for name, _ in ranked]
    picked = page.locator("[data-part=picked]")
    page.locator(".pick input").nth(0).check(force=True)
    page.locator(".pick input").nth(2).click(modifiers=["Shift"], force=True)
    expect(picked).to_have_text("3 selected")
    expect_known(page, selected=names[:3])
    page.get_by_role("button", name="Select all shown").click()
    expect(picked).to_have_text("23 selected, 16 of them folded")
    expect(fold_of(page, names[0])).to_have_text("+ 3 copies, 3 selected")
    expect_known(page, selected=names[:23])
    fold_of(page, names[0]).click()
    expect(picked).to_have_text("23 selected, 13 of them folded")
    expect(fold_of(page, names[0])).to_have_text("\u2212 3 copies")
    page.locator(".pick input").nth(1).uncheck(force=True)
    fold_of(page, names[0]).click()
    expect(fold_of(page, names[0])).to_have_text("+ 3 copies, 2 selected")
    expect_known(page, selected=[name for name in names[:23] if name != names[7]])
    drag(page, 75, 80)
    expect(picked).to_have_text("22 selected, 7 of them below the threshold, 8 of them folded")
    page.mouse.up()
    page.get_by_role("button", name="Clear").click()
    expect(fold_of(page, names[0])).to_have_text("+ 2 copies")
    expect_known(page, selected=[])


def test_notes_and_badges_are_shown_and_read_out(visit: Visit) -> None:
    page = visit("n=60&notes=1&threshold=0.8")
    card = page.locator(".card").first
    expect(card.locator(".note")).to_have_text("Closer than 99.9\u202f% of the collection")
    expect(card.locator(".badge")).to_have_text("In your query")
    label = re.compile(r", 100.0.%, Closer than 99.9.% of the collection, In your query$")
    expect(card.locator(".picture")).to_have_attribute("aria-label", label)
    expect(page.locator(".badge").nth(1)).to_be_hidden()
    page = visit("n=60&threshold=0.8")
    expect(page.locator(".note").first).to_be_hidden()
    expect(page.locator(".badge").first).to_be_hidden()


def test_a_suggested_cut_is_a_tick_and_a_button(visit: Visit) -> None:
    page = visit("n=60&marks=1&threshold=0.8")
    page.get_by_role("button", name="Details").click()
    group = page.get_by_role("group", name="Suggested thresholds")
    buttons = group.get_by_role("button")
    expect(buttons).to_contain_text(["Strict 87\u202f%", "Balanced 74.5\u202f%", "Wide 64\u202f%"])
    for button, tick, percent in zip(buttons.all(), page.locator(".ticks span").all(), (87, 74.5, 64), strict=True):
        assert middle_of(page, tick)[0] == pytest.approx(at(page, percent)[0], abs=1)
        expect(button).to_have_attribute("aria-pressed", "false")
    expect(buttons.nth(1)).to_contain_text("The widest gap between the scores.")
    expect(page.get_by_role("status")).to_have_text("Suggested: 74.5\u202f%, in the widest gap between the scores.")
    buttons.nth(1).click()
    expect_value(page, "74.5\u202f%")
    expect(buttons.nth(1)).to_have_attribute("aria-pressed", "true")
    assert min(scores(page)) >= 74.5
    expect_known(page, released=0.745, threshold=0.745)
    expect(buttons.nth(1)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect_known(page, released=0.64, threshold=0.64)
    expect(buttons.nth(1)).to_have_attribute("aria-pressed", "false")
    expect(buttons.nth(2)).to_have_attribute("aria-pressed", "true")
    drag(page, 64, 87)
    expect(buttons.nth(0)).to_have_attribute("aria-pressed", "true")
    page.mouse.move(*at(page, 90))
    expect(buttons.nth(0)).to_have_attribute("aria-pressed", "false")
    page.mouse.up()


def test_without_suggestions_nothing_takes_their_place(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8")
    page.get_by_role("button", name="Details").click()
    expect(sentence(page)).to_be_visible()
    expect(page.get_by_role("status")).to_be_hidden()
    expect(page.locator(".ticks span")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(sentence(page)).to_be_hidden()
    expect(page.get_by_role("button", name="Details")).to_be_focused()


def test_a_warning_stands_out_by_more_than_colour(visit: Visit) -> None:
    page = visit("n=60&best=0.6&threshold=0.55&marks=1")
    expect(page.locator(".advice svg")).to_be_hidden()
    page = visit("n=60&best=0.6&threshold=0.55&marks=1&caution=1")
    advice = page.get_by_role("status")
    expect(advice).to_contain_text("Probably nothing like it here")
    expect(advice.locator("svg")).to_be_visible()
    assert advice.evaluate("a => getComputedStyle(a).borderStyle") == "solid"


def test_a_card_asks_for_more_or_less_like_it(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8")
    names = ids(page)
    page.locator(".card").nth(1).hover()
    more = page.get_by_role("button", name=re.compile("^More like this: ")).nth(1)
    expect(more).to_have_attribute("title", "More like this")
    more.click()
    expect_known(page, more_like=names[1], opened=None)
    page.get_by_role("button", name="Run again").click()
    expect_known(page, more_like=None)
    page.locator(".picture").nth(2).focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    less = page.get_by_role("button", name=re.compile("^Less like this: ")).nth(2)
    expect(less).to_be_focused()
    page.keyboard.press("Enter")
    expect_known(page, less_like=names[2], opened=None)
    expect(less).to_be_focused()


def test_a_checkbox_is_ticked_with_the_space_key(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&selectable=1")
    page.locator(".picture").nth(1).focus()
    page.keyboard.press("Tab")
    box = page.locator(".pick input").nth(1)
    expect(box).to_be_focused()
    page.keyboard.press("Space")
    expect(box).to_be_checked()
    page.keyboard.press("Space")
    expect(box).not_to_be_checked()


def test_the_query_is_tiles_on_a_strip_that_stays(visit: Visit) -> None:
    page = visit("n=500&threshold=0.6&tiles=1")
    strip = page.locator(".toolbar")
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(3)
    assert [text.strip() for text in tiles.locator(".sign").all_text_contents()] == ["+", "\u2212", "+"]
    for tile in tiles.all():
        box = tile.bounding_box()
        assert box is not None
        assert (box["width"], box["height"]) == (48, 48)
    assert tiles.nth(0).locator("img").evaluate("i => i.naturalWidth") > 0
    expect(page.get_by_role("button", name="Edit other.jpg, excluded")).to_be_visible()
    expect(tiles.nth(2).locator(".part")).to_have_attribute("title", "It is gone.")
    expect(tiles.nth(2).locator(".part")).to_be_disabled()
    page.get_by_test_id("stMain").evaluate("m => m.scrollTop = 900")
    box = strip.bounding_box()
    assert box is not None
    assert box["height"] <= 64
    expect(strip).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Edit mine.jpg").click()
    tiles.nth(1).hover()
    page.get_by_role("button", name="Remove other.jpg from the query").click()
    page.get_by_role("button", name="Add to the query").click()
    expect_known(page, tile_events=[[1, "edit"], [2, "remove"], [0, "add"]])
    page.keyboard.press("Escape")
    expect_known(page, tile_events=[[1, "edit"], [2, "remove"], [0, "add"], [0, "added"]])
    expect(page.get_by_role("button", name="Add to the query")).to_be_focused()


def test_bands_say_how_alike_matches_are_and_the_line_below_them_is_dragged(visit: Visit) -> None:
    page = visit("n=60&threshold=0.7&alike=0.8&same=1&right=1")
    page.get_by_role("button", name="Run again").click()
    headings = page.get_by_role("heading")
    expect(headings).to_have_text(["Same picture", "Very alike", "Perhaps", "Below the threshold"])
    after = page.locator(".band, .card").evaluate_all("all => all.map(e => e.querySelector('h2, .score').textContent)")
    perhaps = [
        float(text.split()[0]) for text in after[after.index("Perhaps") + 1 : after.index("Below the threshold")]
    ]
    assert perhaps
    assert all(70 <= score < 80 for score in perhaps)
    alike = [float(text.split()[0]) for text in after[after.index("Very alike") + 1 : after.index("Perhaps")]]
    assert min(alike) >= 80
    shown = scores(page)
    expect(page.locator("[data-part=right]")).to_have_text(f"about {round(sum(shown) / 100)} of them right")
    line = page.locator(".edge")
    line.scroll_into_view_if_needed()
    let_in = [float(text.split()[0]) for text in page.locator(".below .score").all_text_contents()]
    x, y = middle_of(page, line)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 140, steps=3)
    expect_value(page, f"{min(let_in):.1f}\u202f%")
    page.mouse.up()
    expect_known(page, released=min(let_in) / 100)
    assert scores(page) == [*shown, *let_in]
    x, y = middle_of(page, line)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 140, steps=3)
    page.mouse.up()
    expect(page.locator(".status")).to_have_text(f"{len(shown)} pictures")


def test_more_is_offered_where_more_would_reach(visit: Visit) -> None:
    page = visit("n=60&threshold=0.4&more=1")
    more = page.get_by_role("button", name="Show more")
    expect(sentence(page)).to_have_text("At least 60 of 1,204 reach 40\u202f%")
    more.click()
    expect(page.locator(".card")).to_have_count(80)
    page.get_by_role("slider", name="Threshold").press("Home")
    expect(more).to_be_hidden()


def test_a_question_mark_tells_the_keys_and_the_focus_returns(visit: Visit) -> None:
    page = visit("n=60&threshold=0.8&judging=1")
    page.locator(".picture").nth(2).focus()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("Mark the match as right or wrong")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    expect(page.locator(".picture").nth(2)).to_be_focused()
