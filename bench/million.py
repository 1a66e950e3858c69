"""The same as `bench.search` for a million pictures: a quarter to half an hour, most of it to make the index."""

from __future__ import annotations

from bench.report import Report
from bench.search import measure


def run(report: Report) -> None:
    """One collection, with an index."""
    measure(report, 1_000_000)
