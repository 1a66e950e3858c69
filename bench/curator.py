"""A curator at the page itself: a thousand photos, sixty matches judged by class, the suggested threshold saved."""

from __future__ import annotations

import time

from playwright.sync_api import expect, sync_playwright

from bench.report import Report
from bench.support.app import App
from bench.support.browser import launch
from bench.support.curator import classes_of, judge, open_tune, save, truth
from bench.support.data import PHOTOS
from bench.support.webserver import WebServer
from bench.tuning import CLASSES, CLUTTER, PHOTOS_EACH, VERDICTS


def run(report: Report) -> None:
    """Whether one threshold delivers what it states on unjudged queries; `bench.tuning` measures how many do."""
    folders = [folder for folder in sorted(PHOTOS.iterdir()) if folder.name != CLUTTER][:CLASSES]
    paths = {
        f"/{photo.parent.name}/{photo.name}": photo for f in folders for photo in sorted(f.glob("*.jpg"))[:PHOTOS_EACH]
    }
    expect.set_options(timeout=60_000)
    with WebServer(paths) as site, App() as app, sync_playwright() as play:
        app.post("/api/upsert?wait=300", json={"images": [site.url(path) for path in paths]})
        classes = classes_of(app)
        browser = launch(play)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        open_tune(page, app)
        begun = time.perf_counter()
        judged = judge(page, classes, VERDICTS)
        report.note(f"{len(classes):,} photos: {VERDICTS} matches judged at the page", time.perf_counter() - begun, "s")
        threshold, *intervals = save(page)
        browser.close()
        found = truth(app, classes, judged, threshold)
    for what, value, (low, high) in zip(("precision", "recall"), found, intervals, strict=True):
        report.at_least(f"the saved threshold's {what}, stated from {low:.0%} on", value, low, "")
        report.at_most(f"the saved threshold's {what}, stated up to {high:.0%}", value, high, "")
