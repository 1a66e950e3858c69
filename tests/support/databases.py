"""Databases of the session's server, one for each test that asks, and the settings to use them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from pydantic import SecretStr

from bench.support.data import MODEL_SETTING
from core.database.embedded_server import EmbeddedPostgres
from core.settings import Settings


def database_url(server: EmbeddedPostgres, name: str) -> str:
    """The URL of a database of that server."""
    return f"postgresql://postgres@/{name}?host={quote(str(server.pgdata), safe='')}"


@contextmanager
def temporary_database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    """The URL of a copy of the database `template`, which is dropped in the end."""
    name = f"test_{uuid.uuid4().hex}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
        yield database_url(server, name)
        connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


def settings_for(url: str, data_dir: Path) -> Settings:
    """Settings for that database, with the small model, that may fetch from this machine."""
    return Settings(
        _env_file=None,
        postgres_url=SecretStr(url),
        data_dir=data_dir,
        allow_private_urls=True,
        max_file_mb=20,
        clip_model=MODEL_SETTING,
    )
