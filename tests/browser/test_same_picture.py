"""Searches on the page that find the same picture, whatever became of it, and show how it lies in the other."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator

import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Locator, Page, expect

from bench.support.app import App
from bench.support.data import some_photos
from bench.support.webserver import WebServer

pytestmark = pytest.mark.browser

PHOTOS = some_photos(20)


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    paths = {f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}
    with WebServer(paths) as site, App() as running:
        running.post("/api/upsert?wait=120", json={"images": [site.url(path) for path in paths]})
        yield running


def photo(number: int) -> Image.Image:
    return Image.open(PHOTOS[number]).convert("RGB")


def part(image: Image.Image) -> Image.Image:
    return image.crop((0, 0, image.width // 2, image.height))


def collage(numbers: tuple[int, ...]) -> Image.Image:
    drawn = Image.new("RGB", (820, 560), "white")
    for place, number in enumerate(numbers):
        drawn.paste(ImageOps.contain(photo(number), (400, 270)), (410 * (place % 2), 280 * (place // 2)))
    return drawn


def search(page: Page, app: App, query: Image.Image) -> Locator:
    """Search with a picture. Returns the cards that are the same picture, once their proofs are there."""
    page.goto(app.url)
    content = io.BytesIO()
    query.save(content, "PNG")
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    page.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(
        {"name": "query.png", "mimeType": "image/png", "buffer": content.getvalue()}
    )
    expect(page.get_by_role("heading", name="Same picture")).to_be_visible()
    return page.get_by_role("listitem").filter(has=page.locator(".relation:visible"))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (ImageOps.mirror, "Mirrored"),
        (lambda image: image.transpose(Image.Transpose.ROTATE_270), "Turned 90°"),
        (lambda image: part(ImageOps.mirror(image)), "Mirrored, a part: 50\u202f% of it"),
    ],
)
def test_an_edited_picture_finds_itself_first(
    app: App, page: Page, edit: Callable[[Image.Image], Image.Image], words: str
) -> None:
    same = search(page, app, edit(photo(7)))
    expect(same).to_have_count(1)
    expect(same.get_by_role("link")).to_have_text("7.jpg")
    expect(same.get_by_text(words, exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name=re.compile("Look-alikes|Below the threshold")).first).to_be_visible()


def test_a_collage_finds_its_pictures_and_the_table_shows_where_they_lie(app: App, page: Page) -> None:
    same = search(page, app, collage((2, 5, 11, 13)))
    expect(same).to_have_count(4)
    assert {link.inner_text() for link in same.get_by_role("link").all()} == {"2.jpg", "5.jpg", "11.jpg", "13.jpg"}
    same.filter(has_text="5.jpg").filter(has_not_text="15.jpg").first.locator(".picture").click()
    table = page.get_by_role("dialog", name="5.jpg")
    expect(table.get_by_text("Same picture: Your picture contains it", exact=True)).to_be_visible()
    outline = table.get_by_role("figure").filter(has_text="Your query").locator("polygon")
    corners = [float(value) for value in re.findall(r"-?[\d.]+", outline.get_attribute("points") or "")]
    left, top = min(corners[::2]), min(corners[1::2])
    assert left == pytest.approx(0.5, abs=0.02)  # the upper right of the four
    assert top == pytest.approx(0.0, abs=0.02)
    page.keyboard.press("2")  # one over the other: the match lies where the query has it
    stage = table.locator(".stage")
    expect(stage).to_have_attribute("data-mode", "wipe")
    query, match = (stage.locator(f".{name} .sheet").bounding_box() for name in ("query", "match"))
    assert query is not None
    assert match is not None
    assert match["x"] == pytest.approx(query["x"] + 0.5 * query["width"], abs=0.02 * query["width"])
    assert match["y"] == pytest.approx(query["y"], abs=0.02 * query["height"])
    assert match["width"] == pytest.approx((max(corners[::2]) - left) * query["width"], abs=0.02 * query["width"])


def test_the_table_shows_why_two_are_alike(app: App, page: Page) -> None:
    search(page, app, collage((2, 5, 11, 13)))
    page.get_by_role("button", name=re.compile("^5.jpg")).first.click()
    table = page.get_by_role("dialog")
    expect(table).to_have_accessible_name("5.jpg")
    query, match = (table.locator(f".{name} canvas") for name in ("query", "match"))
    expect(match).to_be_hidden()
    page.keyboard.press("w")
    expect(table.get_by_text("Bright: what makes the two alike to the model")).to_be_visible()
    expect(match).to_be_visible()
    expect(query).to_be_visible()
    shades = """canvas => { const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [canvas.width, [...data].filter((_, place) => place % 4 === 3)]; }"""
    side, shade = query.evaluate(shades)
    assert (min(shade), max(shade) > 150) == (0, True)
    brightest = shade.index(0)
    assert (brightest % side >= side // 2, brightest // side < side // 2) == (True, True)  # where the collage has it
    page.keyboard.press("ArrowRight")
    expect(table).to_have_accessible_name("11.jpg")
    expect(table.get_by_text("Bright: what makes the two alike to the model")).to_be_visible()
    expect(match).to_be_visible()
    page.keyboard.press("w")
    expect(match).to_be_hidden()


def test_the_same_picture_shows_whatever_the_threshold(app: App, page: Page) -> None:
    same = search(page, app, collage((2, 5, 11, 13)))
    page.get_by_role("slider", name="Threshold").press("Home")
    expect(page.locator('[data-part="sentence"]')).to_have_text("0 of 20 reach 100\u202f%; 4 more are the same picture")
    expect(same).to_have_count(4)
    expect(page.get_by_text(re.compile("^No picture reaches"))).to_be_hidden()
