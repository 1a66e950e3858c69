"""The collection a page at a time: every order, by keys and by counting, while others change it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import get_args
from uuid import UUID

import pytest

from bench.support.collection import fill, unit_vectors
from core.collection.browse import Browser, Entry, Order
from core.collection.curation import Curation
from core.collection.filters import Filter
from core.collection.store import Store
from core.database.connection import Database

pytestmark = pytest.mark.pooled

COUNT = 57
SIZE = 10
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def browser(database: Database) -> Browser:
    return Browser(database)


@pytest.fixture
def ids(database: Database) -> list[UUID]:
    """Pictures in threes of one moment, size and name, so that only their ids part them."""
    model = Store(database).use_model("test/four", 4)
    days = [BEGAN + timedelta(hours=number // 3) for number in range(COUNT)]
    ids = fill(database, model, unit_vectors(COUNT, 4), tags=[("red",), ()], days=days)
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE pictures SET width = %s, height = %s, title = %s, name = %s, fields = %s::jsonb WHERE id = %s",
            [
                (100 + number // 3, 1000 - 40 * (number // 3), title(number), f"img {number}.jpg", '{"n": "7"}', id)
                if number % 3
                else (100 + number // 3, 1000 - 40 * (number // 3), title(number), f"img {number}.jpg", "{}", id)
                for number, id in enumerate(ids)
            ],
        )
    return ids


def title(number: int) -> str:
    """Every other picture has none and is called by its file."""
    return f"IMG {number}" if number % 2 else ""


def walk(browser: Browser, order: Order, where: Filter) -> list[Entry]:
    """All pictures, page after page, each found from the one before."""
    page = browser.page(where, order, SIZE, 1)
    found = page.entries
    while page.number < page.count:
        page = browser.page(where, order, SIZE, page.number + 1, page)
        found = found + page.entries
    return found


def key(entry: Entry) -> tuple[object, UUID]:
    return entry.key, entry.id


@pytest.mark.parametrize("order", get_args(Order))
def test_every_order_shows_each_picture_once(
    browser: Browser, database: Database, ids: list[UUID], order: Order
) -> None:
    where = Filter(removed=order == "removed")
    if where.removed:
        Curation(database).remove(ids)
    found = walk(browser, order, where)
    assert sorted(entry.id for entry in found) == sorted(ids)
    goes_down = order in ("newest", "name_back", "largest", "removed")
    assert [key(entry) for entry in found] == sorted(map(key, found), reverse=goes_down)
    pages = ceil(COUNT / SIZE)
    jumped = [entry for number in range(1, pages + 1) for entry in browser.page(where, order, SIZE, number).entries]
    assert jumped == found
    page, back = browser.page(where, order, SIZE, pages), list[Entry]()
    for number in range(pages, 0, -1):
        page = browser.page(where, order, SIZE, number, page)
        back = page.entries + back
    assert back == found


def test_names_sort_by_title_or_file_with_numbers_as_numbers(browser: Browser, ids: list[UUID]) -> None:
    assert [ids.index(entry.id) for entry in walk(browser, "name", Filter())] == list(range(COUNT))


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        (Filter(untagged=True), lambda n: n % 2),
        (Filter(min_side=105), lambda n: min(100 + n // 3, 1000 - 40 * (n // 3)) >= 105),
        (Filter(max_side=110), lambda n: min(100 + n // 3, 1000 - 40 * (n // 3)) <= 110),
        (Filter(min_area=100_000), lambda n: (100 + n // 3) * (1000 - 40 * (n // 3)) >= 100_000),
        (
            Filter(max_area=90_000, tags=("red",)),
            lambda n: (100 + n // 3) * (1000 - 40 * (n // 3)) <= 90_000 and not n % 2,
        ),
        (Filter(fields=(("n", "7"),)), lambda n: n % 3),
        (Filter(fields=(("n", "8"),)), lambda n: False),
        (Filter(removed=True), lambda n: False),
    ],
)
def test_a_filter_keeps_what_it_says(
    browser: Browser, ids: list[UUID], where: Filter, kept: Callable[[int], object]
) -> None:
    expected = sorted(id for number, id in enumerate(ids) if kept(number))
    assert sorted(entry.id for entry in walk(browser, "oldest", where)) == expected
    assert browser.count(where) == len(expected)


def test_a_page_goes_on_where_the_last_ended_while_others_remove(
    browser: Browser, database: Database, ids: list[UUID]
) -> None:
    first = browser.page(Filter(), "oldest", SIZE, 1)
    Curation(database).remove([entry.id for entry in first.entries[:4]])
    second = browser.page(Filter(), "oldest", SIZE, 2, first)
    third = browser.page(Filter(), "oldest", SIZE, 3, second)
    shown = [entry.id for page in (first, second, third) for entry in page.entries]
    assert len(set(shown)) == 3 * SIZE
    assert browser.page(Filter(), "oldest", SIZE, 2, second) == second
    Curation(database).remove([entry.id for entry in second.entries])
    again = browser.page(Filter(), "oldest", SIZE, 2, second)
    assert again.entries == third.entries
    assert again.total == COUNT - 14


def test_the_last_page_is_shown_where_a_page_is_gone(browser: Browser, database: Database, ids: list[UUID]) -> None:
    last = browser.page(Filter(), "oldest", SIZE, 6)
    assert (last.number, len(last.entries), last.first) == (6, 7, 51)
    assert browser.page(Filter(), "oldest", SIZE, 99).entries == last.entries
    Curation(database).remove([entry.id for entry in last.entries])
    before = browser.page(Filter(), "oldest", SIZE, 6, last)
    assert (before.number, before.count, len(before.entries)) == (5, 5, 10)
    Curation(database).remove(ids)
    empty = browser.page(Filter(), "oldest", SIZE, 5, before)
    assert (empty.number, empty.count, empty.total, empty.entries) == (1, 1, 0, [])


def test_entries_come_as_they_are_asked_for(browser: Browser, ids: list[UUID]) -> None:
    asked = [ids[5], UUID(int=1), ids[2]]
    assert [entry.id for entry in browser.entries(asked)] == [ids[5], ids[2]]
