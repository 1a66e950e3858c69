"""How much longer a search and a page take while an import runs at full speed."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import httpx2
from playwright.sync_api import Page, expect, sync_playwright

from bench.report import Report
from bench.site import Site
from bench.support.app import App
from bench.support.browser import launch
from bench.support.data import some_photos

BEFORE = 200
"""Pictures already in the collection, so that a search finds something."""

IMPORTED = 800
"""Pictures in each import that is measured beside; on two cores the small model takes a quarter of a minute."""

ROUNDS, TIMES = 3, 8
"""Idle and busy take turns, so that whatever else the machine does weighs on both."""

PAUSE = 0.3
"""Seconds between two questions: a person's pace."""


def run(report: Report) -> None:
    """Two promises, each with the medians that it compares."""
    # None twice, because embeddings of queries are cached.
    photos = (path.read_bytes() for path in some_photos(2 * (ROUNDS + 1) * TIMES))
    with Site() as site, App() as app, sync_playwright() as play, httpx2.Client(base_url=app.url, timeout=60) as client:
        browser = launch(play)
        page = browser.new_page()
        page.goto(f"{app.url}/index")

        def search() -> None:
            answer = client.post("/api/search", files={"file": next(photos)})
            assert answer.json()["matches"], answer.text

        def waiting(entry: int) -> int:
            return int(app.get(f"/api/imports/{entry}")["counts"]["waiting"])

        measures = {"a search over HTTP": search, "a rerun of the index page": _page_rerun(page)}
        app.post("/api/upsert?wait=60", json={"images": site.urls(0, BEFORE)})
        for measure in measures.values():
            _seconds(measure)  # the first time is slower
        idle, busy = {name: list[float]() for name in measures}, {name: list[float]() for name in measures}
        for turn in range(ROUNDS):
            for name, measure in measures.items():
                idle[name] += _seconds(measure)
            entry = app.post("/api/upsert", json={"images": site.urls(BEFORE + turn * IMPORTED, IMPORTED)})["import"]
            while waiting(entry) > IMPORTED - 32:
                time.sleep(0.1)
            for name, measure in measures.items():
                busy[name] += _seconds(measure)
            assert waiting(entry), "the import ended before the measurement"
            while waiting(entry):
                time.sleep(0.5)
        browser.close()
    for name, goal in zip(measures, (2.5, 2.0), strict=True):
        before, during = statistics.median(idle[name]), statistics.median(busy[name])
        report.note(f"{name}, idle", before * 1e3, "ms")
        report.note(f"{name}, while an import runs", during * 1e3, "ms")
        report.at_most(f"{name}: while an import runs, of idle", during / before, goal)


def _seconds(measure: Callable[[], None]) -> list[float]:
    """How many seconds it takes, each time."""
    seconds = list[float]()
    for _ in range(TIMES):
        begun = time.perf_counter()
        measure()
        seconds.append(time.perf_counter() - begun)
        time.sleep(PAUSE)
    return seconds


def _page_rerun(page: Page) -> Callable[[], None]:
    """Types one URL more or less, and waits until the page counts it."""
    box = page.get_by_label("One URL per line")
    turns = itertools.count()

    def rerun() -> None:
        count = 1 + next(turns) % 2
        box.fill("\n".join(f"http://example.org/{number}.jpg" for number in range(count)))
        box.press("Control+Enter")
        expect(page.get_by_text(f"{count} ready")).to_be_visible(timeout=30_000)

    return rerun
