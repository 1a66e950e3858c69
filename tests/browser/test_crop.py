"""A crop drawn in a real browser: with the mouse, a finger and keys, and what Python learns of it."""

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
Point = tuple[float, float]


@pytest.fixture(scope="module")
def site(streamlit_server: Callable[..., str]) -> str:
    return streamlit_server(Path(__file__).with_name("crop_app.py"))


@pytest.fixture
def visit(new_page: Callable[..., Page], site: str) -> Visit:
    """`visit("box=0,0,0.5,1", has_touch=True)` opens the page; a script error fails the test."""

    def open_page(query: str = "", **options: Any) -> Page:
        page = new_page(**{"viewport": {"width": 1000, "height": 900}, **options})
        page.goto(f"{site}/?{query}")
        if "popover" in query:
            page.get_by_role("button", name="Adjust").click()
        expect(page.locator(".stage img")).to_have_js_property("complete", True)
        expect(page.locator(".stage")).to_have_attribute("style", re.compile("--ratio"))
        return page

    return open_page


def known(page: Page) -> dict[str, Any]:
    """What Python knew at the end of its last run."""
    answer: dict[str, Any] = json.loads(page.get_by_test_id("stCode").inner_text())
    return answer


def expect_known(page: Page, box: list[float] | None) -> None:
    """Python knows of this box, to a hundredth of a side, and so does the page."""
    if box is None:
        expect(page.get_by_test_id("stCode")).to_contain_text('"box": null')
        expect(page.locator(".box")).to_have_class("box all")
        return
    pattern = ", ".join(rf"(?:{'|'.join(near(side))})\d*" for side in box)
    expect(page.get_by_test_id("stCode")).to_contain_text(re.compile(rf'"box": \[{pattern}\]'))
    assert shown(page) == pytest.approx(known(page)["box"], abs=0.006)


def near(side: float) -> list[str]:
    """How numbers within a hundredth of a fraction may begin."""
    return [re.escape(f"{side + step / 100:.2f}".rstrip("0")) for step in (-1, 0, 1)]


def shown(page: Page) -> list[float]:
    """The box as it is drawn."""
    stage, box = page.locator(".stage").bounding_box(), page.locator(".box").bounding_box()
    assert stage is not None
    assert box is not None
    left, top = (box["x"] - stage["x"]) / stage["width"], (box["y"] - stage["y"]) / stage["height"]
    return [left, top, left + box["width"] / stage["width"], top + box["height"] / stage["height"]]


def at(page: Page, point: Point) -> Point:
    """Where on the screen a point of the picture lies."""
    stage = page.locator(".stage").bounding_box()
    assert stage is not None
    return stage["x"] + stage["width"] * point[0], stage["y"] + stage["height"] * point[1]


def drag(page: Page, *points: Point) -> None:
    """Press the mouse at the first point and let go of it at the last."""
    page.mouse.move(*at(page, points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, point), steps=8)
    page.mouse.up()


def run_again(page: Page) -> None:
    runs = known(page)["runs"]
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_test_id("stCode")).to_contain_text(f'"runs": {runs + 1}')


def test_at_first_the_whole_picture_counts(visit: Visit) -> None:
    page = visit("alt=A+ship+<b>")
    expect_known(page, None)
    expect(page.get_by_role("img", name="A ship <b>")).to_be_visible()
    expect(page.locator("[data-part=hint]")).to_have_text("Drag to select a part of the picture")
    expect(page.locator(".foot button")).to_be_hidden()
    expect(page.locator(".box i").first).to_be_hidden()


def test_the_picture_keeps_its_shape(visit: Visit) -> None:
    for query in ("", "photo=120"):
        page = visit(query)
        picture = page.locator(".stage img")
        ratio = picture.evaluate("i => i.naturalWidth / i.naturalHeight")
        size = picture.bounding_box()
        assert size is not None
        assert size["width"] / size["height"] == pytest.approx(ratio, rel=0.02)


@pytest.mark.parametrize("points", [((0.2, 0.3), (0.7, 0.8)), ((0.7, 0.3), (0.2, 0.8)), ((0.7, 0.8), (0.2, 0.3))])
def test_a_rectangle_is_drawn_from_any_corner(visit: Visit, points: tuple[Point, Point]) -> None:
    page = visit()
    drag(page, *points)
    expect_known(page, [0.2, 0.3, 0.7, 0.8])
    expect(page.locator("[data-part=hint]")).to_have_text("Only this part is used")
    assert known(page)["runs"] <= 2, "Python learns of the release only"
    run_again(page)
    expect_known(page, [0.2, 0.3, 0.7, 0.8])


def test_a_drag_beyond_the_picture_ends_at_its_edge(visit: Visit) -> None:
    page = visit()
    drag(page, (0.5, 0.5), (1.3, -0.05))
    expect_known(page, [0.5, 0.0, 1.0, 0.5])
    assert known(page)["box"][1:3] == [0, 1]


def test_the_box_is_moved_and_stops_at_the_edge(visit: Visit) -> None:
    page = visit("box=0.2,0.2,0.6,0.6")
    drag(page, (0.4, 0.4), (0.5, 0.3))
    expect_known(page, [0.3, 0.1, 0.7, 0.5])
    drag(page, (0.5, 0.3), (1.2, 0.2), (0.95, 0.95))
    expect_known(page, [0.6, 0.6, 1.0, 1.0])


@pytest.mark.parametrize(
    ("corner", "to", "box"),
    [
        ((0.2, 0.2), (0.1, 0.3), [0.1, 0.3, 0.6, 0.6]),
        ((0.6, 0.2), (0.8, 0.1), [0.2, 0.1, 0.8, 0.6]),
        ((0.2, 0.6), (0.4, 0.9), [0.4, 0.2, 0.6, 0.9]),
        ((0.6, 0.6), (1.1, 0.5), [0.2, 0.2, 1.0, 0.5]),
        ((0.6, 0.6), (0.1, 0.1), [0.1, 0.1, 0.2, 0.2]),
    ],
)
def test_a_corner_is_dragged(visit: Visit, corner: Point, to: Point, box: list[float]) -> None:
    page = visit("box=0.2,0.2,0.6,0.6")
    drag(page, corner, to)
    expect_known(page, box)


def test_a_corner_is_taken_hold_of_beside_its_middle_and_does_not_jump(visit: Visit) -> None:
    page = visit("box=0.2,0.2,0.6,0.6")
    x, y = at(page, (0.6, 0.6))
    page.mouse.move(x + 8, y + 8)
    expect(page.locator(".stage")).to_have_css("cursor", "nwse-resize")
    page.mouse.down()
    page.mouse.move(x + 9, y + 8)
    assert shown(page) == pytest.approx([0.2, 0.2, 0.6, 0.6], abs=0.008)
    page.mouse.up()


def test_a_small_box_can_still_be_moved(visit: Visit) -> None:
    page = visit("box=0.4,0.4,0.46,0.46")
    drag(page, (0.43, 0.43), (0.73, 0.23))
    expect_known(page, [0.7, 0.2, 0.76, 0.26])


def test_a_corner_never_makes_less_than_what_a_click_is(visit: Visit) -> None:
    page = visit("box=0.2,0.2,0.6,0.6")
    drag(page, (0.6, 0.6), (0.4, 0.4), (0.205, 0.205))
    expect(page.get_by_test_id("stCode")).not_to_contain_text("0.6")
    left, top, right, bottom = known(page)["box"]
    assert right - left >= 0.02
    assert bottom - top >= 0.02


def test_a_click_draws_nothing_and_takes_the_whole_picture(visit: Visit) -> None:
    page = visit()
    drag(page, (0.3, 0.3), (0.31, 0.6))
    expect(page.locator(".box")).to_have_class("box all")
    run_again(page)
    assert known(page) == {"box": None, "runs": 2}, "a click is not reported"
    drag(page, (0.2, 0.2), (0.6, 0.6))
    expect_known(page, [0.2, 0.2, 0.6, 0.6])
    page.mouse.click(*at(page, (0.4, 0.4)))
    run_again(page)
    expect_known(page, [0.2, 0.2, 0.6, 0.6])
    page.mouse.click(*at(page, (0.8, 0.8)))
    expect_known(page, None)


def test_another_mouse_button_draws_nothing(visit: Visit) -> None:
    page = visit()
    page.mouse.move(*at(page, (0.2, 0.2)))
    page.mouse.down(button="right")
    page.mouse.move(*at(page, (0.6, 0.6)))
    page.mouse.up(button="right")
    expect(page.locator(".box")).to_have_class("box all")


def test_the_button_takes_the_whole_picture_and_the_focus_stays(visit: Visit) -> None:
    page = visit("box=0.2,0.2,0.6,0.6")
    page.get_by_role("button", name="Whole picture").press("Enter")
    expect_known(page, None)
    expect(page.locator(".box")).to_be_focused()


def test_the_keys_size_and_move_the_box(visit: Visit) -> None:
    page = visit()
    box = page.get_by_role("application", name="Crop: the whole picture")
    box.focus()
    for key in ["ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown"]:
        page.keyboard.press(key)
    expect(page.locator(".box")).to_have_class("box all")
    for _ in range(10):
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
    expect_known(page, [0.0, 0.0, 0.8, 0.8])
    assert known(page)["runs"] <= 3, "a burst of keys is one message"
    for key in ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowUp", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown"]:
        page.keyboard.press(key)
    expect_known(page, [0.04, 0.0, 0.86, 0.82])
    expect(page.locator(".box")).to_be_focused()
    expect(page.locator(".box")).to_have_attribute(
        "aria-label",
        "Crop: 82\u202f% wide, 82\u202f% high, 4\u202f% from the left, 0\u202f% from the top",
    )
    expect(page.locator("[data-part=live]")).to_have_text(re.compile("^82.% wide"))
    page.keyboard.press("Escape")
    expect_known(page, None)


def test_the_keys_never_make_less_than_what_a_click_is(visit: Visit) -> None:
    page = visit("box=0.5,0.5,0.55,0.55")
    page.locator(".box").focus()
    for _ in range(4):
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
    expect_known(page, [0.5, 0.5, 0.52, 0.52])


def test_keys_pressed_while_python_is_busy_are_kept(visit: Visit) -> None:
    page = visit("seconds=0.5")
    page.locator(".box").focus()
    for pause in [500, 100, 350, 250, 100, 400, 300, 200, 100]:
        page.keyboard.press("Shift+ArrowLeft")
        page.wait_for_timeout(pause)
    expect_known(page, [0.0, 0.0, 0.82, 1.0])
    run_again(page)
    expect_known(page, [0.0, 0.0, 0.82, 1.0])


def test_escape_leaves_a_drag_as_it_was(visit: Visit) -> None:
    page = visit("box=0.2,0.2,0.6,0.6")
    page.mouse.move(*at(page, (0.4, 0.4)))
    page.mouse.down()
    page.mouse.move(*at(page, (0.6, 0.6)))
    assert shown(page) == pytest.approx([0.4, 0.4, 0.8, 0.8], abs=0.01)
    page.keyboard.press("Escape")
    page.mouse.move(*at(page, (0.7, 0.7)))
    page.mouse.up()
    run_again(page)
    expect_known(page, [0.2, 0.2, 0.6, 0.6])


def test_an_order_from_python_is_obeyed(visit: Visit) -> None:
    page = visit()
    drag(page, (0.2, 0.2), (0.6, 0.6))
    expect_known(page, [0.2, 0.2, 0.6, 0.6])
    page.get_by_role("button", name="All of it").click()
    expect_known(page, None)
    page.get_by_role("button", name="Left half").click()
    expect_known(page, [0.0, 0.0, 0.5, 1.0])
    drag(page, (0.6, 0.2), (0.9, 0.6))
    expect_known(page, [0.6, 0.2, 0.9, 0.6])
    page.get_by_role("button", name="Left half").click()
    expect_known(page, [0.0, 0.0, 0.5, 1.0])


def test_a_finger_draws_and_the_page_stays(visit: Visit) -> None:
    page = visit(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 500})
    page.locator(".stage").scroll_into_view_if_needed()
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: Point) -> None:
        places = [dict(zip(("x", "y"), at(page, point), strict=True)) for point in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    main = page.get_by_test_id("stMain")
    top = main.evaluate("m => m.scrollTop")
    touch("touchStart", (0.3, 0.8))
    for y in (0.7, 0.6, 0.5, 0.4):
        touch("touchMove", (0.6, y))
    touch("touchEnd")
    expect_known(page, [0.3, 0.4, 0.6, 0.8])
    assert main.evaluate("m => m.scrollTop") == top
    touch("touchStart", (0.6, 0.4))
    touch("touchMove", (0.7, 0.5))
    touch("touchMove", (0.8, 0.6))
    touch("touchEnd")
    expect_known(page, [0.3, 0.6, 0.8, 0.8])


def test_it_works_in_a_popover_which_escape_closes_only_once_all_of_it_counts(visit: Visit) -> None:
    page = visit("popover=1")
    drag(page, (0.2, 0.2), (0.6, 0.6))
    expect_known(page, [0.2, 0.2, 0.6, 0.6])
    expect(page.locator(".stage")).to_be_visible()
    page.keyboard.press("Escape")
    expect_known(page, None)
    expect(page.locator(".stage")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".stage")).to_be_hidden()
