"""What lists say of their pictures: read from tables, kept with items, and merged on the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import pytest

from bench.support.collection import fill, unit_vectors
from core.collection.filters import Filter, FilterOption
from core.collection.metadata import MAX_VALUE, Metadata, add_item_metadata, field_names, title_column
from core.collection.store import Store
from core.database.connection import Database
from core.indexing.imports import Imports
from core.indexing.readers.table import text_frame
from core.indexing.url_lists import ListTable, read_table
from core.media.urls import key_of
from core.search.nearest import Nearest

pytestmark = pytest.mark.pooled


@pytest.fixture
def ledger(database: Database) -> Imports:
    return Imports(database)


@pytest.fixture
def ids(database: Database) -> list[UUID]:
    return fill(database, Store(database).use_model("test/four", 4), unit_vectors(3, 4))


def told(database: Database, ids: list[UUID]) -> list[tuple[str, dict[str, str]]]:
    """The title and the fields of each picture."""
    with database.connection() as connection:
        rows = connection.execute("SELECT id, title, fields FROM pictures WHERE id = ANY(%s)", (ids,)).fetchall()
    found = {id: (title, fields) for id, title, fields in rows}
    return [found[id] for id in ids]


def say(ledger: Imports, ids: list[UUID], rows: Mapping[int, Metadata]) -> int:
    """An import of pictures that are there already, as `fill` has their keys."""
    urls = [(ids[number].bytes * 2, f"https://a.example/{number}.jpg") for number in rows]
    return ledger.submit("list", urls, {ids[number].bytes * 2: said for number, said in rows.items()}).id


def test_columns_of_a_table_are_said_of_its_addresses() -> None:
    text = (
        "Photo,Title,note,note,\n"
        'https://a.example/1.jpg,A  cat,"two\nlines",b,c\n'
        "https://a.example/2.jpg,,,,\n"
        '"https://a.example/3.jpg, https://a.example/4.jpg",Pair,,,\n'
        "https://a.example/5.jpg,,,,\n"
    )
    table = read_table("list.csv", text.encode())
    lines = table.lines(0, [2, 3, 4], title_column(table.columns))
    assert [line.metadata for line in lines] == [
        Metadata("A cat", {"note": "two\nlines", "note (4)": "b", "Column 5": "c"}),
        Metadata(),
        Metadata("Pair"),
        Metadata("Pair"),
        Metadata(),
    ]
    assert [line.key for line in lines] == [key_of(f"https://a.example/{number}.jpg") for number in range(1, 6)]
    assert [line.metadata for line in table.lines(0)] == [Metadata()] * 5


def test_a_cell_is_kept_as_the_database_can() -> None:
    table = ListTable(text_frame([["https://a.example/1.jpg", "\0x\ud800" + "x" * 3000]], ["url", "a"], [2]))
    said = table.lines(0, [1])[0].metadata.fields["a"]
    assert len(said) == MAX_VALUE
    assert said.endswith("x…")
    assert field_names(["a", "", "a", "\0a"]) == ["a", "Column 2", "a (3)", "a (4)"]


@pytest.mark.parametrize(
    ("columns", "title"),
    [(["url", "Caption", "TITLE"], 2), (["url", " name "], 1), (["url", "artist"], None), ([], None)],
)
def test_a_column_of_titles_is_known_by_its_name(columns: list[str], title: int | None) -> None:
    assert title_column(columns) == title


def test_the_last_list_wins_column_by_column(database: Database, ledger: Imports, ids: list[UUID]) -> None:
    say(ledger, ids, {0: Metadata("First", {"artist": "Hals", "year": "1650"}), 1: Metadata("", {"artist": "Hals"})})
    say(ledger, ids, {0: Metadata("Second", {"artist": "Leyster"}), 2: Metadata("Third")})
    assert told(database, ids) == [
        ("First", {"artist": "Leyster", "year": "1650"}),
        ("", {"artist": "Hals"}),
        ("Third", {}),
    ]
    nearest = Nearest(database)
    assert nearest.facets().fields == [FilterOption(0, "artist", 2), FilterOption(0, "year", 1)]
    assert nearest.values("artist") == [FilterOption(0, "Hals", 1), FilterOption(0, "Leyster", 1)]
    assert nearest.values("'; --") == []


def test_a_deleted_import_takes_nothing_back(database: Database, ledger: Imports, ids: list[UUID]) -> None:
    ledger.delete(say(ledger, ids, {1: Metadata("A title", {"a": "b"})}))
    assert told(database, ids[1:2]) == [("A title", {"a": "b"})]


def test_of_rows_that_lead_to_one_picture_the_first_counts(
    database: Database, ledger: Imports, ids: list[UUID]
) -> None:
    urls = [(bytes([number]) * 32, f"https://b.example/{number}") for number in range(3)]
    said = {
        key: Metadata(f"Title {number}", {"n": str(number), f"only {number}": "yes"})
        for number, (key, _) in enumerate(urls)
    }
    import_id = ledger.submit("list", urls, said).id
    with database.connection() as connection:
        connection.execute("UPDATE items SET picture = %s WHERE import = %s AND position < 2", (ids[0], import_id))
        add_item_metadata(connection, import_id, [ids[0]])
        assert connection.execute("SELECT count(*) FROM pictures WHERE fields <> '{}'").fetchall() == [(1,)]
    assert told(database, ids[:1]) == [("Title 0", {"n": "0", "only 0": "yes"})]


def test_a_search_keeps_to_a_field(database: Database, ledger: Imports, ids: list[UUID]) -> None:
    say(ledger, ids, {1: Metadata("", {"artist": "Hals"}), 2: Metadata("", {"artist": "Hals", "year": "1650"})})
    store = Store(database)
    model = store.use_model("test/four", 4)
    where = Filter(fields=(("artist", "Hals"), ("year", "1650")))
    found = Nearest(database).search(model, unit_vectors(1, 4)[0], 9, where=where)
    assert [match.id for match in found.matches] == [ids[2]]
