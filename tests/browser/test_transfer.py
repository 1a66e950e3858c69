"""A first visitor tries the sample, takes it out as a file, removes it, and reads the file back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from bench.support.app import App

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with App(COPY_MODEL="off") as running:
        yield running


def open_transfer(page: Page, app: App) -> None:
    page.goto(f"{app.url}/collection")
    page.get_by_text("Export or import the collection").click()
    expect(page.get_by_text("Export", exact=True)).to_be_visible()


def pictures(app: App) -> int:
    return int(app.get("/api/health")["pictures"])


def test_a_sample_teaches_and_travels(app: App, page: Page, tmp_path: Path) -> None:
    page.goto(app.url)
    page.get_by_role("button", name="Try it with 120 drawings").click()
    page.get_by_role("button", name="Search with a boat").click()
    matches = page.get_by_role("list", name="Matches")
    expect(matches.get_by_role("img").first).to_be_visible()
    expect(page.get_by_text(re.compile("Mark 30 matches"))).to_be_visible()
    assert pictures(app) == 120
    expect(page.get_by_role("button", name="Edit boats-01.jpg")).to_be_visible()

    open_transfer(page, app)
    page.get_by_text("Parquet", exact=True).click()
    page.get_by_text("With thumbnails").click()
    page.get_by_text("With the embeddings").click()
    link = page.get_by_role("link", name="Download")
    expect(link).to_have_attribute("href", re.compile("format=parquet&thumbnails=1&embeddings=1"))
    file = tmp_path / "collection.parquet"
    file.write_bytes(app.raw("GET", str(link.get_attribute("href")).removeprefix(app.url)).content)

    page.goto(f"{app.url}/index")
    page.get_by_role("button", name="Remove the sample").click()
    expect(page.get_by_text(re.compile("The sample was removed, 120 pictures with it"))).to_be_visible()
    assert pictures(app) == 0
    expect(page.get_by_role("button", name="Try it with 120 drawings")).to_be_visible()

    open_transfer(page, app)
    page.get_by_test_id("stExpander").locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("120 pictures read: 120 added, 0 already in the collection.")).to_be_visible()
    assert pictures(app) == 120


def test_a_broken_file_is_reported_on_the_page(app: App, page: Page) -> None:
    open_transfer(page, app)
    broken: FilePayload = {
        "name": "list.csv",
        "mimeType": "text/csv",
        "buffer": b"address,title\nhttps://a.example/1.jpg,x\n",
    }
    page.get_by_test_id("stExpander").locator("input[type=file]").set_input_files(broken)
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("list.csv has no column “urls”, so it was not exported from Lookalike")).to_be_visible()
