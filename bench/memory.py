"""How much the app's memory grows while it indexes ten times as many pictures."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import psutil

from bench.report import Report
from bench.site import Site
from bench.support.app import App

FEW, MANY = 1_000, 10_000
SAMPLES = 15


def run(report: Report) -> None:
    """Two measurements of one import, and the promise about their ratio."""
    with Site() as site, App() as app:
        process = next(
            child for child in psutil.Process().children() if any("streamlit" in word for word in child.cmdline())
        )
        entry = app.post("/api/upsert", json={"images": site.urls(0, MANY)})["import"]

        def done() -> int:
            counts = app.get(f"/api/imports/{entry}")["counts"]
            assert not counts["failed"], counts
            return int(sum(counts.values()) - counts["waiting"])

        few = _resident(process, FEW, done)
        many = _resident(process, MANY - SAMPLES * 20, done)
    report.note(f"resident memory of the app at {FEW:,} items", few, "MB")
    report.note(f"resident memory of the app at {MANY:,} items", many, "MB")
    report.at_most(f"resident memory at {MANY:,} items, of that at {FEW:,}", many / few, 1.10)


def _resident(process: psutil.Process, items: int, done: Callable[[], int]) -> float:
    """The median of some seconds in MB, from the moment that so many items are done."""
    while done() < items:
        time.sleep(0.5)
    samples = list[float]()
    for _ in range(SAMPLES):
        samples.append(process.memory_info().rss / 1e6)
        time.sleep(0.3)
    return statistics.median(samples)
