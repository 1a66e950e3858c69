"""An import in the browser: 120 URLs of which a third fail in ten ways, and what can be done about it."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Download, Locator, Page, TimeoutError, expect

from bench.support.app import App
from bench.support.browser import PATIENCE
from bench.support.data import many_files
from bench.support.webserver import Page as ServedPage
from bench.support.webserver import Visit, WebServer
from tests.support.haste import HASTE

pytestmark = pytest.mark.browser

GOOD = 80
OF_EACH = 4


def tiny() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()


TROUBLES = {
    "/status?code=404": "127.0.0.1 answered 404: the picture is not there any more.",
    "/status?code=403": "127.0.0.1 answered 403: access to this picture is denied.",
    "/status?code=503": "127.0.0.1 answered 503: the picture is unavailable at the moment.",
    "/broken-off?": "127.0.0.1 closed the connection before the picture was complete.",
    "/loop?": "127.0.0.1 sends too many redirects: more than 5.",
    "/page?": "127.0.0.1 answered with a web page",
    "/drawing?": "127.0.0.1 answered with an SVG drawing",
    "/nothing?": "127.0.0.1 answered with an empty file",
    "/cut?": "The picture's file is truncated. Save or download it again.",
    "/tiny?": "The picture is too small (1 × 1 pixels): it needs 16 on each side.",
}


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    files = many_files(GOOD)
    good: dict[str, ServedPage] = {f"/{number}.jpg": data for number, data in enumerate(files)}
    bad: dict[str, ServedPage] = {
        "/loop": lambda visit: visit.answer(status=302, Location="/loop?again"),
        "/page": b"<!doctype html><title>A picture</title>",
        "/drawing": b'<svg xmlns="http://www.w3.org/2000/svg"></svg>',
        "/nothing": b"",
        "/cut": files[0][:2000],
        "/tiny": tiny(),
    }
    with WebServer(good | bad) as server:
        yield server


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with App(constants=HASTE, RETRY_DELAY="0.05", COPY_MODEL="off") as running:
        yield running


def submit(page: Page, app: App, urls: list[str]) -> None:
    page.goto(f"{app.url}/index")
    box = page.get_by_label("One URL per line")
    box.fill("\n".join(urls))
    box.press("Control+Enter")
    page.get_by_role("button", name=re.compile(f"Index {len(urls)} picture")).click()


def download(page: Page, button: Locator) -> Download:
    """Click until a download begins, as a person would: a click is lost when the button is just being redrawn."""
    for patience in (PATIENCE / 8, PATIENCE / 4, PATIENCE):
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
        try:
            with page.expect_download(timeout=patience) as begun:
                button.click()
            return begun.value
        except TimeoutError:
            continue
    raise AssertionError("nothing is downloaded")


def test_a_third_fails_in_ten_ways_and_each_reason_is_shown(
    app: App, site: WebServer, page: Page, tmp_path: Path
) -> None:
    good = [site.url(f"/{number}.jpg") for number in range(GOOD)]
    bad = [site.url(f"{path}&n={number}") for path in TROUBLES for number in range(OF_EACH)]
    submit(page, app, [url for pair in zip(good[::2], bad, good[1::2], strict=True) for url in pair])
    expect(page.get_by_text(f"{GOOD} indexed · {len(bad)} failed")).to_be_visible()
    page.get_by_text(f"{len(bad)} could not be indexed").click()
    table = page.get_by_role("table")
    for sentence in TROUBLES.values():
        row = table.get_by_role("row").filter(has_text=sentence)
        expect(row).to_have_count(1)
        expect(row.get_by_role("cell", name=str(OF_EACH), exact=True)).to_be_visible()
    failures = page.get_by_role("button", name="Failures as CSV")
    expect(failures).to_have_count(1)  # while it is redrawn there may be two for a moment
    download(page, failures).save_as(tmp_path / "failures.csv")
    header, *rows = csv.reader(io.StringIO((tmp_path / "failures.csv").read_text(encoding="utf-8-sig")))
    assert header == ["URL", "what happened"]
    assert {url for url, _ in rows} == set(bad)
    for url, reason in rows:
        (expected,) = [sentence for path, sentence in TROUBLES.items() if path in url]
        assert reason.startswith(expected)


def test_an_import_is_paused_resumed_and_cancelled(app: App, page: Page) -> None:
    gate = threading.Event()
    files = many_files(GOOD + 40)[GOOD:]

    def behind_the_gate(visit: Visit) -> None:
        gate.wait(PATIENCE / 1000)
        visit.answer(files[int(visit.path.strip("/").partition("?")[0])])

    with WebServer({f"/{number}": behind_the_gate for number in range(len(files))}) as slow:
        try:
            submit(page, app, [slow.url(f"/{number}") for number in range(len(files))])
            page.get_by_role("button", name="Pause").click()
            expect(page.get_by_text(re.compile("waiting · paused"))).to_be_visible()
            gate.set()
            page.get_by_role("button", name="Resume").click()
            expect(page.get_by_text(re.compile("^40 indexed$"))).to_be_visible()
            gate.clear()
            page.get_by_label("One URL per line").fill(slow.url("/0?again") + "\n" + slow.url("/1?again"))
            page.get_by_label("One URL per line").press("Control+Enter")
            page.get_by_role("button", name="Index 2 pictures").click()
            page.get_by_role("button", name="Cancel").click()
            expect(page.get_by_text(re.compile("^0 indexed · 2 failed$"))).to_be_visible()
            page.get_by_text("2 could not be indexed").click()
            expect(page.get_by_text("Cancelled before it was fetched.")).to_be_visible()
        finally:
            gate.set()


def test_an_import_is_deleted_with_its_pictures_and_restored(app: App, page: Page) -> None:
    files = many_files(GOOD + 60)[GOOD + 40 :]
    with WebServer({f"/{number}": data for number, data in enumerate(files)}) as site:
        before = app.get("/api/health")["pictures"]
        submit(page, app, [site.url(f"/{number}") for number in range(len(files))])
        expect(page.get_by_text(re.compile("^20 indexed$"))).to_be_visible()
        page.get_by_role("button", name="Delete").first.click()
        page.get_by_role("button", name="Delete the import").click()
        expect(page.get_by_text(re.compile("was deleted, and 20 pictures with it"))).to_be_visible()
        assert app.get("/api/health")["pictures"] == before
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_text(re.compile("^20 indexed$"))).to_be_visible()
        assert app.get("/api/health")["pictures"] == before + 20
