"""Tables as the two libraries make them, by plain SQL, in a real Postgres."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from psycopg import sql

from core.database.connection import Database
from core.indexing.claims import Claims, Outcome
from core.indexing.imports import Imports
from core.indexing.llamaindex import PEEK, find_offers, take_table
from core.media.urls import key_of

VECTOR = "[1,0,0]"
TYPESCRIPT = """CREATE TABLE {} (
    id uuid DEFAULT gen_random_uuid() PRIMARY KEY, external_id varchar, collection varchar, document text,
    metadata jsonb DEFAULT '{{}}', embeddings vector(3))"""
PYTHON = """CREATE TABLE {} (
    id bigserial PRIMARY KEY, text varchar NOT NULL, metadata_ json, node_id varchar, embedding vector(3))"""


def addresses(count: int) -> list[str]:
    return [f"https://museum.example/{number}.jpg" for number in range(count)]


def typescript_table(database: Database, metadata: list[Any], *name: str) -> None:
    table = sql.Identifier(*(name or ("llamaindex_embedding",)))
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL(TYPESCRIPT).format(table))
        cursor.executemany(
            sql.SQL(
                "INSERT INTO {} (external_id, collection, document, metadata, embeddings) VALUES ('', '', '', %s, %s)"
            ).format(table),
            [(None if entry is None else json.dumps(entry), VECTOR) for entry in metadata],
        )


def python_table(database: Database, metadata: list[Any], name: str = "data_llamaindex") -> None:
    with database.connection() as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL(PYTHON).format(sql.Identifier(name)))
        cursor.executemany(
            sql.SQL("INSERT INTO {} (text, metadata_, node_id, embedding) VALUES ('', %s, 'n', %s)").format(
                sql.Identifier(name)
            ),
            [(None if entry is None else json.dumps(entry), VECTOR) for entry in metadata],
        )


def test_nothing_is_offered_where_there_is_no_such_table(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("CREATE TABLE notes (id int, metadata jsonb)")
        connection.execute('INSERT INTO notes VALUES (1, \'{"url": "https://a.example/1.jpg"}\')')
    assert find_offers(database) == []


def test_the_guides_table_is_offered_with_its_addresses(database: Database) -> None:
    rows = [{"url": url, "create_date": "2024-06-01"} for url in addresses(20)]
    typescript_table(database, [*rows, {}, None, {"url": ""}, {"url": 7}, [1], {"title": "no address"}, rows[0]])
    (offer,) = find_offers(database)
    assert (offer.name, offer.new, offer.more) == ("llamaindex_embedding", 20, False)
    assert take_table(database, offer) == [(key_of(url), url) for url in addresses(20)]


def test_pythons_table_is_offered(database: Database) -> None:
    python_table(database, [{"url": url, "_node_content": "{}"} for url in addresses(20)] + [{"_node_type": "x"}, None])
    (offer,) = find_offers(database)
    assert (offer.name, offer.new) == ("data_llamaindex", 20)
    assert [url for _, url in take_table(database, offer)] == addresses(20)


def test_tables_under_other_names_are_found(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("CREATE SCHEMA old")
    typescript_table(database, [{"url": url} for url in addresses(2)], "old", "My Pictures")
    python_table(database, [{"url": url} for url in addresses(3)], "data_photos")
    assert [(offer.name, len(take_table(database, offer))) for offer in find_offers(database)] == [
        ("old.My Pictures", 2),
        ("data_photos", 3),
    ]


@pytest.mark.parametrize(
    ("metadata", "url"),
    [
        ({"image": "https://a.example/x.jpg"}, "https://a.example/x.jpg"),
        ({"file_url": "HTTP://a.example/x.jpg"}, "http://a.example/x.jpg"),
        ({"source": "https://a.example/x.jpg", "url": "/local/x.jpg"}, "https://a.example/x.jpg"),
        ({"source": "https://a.example/page", "url": "https://a.example/x.jpg"}, "https://a.example/x.jpg"),
    ],
)
def test_the_likeliest_key_that_holds_a_web_address_counts(
    database: Database, metadata: dict[str, str], url: str
) -> None:
    typescript_table(database, [metadata])
    (offer,) = find_offers(database)
    assert [key for key, _ in take_table(database, offer)] == [key_of(url)]


def test_only_what_was_not_asked_for_is_offered(database: Database) -> None:
    ledger = Imports(database)
    typescript_table(database, [{"url": url} for url in addresses(5)])
    import_id = ledger.submit("some", [(key_of(url), url) for url in addresses(3)]).id
    (offer,) = find_offers(database)
    assert [url for _, url in take_table(database, offer)] == addresses(5)[3:]
    items = Claims(database).claim(import_id, 9, timedelta(minutes=1))
    with database.connection() as connection:  # what failed was asked for all the same
        Claims(database).record(connection, [Outcome(item, "failed", reason="Gone.") for item in items])
    ledger.submit("rest", take_table(database, offer))
    assert find_offers(database) == []


def test_a_deleted_import_is_offered_again(database: Database) -> None:
    ledger = Imports(database)
    typescript_table(database, [{"url": url} for url in addresses(2)])
    (offer,) = find_offers(database)
    ledger.delete(ledger.submit("some", take_table(database, offer)).id)
    assert find_offers(database) == [offer]


def test_a_table_that_may_not_be_read_is_passed_over(database: Database) -> None:
    typescript_table(database, [{"url": url} for url in addresses(2)])
    python_table(database, [{"url": url} for url in addresses(2)])
    with database.connection() as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute("CREATE ROLE restricted")
        connection.execute("GRANT SELECT ON sources, items, imports, data_llamaindex TO restricted")
        connection.execute(sql.SQL("ALTER DATABASE {} SET role = restricted").format(name))
    try:
        database.pool.drain()  # connections from now on have the role
        assert [offer.name for offer in find_offers(database)] == ["data_llamaindex"]
    finally:
        with database.connection() as connection:
            connection.execute("SET ROLE NONE")
            connection.execute("DROP OWNED BY restricted")
            connection.execute("DROP ROLE restricted")


def test_a_table_that_holds_nonsense_hides_no_other(database: Database) -> None:
    python_table(database, [{"url": "https://a.example/\0.jpg"}], "data_bad")  # valid as json, but not as text
    typescript_table(database, [{"url": url} for url in addresses(2)])
    assert [offer.name for offer in find_offers(database)] == ["llamaindex_embedding"]


def test_a_locked_table_does_not_hold_up_the_page(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.indexing.llamaindex.STATEMENT_TIMEOUT", "100ms")
    typescript_table(database, [{"url": url} for url in addresses(2)])
    with database.connection() as connection:
        connection.execute("LOCK TABLE llamaindex_embedding IN ACCESS EXCLUSIVE MODE")
        assert find_offers(database) == []


def test_a_long_table_is_only_peeked_into_and_taken_whole(database: Database) -> None:
    typescript_table(database, [{"url": url} for url in addresses(PEEK + 500)])
    (offer,) = find_offers(database)
    assert (offer.new, offer.more) == (PEEK, True)
    urls = take_table(database, offer)
    assert len(urls) == PEEK + 500
    Imports(database).submit("all but the last", urls[:-1])
    (rest,) = find_offers(database)
    assert (rest.new, rest.more) == (1, False)
