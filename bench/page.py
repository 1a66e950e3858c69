"""What a person waits for on the search page: a dropped picture's matches, and cards that follow the line."""

from __future__ import annotations

import statistics
import time

from playwright.sync_api import FilePayload, Page, sync_playwright

from bench.report import Report
from bench.site import Site
from bench.support.app import App
from bench.support.browser import launch
from bench.support.data import some_photos

INDEXED = 600
DROPS = 8
MOVES = 40

REST = 1000.0
"""Milliseconds before a drop, in which a page that was just opened comes to rest."""

FRAME = 1000 / 60
"""Milliseconds of one frame of the browser, which paints with the processor here."""

PAINTED = """async () => {
  for (;;) {
    const roots = [...document.querySelectorAll("*")].map((e) => e.shadowRoot).filter(Boolean);
    const all = roots.flatMap((root) => [...root.querySelectorAll('img[src*="/api/thumb/"]')]);
    const images = [];  // asking for the place of those further down would have the browser lay all cards out
    for (const image of all) {
      if (image.getBoundingClientRect().top >= innerHeight) break;
      images.push(image);
    }
    const busy = document.querySelector('[data-test-script-state="running"]');
    if (!busy && images.length >= 4 && images.every((image) => image.complete && image.naturalWidth)) break;
    await new Promise((done) => setTimeout(done, 20));
  }
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
}"""
"""Waits until the page is at rest, all thumbnails on the screen are there, and two frames have passed."""

MOVED = """async ({ key, times }) => {
  const find = (node) =>
    [...node.querySelectorAll("*")].flatMap((e) => (e.shadowRoot ? [e, ...find(e.shadowRoot)] : [e]));
  const handle = find(document).find((e) => e.getAttribute("role") === "slider" && e.dataset.part === "handle");
  const taken = [];
  handle.focus();
  for (let step = 0; step < times; step += 1) {
    await new Promise(requestAnimationFrame);
    const begun = performance.now();
    const pressed = { key: key[step % key.length], bubbles: true, cancelable: true };
    handle.dispatchEvent(new KeyboardEvent("keydown", pressed));
    await new Promise(requestAnimationFrame);
    const channel = new MessageChannel();  // its message comes when the frame that was asked for is painted
    await new Promise((done) => { channel.port1.onmessage = done; channel.port2.postMessage(null); });
    taken.push(performance.now() - begun);
  }
  return taken;
}"""
"""Moves the line by keys and returns the milliseconds from each key to the end of the frame that shows it."""


def run(report: Report) -> None:
    """Medians, printed without a promise but for the repaint, which must take two frames at most."""
    photos = some_photos(DROPS)
    with Site() as site, App() as app, sync_playwright() as play:
        app.post("/api/upsert?wait=120", json={"images": site.urls(0, INDEXED)})
        browser = launch(play)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        drops = [_drop(page, app.url, photo.read_bytes()) for photo in photos]
        moves = page.evaluate(MOVED, {"key": ["PageUp", "PageDown", "ArrowRight", "ArrowLeft"], "times": MOVES})
        ends = page.evaluate(MOVED, {"key": ["End", "Home"], "times": 10})
        browser.close()
    report.note("from dropping a picture to its matches painted", statistics.median(drops[1:]) * 1e3, "ms")
    report.at_most("500 matches: from moving the line to the repaint", statistics.median(moves) / FRAME, 2, "frames")
    report.note("500 matches: the same when all of them come or go", statistics.median(ends) / FRAME, "frames")


def _drop(page: Page, url: str, photo: bytes) -> float:
    """Seconds from the drop until all thumbnails in view are painted, with no query before it and no match left out."""
    page.goto(f"{url}/?top_k=500&threshold=0")
    page.get_by_text("Which of your pictures look like it?").wait_for()
    page.wait_for_timeout(REST)
    picture: FilePayload = {"name": "query.jpg", "mimeType": "image/jpeg", "buffer": photo}
    before = page.url
    begun = time.perf_counter()
    page.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(picture)
    page.wait_for_function("before => location.href !== before", arg=before)
    page.evaluate(PAINTED)
    return time.perf_counter() - begun
