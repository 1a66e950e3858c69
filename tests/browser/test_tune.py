"""The Tune page and the verdicts on the search gallery: a curator who judges by class, with clicks and keys."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from bench.support.app import App
from bench.support.curator import classes_of, given, judge, open_tune, pair, save, tally, truth
from bench.support.data import PHOTOS
from bench.support.webserver import WebServer

pytestmark = pytest.mark.browser

CLASSES = [folder for folder in sorted(PHOTOS.iterdir()) if folder.name != "BACKGROUND_Google"][::8][:12]
PATHS = {f"/{path.parent.name}/{path.name}": path for folder in CLASSES for path in sorted(folder.glob("*.jpg"))[:20]}
VERDICTS = 40

SLACK = 0.08
"""The intervals hold in 19 of 20 runs (`bench/tuning.py` counts them), and a test must in all: widened by 0.05, they
missed 2 of 400."""


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    """The app with twenty photos of each of twelve classes."""
    with WebServer(PATHS) as site, App(COPY_MODEL="off") as running:
        answer = running.post("/api/upsert?wait=120", json={"images": [site.url(path) for path in PATHS]})
        assert answer["counts"]["indexed"] == len(PATHS)
        yield running


@pytest.fixture(scope="module")
def classes(app: App) -> dict[str, str]:
    return classes_of(app)


@pytest.fixture
def saved_threshold(app: App, page: Page, classes: dict[str, str]) -> None:
    """A threshold from some verdicts is in effect: that of the test that saves one, or one that is saved now."""
    open_tune(page, app)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    if page.get_by_text("Saved threshold:").count() == 0:
        judge(page, classes, max(0, VERDICTS - given(page)))
        save(page)


def test_a_verdict_is_undone_and_a_match_skipped(app: App, page: Page) -> None:
    open_tune(page, app)
    first = pair(page)
    page.get_by_role("button", name="Yes").click()
    assert pair(page) != first
    expect(tally(page)).to_have_text("1 verdict so far")
    expect(page.get_by_text("29 more verdicts until a threshold can be suggested.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    assert pair(page) == first
    expect(tally(page)).to_have_text("0 verdicts so far")
    page.keyboard.press("s")
    second = pair(page)
    assert second != first
    page.keyboard.press("u")
    assert pair(page) == first
    page.keyboard.press("s")
    expect(page.get_by_text("30 more verdicts until a threshold can be suggested.")).to_be_visible()
    expect(tally(page)).to_have_text("0 verdicts so far")


def test_verdicts_give_a_threshold_that_keeps_its_word(
    app: App, page: Page, classes: dict[str, str], tmp_path: Path
) -> None:
    open_tune(page, app)
    judged = judge(page, classes, VERDICTS)
    expect(tally(page)).to_have_text(f"{VERDICTS} verdicts so far")
    expect(page.get_by_text(f"(from {VERDICTS} verdicts)")).to_be_visible()
    expect(page.get_by_text("Checked by leaving out each query in turn")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first).to_be_visible()
    threshold, precision, recall = save(page)
    found = truth(app, classes, judged, threshold)
    for value, (low, high) in zip(found, (precision, recall), strict=True):
        assert low - SLACK <= value <= high + SLACK
    page.get_by_text("Export or import verdicts").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Download {VERDICTS} verdicts as CSV").click()
    download.value.save_as(tmp_path / "verdicts.csv")
    with (tmp_path / "verdicts.csv").open(encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.DictReader(file))) == VERDICTS
    page.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(tmp_path / "verdicts.csv")
    expect(page.get_by_text(f"0 verdicts imported. Left out: {VERDICTS} already known.")).to_be_visible()


@pytest.mark.usefixtures("saved_threshold")
def test_searches_begin_at_the_saved_threshold_until_it_is_reset(app: App, page: Page, classes: dict[str, str]) -> None:
    query = f"{app.url}/?q={quote(json.dumps([{'picture': min(classes)}]))}"
    page.goto(query)
    page.get_by_role("button", name="Details").click()
    saved = page.get_by_role("button", name=re.compile("^Saved"))
    expect(saved).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text(re.compile(r"^Saved threshold, from \d+ verdicts\."))).to_be_visible()
    page.get_by_role("button", name=re.compile("^Same thing")).click()
    expect(saved).to_have_attribute("aria-pressed", "false")
    open_tune(page, app)
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_role("button", name="Reset")).to_have_count(0)
    page.get_by_text("History", exact=True).click()
    expect(page.get_by_text(re.compile("^Reset ·"))).to_be_visible()
    page.goto(query)
    page.get_by_role("button", name="Details").click()
    expect(page.get_by_role("button", name=re.compile("^Same (thing|kind)"), pressed=True)).to_have_count(1)
    expect(saved).to_have_count(0)
    open_tune(page, app)
    page.get_by_text("History", exact=True).click()
    page.get_by_role("button", name="Use again").click()
    expect(page.get_by_role("button", name="Reset")).to_be_visible()


def test_a_target_precision_is_chosen_and_text_searches_have_their_own_page(app: App, page: Page) -> None:
    open_tune(page, app)
    page.get_by_text("Target precision", exact=True).click()
    slider = page.get_by_role("slider", name="Share of shown")
    expect(slider).to_have_value("95")
    expect(page.get_by_text(re.compile("about 19 in 20 shown are right|nearly all shown are right"))).to_be_visible()
    page.get_by_text("Text searches").click()
    expect(page.get_by_text("No recent text searches.")).to_be_visible()


def test_matches_are_judged_on_the_gallery_by_click_and_by_key(app: App, page: Page, classes: dict[str, str]) -> None:
    open_tune(page, app)
    before = given(page)
    query = f"{app.url}/?q={quote(json.dumps([{'picture': max(classes)}]))}&threshold=0"
    page.goto(query)
    cards = page.get_by_role("list", name="Matches").get_by_role("listitem").filter(has=page.locator(".picture"))
    expect(cards.nth(4)).to_be_visible()
    cards.nth(1).hover()
    cards.nth(1).get_by_role("button", name=re.compile("^Right")).click()
    cards.nth(2).locator(".picture").focus()
    page.keyboard.press("n")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("y")
    page.keyboard.press("y")  # taken back

    def verdicts(place: int) -> list[str]:
        pressed = cards.nth(place).locator("[data-verdict][aria-pressed=true]").all()
        return [button.get_attribute("data-verdict") or "" for button in pressed]

    assert [verdicts(place) for place in (1, 2, 3)] == [["yes"], ["no"], []]
    page.get_by_role("link", name="Tune").click()
    expect(tally(page)).to_have_text(f"{before + 2} verdicts so far")
    page.goto(query)
    expect(cards.nth(1).locator("[data-verdict=yes]")).to_have_attribute("aria-pressed", "true")
    assert [verdicts(place) for place in (1, 2, 3)] == [["yes"], ["no"], []]
