"""The whole app and its database, killed in the middle of an import."""

from __future__ import annotations

import time

from bench.support.app import App
from bench.support.data import some_photos
from bench.support.webserver import WebServer
from tests.support.haste import SHORT_LEASES

PHOTOS = some_photos(100)
FINISH_SECONDS = 120


def wait_for_counts(app: App, import_id: int, enough: int) -> dict[str, int]:
    """The counts of an import once `enough` items are done."""
    deadline = time.monotonic() + FINISH_SECONDS
    while time.monotonic() < deadline:
        counts = app.get(f"/api/imports/{import_id}")["counts"]
        if sum(counts.values()) - counts["waiting"] >= enough:
            return dict(counts)
        time.sleep(0.05)
    raise AssertionError(f"import {import_id} does not get on:\n{app.read_log()}")


def test_an_import_finishes_by_itself_after_kill_9() -> None:
    with (
        WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as site,
        App(constants=SHORT_LEASES, COPY_MODEL="off") as app,
    ):
        urls = [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))]
        submitted = app.post("/api/upsert", json={"images": [*urls, site.url("/missing.jpg")]})
        before = wait_for_counts(app, submitted["import"], 32)
        assert before["waiting"] > 0, "too late to be a test"
        app.postgres().kill()
        app.kill()
        app.start()
        counts = wait_for_counts(app, submitted["import"], len(urls) + 1)
        distinct = len({path.read_bytes() for path in PHOTOS})
        assert counts["waiting"] == 0
        assert counts["failed"] == 1
        assert counts["indexed"] + counts["already_there"] == len(urls)
        assert app.get("/api/health")["pictures"] == distinct
