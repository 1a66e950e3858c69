"""URLs that lead to another picture than before: the new picture takes over what was known of the old one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection

from core.collection.metadata import add_metadata
from core.media.fetcher import Version


@dataclass(frozen=True)
class KnownVersion:
    """The picture that a URL leads to, and what its site said of the version of its file."""

    picture: UUID
    version: Version


def pictures_of(connection: Connection[Any], keys: Collection[bytes]) -> dict[bytes, UUID]:
    """The pictures in the collection that URLs with these keys lead to. Raises psycopg.Error."""
    return dict(
        connection.execute(
            """SELECT key, picture FROM sources JOIN pictures ON id = picture AND removed_at IS NULL
               WHERE key = ANY(%s)""",
            (list(keys),),
        ).fetchall()
    )


def replace_pictures(connection: Connection[Any], replaced: Mapping[UUID, UUID]) -> None:
    """Put the old pictures to which no URL leads any more in the bin, and give their title, tags and fields to the new
    ones; by old and new id. A new one to which other URLs lead, too, may be a placeholder, and replaces none. Raises
    psycopg.Error."""
    if not replaced:
        return
    gone = connection.execute(
        """UPDATE pictures SET removed_at = now() WHERE id = ANY(ARRAY(
               SELECT id FROM pictures JOIN unnest(%s::uuid[], %s::uuid[]) AS r(old, new) ON id = old
               WHERE removed_at IS NULL AND NOT EXISTS (SELECT FROM sources WHERE picture = old)
                     AND (SELECT count(*) FROM sources WHERE picture = new) = 1
               ORDER BY id FOR NO KEY UPDATE OF pictures))
           RETURNING id, title, tags, fields""",
        (list(replaced), list(replaced.values())),
    ).fetchall()
    if gone:
        add_metadata(connection, [(replaced[id], title, tags, fields) for id, title, tags, fields in gone])


def known_versions(connection: Connection[Any], keys: Collection[bytes]) -> dict[bytes, KnownVersion]:
    """What is known of the files behind URLs with these keys, if their pictures are in the collection. Raises
    psycopg.Error."""
    rows = connection.execute(
        """SELECT key, picture, v.url, etag, last_modified
           FROM validators v JOIN sources USING (key, picture) JOIN pictures ON id = picture AND removed_at IS NULL
           WHERE key = ANY(%s)""",
        (list(keys),),
    )
    return {key: KnownVersion(picture, Version(*rest)) for key, picture, *rest in rows}


def keep_versions(connection: Connection[Any], found: Mapping[bytes, KnownVersion]) -> None:
    """Store what sites said of the files behind URLs, by the keys of stored URLs. Raises psycopg.Error."""
    kept = [(key, known) for key, known in sorted(found.items()) if known.version]
    if found:
        connection.execute("DELETE FROM validators WHERE key = ANY(%s)", (sorted(found.keys() - {k for k, _ in kept}),))
    if kept:
        connection.execute(
            """INSERT INTO validators (key, picture, url, etag, last_modified)
               SELECT * FROM unnest(%s::bytea[], %s::uuid[], %s::text[], %s::text[], %s::text[])
               ON CONFLICT (key) DO UPDATE SET picture = excluded.picture, url = excluded.url, etag = excluded.etag,
                                               last_modified = excluded.last_modified""",
            (
                [key for key, _ in kept],
                [known.picture for _, known in kept],
                [known.version.url for _, known in kept],
                [known.version.etag for _, known in kept],
                [known.version.last_modified for _, known in kept],
            ),
        )
