"""Tables that LlamaIndex's PGVectorStore left in the database -> the URLs in them."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import psycopg
from psycopg import Connection, sql

from core.database.connection import Database
from core.errors import DatabaseError, UrlError
from core.media.urls import clean, key_of

logger = logging.getLogger(__name__)

MAX_TABLES = 5
"""Tables offered at once."""

PEEK = 1_000
"""New URLs counted before a table is offered, because the page waits for the count."""

MAX_URLS = 100_000
"""URLs imported from a table at once; it is offered again for the rest."""

STATEMENT_TIMEOUT = "3s"
"""How long a statement may take, because the page waits for it."""

_KEYS = ["url", "image_url", "image", "file_url", "source", "src", "link", "file_path", "image_path"]
"""Metadata keys in which documents store the URL of their picture, the likeliest first. The guide's use "url"."""

# By their columns, so that a table with a custom name is found, too. TypeScript (llamaindex 0.3 and later):
# public.llamaindex_embedding unless told otherwise. Python (llama-index-vector-stores-postgres): public.data_NAME.
_FIND = """
    SELECT nspname, relname, attname FROM pg_class c
    JOIN pg_namespace n ON n.oid = relnamespace
    JOIN pg_attribute m ON m.attrelid = c.oid AND atttypid IN ('json'::regtype, 'jsonb'::regtype)
    JOIN LATERAL (
        SELECT array_agg(attname::text) AS columns FROM pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS others ON true
    WHERE relkind IN ('r', 'p')
      AND (attname = 'metadata' AND columns @> ARRAY['external_id', 'collection', 'document', 'embeddings']
           OR attname = 'metadata_' AND columns @> ARRAY['text', 'node_id', 'embedding'])
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    ORDER BY nspname, relname LIMIT %s"""

_URLS = sql.SQL("""
    SELECT best.url FROM {table} AS rows, LATERAL (
        SELECT value AS url FROM unnest(%(keys)s::text[]) WITH ORDINALITY AS keys (key, rank), LATERAL (
            SELECT rows.{metadata} ->> key AS value) AS found
        WHERE value ~* '^https?://' ORDER BY rank LIMIT 1) AS best
    WHERE NOT EXISTS (SELECT FROM items JOIN imports ON id = import AND deleted_at IS NULL WHERE items.url = best.url)
    LIMIT %(limit)s""")

_NEW = """
    SELECT key FROM unnest(%s::bytea[]) AS asked (key)
    WHERE NOT EXISTS (SELECT FROM sources WHERE sources.key = asked.key)
      AND NOT EXISTS (
          SELECT FROM items JOIN imports ON id = import AND deleted_at IS NULL WHERE items.key = asked.key)"""


@dataclass(frozen=True)
class Offer:
    """A LlamaIndex table with URLs that are in no import yet: `new` of them, or `more` than that."""

    schema: str
    table: str
    column: str
    new: int
    more: bool

    @property
    def name(self) -> str:
        """The table's name for display."""
        return self.table if self.schema == "public" else f"{self.schema}.{self.table}"


def find_offers(database: Database) -> list[Offer]:
    """The LlamaIndex tables that have new URLs.

    A table that is not readable, locked or malformed is skipped. Raises DatabaseError only when the database is
    unavailable.
    """
    with database.connection() as connection:
        tables = connection.execute(_FIND, (MAX_TABLES,)).fetchall()
    offers = list[Offer]()
    for schema, table, column in tables:
        try:
            with database.connection() as connection:
                connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
                read, urls = _new_urls(connection, schema, table, column, PEEK)
        except psycopg.Error as error:
            logger.info("the LlamaIndex table %s.%s could not be read: %s", schema, table, error)
            continue
        if urls:
            offers.append(Offer(schema, table, column, len(urls), more=read == PEEK))
    return offers


def take_table(database: Database, offer: Offer) -> list[tuple[bytes, str]]:
    """The new URLs in an offered table, each as (identity key, URL). Raises DatabaseError."""
    try:
        with database.connection() as connection:
            return _new_urls(connection, offer.schema, offer.table, offer.column, MAX_URLS)[1]
    except psycopg.Error as error:
        logger.warning("the LlamaIndex table %s could not be read: %s", offer.name, error)
        raise DatabaseError(f"The table {offer.name} can no longer be read.") from error


def _new_urls(
    connection: Connection, schema: str, table: str, column: str, limit: int
) -> tuple[int, list[tuple[bytes, str]]]:
    """How many URLs were read, at most `limit`, and those among them that are new."""
    query = _URLS.format(table=sql.Identifier(schema, table), metadata=sql.Identifier(column))
    found = connection.execute(query, {"keys": _KEYS, "limit": limit}).fetchall()
    urls = dict[bytes, str]()
    for (text,) in found:
        try:
            url = clean(text)
        except UrlError:
            continue
        urls.setdefault(key_of(url), url)
    new = {key for (key,) in connection.execute(_NEW, (list(urls),))}
    return len(found), [(key, url) for key, url in urls.items() if key in new]
