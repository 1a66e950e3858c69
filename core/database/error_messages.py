"""Why a database cannot be reached or used, in sentences; none of them contains a password."""

from __future__ import annotations

import re

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from core.errors import DatabaseError

MISTYPED = (
    "POSTGRES_URL cannot be read; it should look like postgresql://user:password@host:5432/database, with special "
    "characters of the password written as %40 for @, %3A for :, %2F for / and %25 for %."
)

REASONS = (
    (
        "failed to resolve host|could not translate host name",
        "The database's host {host} is unknown; check it in POSTGRES_URL, and this computer's network.",
    ),
    (
        "password authentication failed|no password supplied|SASL authentication failed|empty password",
        "The database at {place} refused the user name or the password; check both in POSTGRES_URL.",
    ),
    (
        'database ".*" does not exist|no such database',
        "The server at {place} has no database called {database}; create it, or check POSTGRES_URL.",
    ),
    (
        'role ".*" does not exist|no such user',
        "The server at {place} has no user called {user}; check POSTGRES_URL.",
    ),
    (
        "no pg_hba.conf entry",
        "The database at {place} does not accept connections from this computer; ask its owner to allow them, "
        "or add ?sslmode=require to POSTGRES_URL.",
    ),
    (
        "Network is unreachable|No route to host|Cannot assign requested address",
        "The database at {place} cannot be reached from this network; if its host has IPv6 only, use its pooler.",
    ),
    (
        "Connection refused|No such file or directory",
        "No database answers at {place}; start it, or check host and port in POSTGRES_URL.",
    ),
    (
        "timeout expired|timed out",
        "The database at {place} did not answer in time; check that it runs and that no firewall is in between.",
    ),
    (
        "too many clients|remaining connection slots|no more connections allowed",
        "All connections of the database at {place} are in use; close other programs, or raise its limit.",
    ),
    (
        "starting up|shutting down|recovery mode|not yet accepting",
        "The database at {place} is just starting or stopping; try again in a moment.",
    ),
    (
        "SSL|certificate",
        "No secure connection to the database at {place} is possible; check sslmode in POSTGRES_URL.",
    ),
)
"""Messages of libpq, Postgres and PgBouncer when a connection fails, and our sentences for them."""

UNREACHABLE = ("08", "57P", "53300")
"""How the SQLSTATE of an outage begins: connection lost, server stopping or starting, too many connections."""


def check_url(url: str) -> None:
    """Raise DatabaseError if a Postgres URL is malformed, before any part of it reaches a message."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        if unknown := re.search(r'invalid URI query parameter: "(\w+)"', str(error)):
            raise DatabaseError(
                f"POSTGRES_URL has the parameter {unknown[1]}, which Postgres does not know; remove it there."
            ) from None
        raise DatabaseError(MISTYPED) from None
    # An unescaped @, : or / in the password ends it early, and its rest becomes part of host, port or database.
    split_password = any("@" in str(parts.get(name) or "") for name in ("host", "port", "dbname"))
    if split_password or not re.fullmatch(r"[\d,]*", str(parts.get("port") or "")):
        raise DatabaseError(MISTYPED)


def refusal(error: psycopg.Error, url: str) -> DatabaseError:
    """The error for a connection that could not be made."""
    parts = conninfo_to_dict(url)
    host = str(parts.get("host") or "localhost")
    place = host if host.startswith("/") else f"{host}:{parts.get('port') or 5432}"
    for pattern, sentence in REASONS:
        if re.search(pattern, str(error)):
            return DatabaseError(
                sentence.format(host=host, place=place, database=parts.get("dbname"), user=parts.get("user"))
            )
    last_line = str(error).strip().rpartition("\n")[2].strip()
    return DatabaseError(f"The database at {place} cannot be reached: {last_line}")


def outage(error: psycopg.OperationalError) -> DatabaseError | None:
    """The error for a statement that failed because the database is unreachable or full; None for other failures."""
    if isinstance(error, errors.DiskFull):
        if "shared memory" in str(error):
            return DatabaseError(
                "The database ran out of shared memory; give its container more, as with docker run --shm-size=1g."
            )
        return DatabaseError("The disk of the database is full; free some space there and try again.")
    if error.sqlstate is None or error.sqlstate.startswith(UNREACHABLE):
        return DatabaseError("The connection to the database was lost; try again in a moment.")
    return None
