"""How fast the collection page is read, and how fast all pictures are changed, among 100,000 pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, get_args

import numpy as np

from bench.parts import folder
from bench.report import Report
from bench.support.collection import fill, unit_vectors
from core.collection.browse import Browser, Order
from core.collection.curation import Curation
from core.collection.filters import Filter
from core.collection.store import Store
from core.database.connection import Database
from core.search.nearest import Nearest
from core.settings import Settings

SIZE = 100_000
PAGE = 100
ORDERS = [order for order in get_args(Order) if order != "removed"]
TURNS = 20

SLOWEST = 200.0
"""Milliseconds that 19 of 20 pages may take at most, the count of all pages with it."""

FILTERS = {
    "all": Filter(),
    "a tag": Filter(tags=("red",)),
    "a site": Filter(domain="museum.example"),
    "a field": Filter(fields=(("artist", "Artist 7"),)),
    "a size": Filter(min_side=1500),
}


def run(report: Report) -> None:
    """Fill a collection, turn its pages by every order, jump among them, and change all of it."""
    with folder() as path:
        database = Database(Settings(_env_file=None, data_dir=path))
        database.open()
        try:
            _fill(database)
            _read(report, database)
            _change(report, Curation(database))
        finally:
            database.close()


def _fill(database: Database) -> None:
    model = Store(database).use_model("bench/small", 8)
    now = datetime.now(UTC)
    days = [now - timedelta(minutes=number // 32) for number in range(SIZE)]
    hosts = ["img.museum.example", "a.example", "b.example"]
    fill(database, model, unit_vectors(SIZE, 8), tags=[["red"], [], ["blue", "red"]], hosts=hosts, days=days)
    with database.connection() as connection:
        connection.execute(
            """UPDATE pictures SET name = (hashtext(id::text) & 262143) || '.jpg',
                      phash = hashtextextended(id::text, 0),
                      width = 300 + (hashtext(id::text) & 4095), height = 200 + (hashtext(id::text) >> 12 & 4095),
                      fields = jsonb_build_object('artist', 'Artist ' || (hashtext(id::text) & 127))"""
        )
    with database.connect() as connection:
        connection.execute("VACUUM ANALYZE")


def _read(report: Report, database: Database) -> None:
    browser, times = Browser(database), list[float]()
    for order in ORDERS:
        page, turns = browser.page(Filter(), order, PAGE, 1), list[float]()
        for number in range(2, TURNS + 2):
            seconds, page = _timed(partial(browser.page, Filter(), order, PAGE, number, page))
            turns.append(seconds)
        times += turns
        report.note(f"{SIZE:,} pictures, {order}: the next page, p95", _p95(turns), "ms")
    jumps = [
        _timed(partial(browser.page, Filter(), order, PAGE, number))[0]
        for order in ORDERS
        for number in (1, 250, 500, 750, 1000)
    ]
    report.note(f"{SIZE:,} pictures: a page by its number, p95", _p95(jumps), "ms")
    for name, where in FILTERS.items():
        kept = [_timed(partial(browser.page, where, "newest", PAGE, 3))[0] for _ in range(TURNS)]
        times += kept
        report.note(f"{SIZE:,} pictures, {name}: a page, p95", _p95(kept), "ms")
    report.at_most(f"{SIZE:,} pictures: a page of the collection, p95", _p95([*times, *jumps]), SLOWEST, "ms")
    report.note(f"{SIZE:,} pictures: what can be filtered by", _timed(Nearest(database).facets)[0], "ms")


def _change(report: Report, curation: Curation) -> None:
    for name, act in (
        ("tag", lambda: curation.tag(Filter(), "seen")),
        ("untag", lambda: curation.untag(Filter(), "seen")),
        ("remove", lambda: curation.remove(Filter())),
        ("restore", lambda: curation.restore(Filter(removed=True))),
    ):
        report.note(f"{SIZE:,} pictures: {name} all", _timed(act)[0] / 1e3, "s")
    curation.remove(Filter())
    until = curation.deletable(Filter(removed=True)).until
    report.note(
        f"{SIZE:,} pictures: delete all", _timed(lambda: curation.delete(Filter(removed=True), until))[0] / 1e3, "s"
    )


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """How many milliseconds it takes, and what it returns."""
    begun = time.perf_counter()
    result = act()
    return (time.perf_counter() - begun) * 1e3, result


def _p95(times: list[float]) -> float:
    return float(np.percentile(times, 95))
