"""A backup of one server restored into another one: the same collection, or nothing."""

from __future__ import annotations

import io
import json
import resource
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench.support.collection import fill, unit_vectors
from bench.support.host import free_port, short_folder
from core.collection.curation import Curation
from core.collection.store import Store
from core.database import migrations
from core.database.backup import back_up
from core.database.backup_format import MANIFEST
from core.database.catalog import read_tables
from core.database.connection import Database
from core.database.embedded_server import EmbeddedPostgres
from core.database.embedding_tables import Purpose
from core.database.migrations import migrate, own_migrations
from core.database.restore import restore
from core.duplicates.near_copies import pair
from core.errors import TransferError
from core.indexing.imports import Imports
from core.search.nearest import Nearest
from core.search.query_images import QueryImages
from core.search.saved_thresholds import SavedThresholds
from core.settings import Settings
from tests.support.databases import settings_for, temporary_database
from tests.support.pgbouncer import pgbouncer, pooled_url

DIM = 16
COUNT = 300


def silent(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def source(module_settings: Settings) -> Iterator[Database]:
    """A collection with something in every table."""
    database = Database(module_settings)
    database.open()
    store, ledger = Store(database), Imports(database)
    purposes: dict[str, Purpose] = {"test/first": "copy", "test/second": "content"}
    for name, purpose in purposes.items():
        model = store.use_model(name, DIM, "", purpose)
        ids = fill(database, model, unit_vectors(COUNT, DIM, len(name)), tags=[["red", "ö"], []])
    Curation(database).remove(ids[:3])
    with database.connection() as connection:
        connection.execute("UPDATE pictures SET phash = 7, title = E'a\\tb\\n\\\\N' WHERE id = ANY(%s)", (ids[5:9],))
        connection.execute("INSERT INTO unpaired SELECT id FROM pictures WHERE phash = 7")
        connection.execute("INSERT INTO thumbnails SELECT id, 'image/jpeg', '\\xff00ff', false FROM pictures")
        connection.execute("INSERT INTO files VALUES ('\\x01', 'a.jpg', decode(repeat('00ff', 2000000), 'hex'))")
    SavedThresholds(database).save(model, "picture", 0.8125, 64, "From 64 verdicts.")
    pair(database, 2)
    ledger.submit("First", [(b"k" * 32, "https://a.example/new.jpg")])
    gone = ledger.submit("Second", [(b"l" * 32, "https://a.example/other.jpg")]).id
    ledger.delete(gone)
    QueryImages(database, timedelta(days=7)).keep("query.jpg", b"some bytes")
    yield database
    database.close()


@pytest.fixture(scope="module")
def backup(source: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("backup") / "collection.backup"
    back_up(source, path, silent)
    return path


@pytest.fixture(scope="module")
def second_server() -> Iterator[EmbeddedPostgres]:
    with short_folder() as folder:
        server = EmbeddedPostgres(folder)
        server.start()
        yield server
        server.stop()


def rows(database: Database) -> dict[str, list[Any]]:
    """Every row of every table as text, in order."""
    with database.connection() as connection:
        found = {}
        for table in read_tables(connection):
            query = f"SELECT (t.*)::text FROM {table.name} t ORDER BY 1"
            found[table.name] = connection.execute(query.encode()).fetchall()
        return found


def matches(database: Database) -> list[Any]:
    [model] = [model for model in Store(database).models() if model.name == "test/second"]
    found = Nearest(database).search(model, unit_vectors(1, DIM, 5)[0], 20)
    saved = SavedThresholds(database).current(model, "picture")
    assert saved is not None
    return [saved.threshold, [(match.id, match.url, match.similarity) for match in found.matches]]


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_a_second_server_gets_the_same_collection(
    source: Database, backup: Path, second_server: EmbeddedPostgres, tmp_path: Path, pooled: bool
) -> None:
    with temporary_database(second_server, "template1") as url:
        port = free_port()
        with pgbouncer(second_server, port, secure=True):
            target = Database(
                settings_for(pooled_url(url, port, "require") if pooled else url, tmp_path), "lookalike test"
            )
            target.open()
            manifest = restore(target, backup, silent)
            assert rows(target) == rows(source)
            assert matches(target) == matches(source)
            assert manifest.rows("pictures") == 2 * COUNT
            again = tmp_path / "again.backup"
            back_up(target, again, silent)  # and back by the same way
            assert Imports(target).submit("Next", []).id == 3
            assert Store(target).use_model("test/third", 3).id == 3
            with pytest.raises(TransferError, match=r"not empty: it holds 600 pictures, .* 3 imports"):
                restore(target, again, silent)
            restore(target, again, silent, replace=True)
            assert rows(target) == rows(source)
            target.close()


def test_every_table_of_the_catalogue_is_known(database: Database) -> None:
    Store(database).use_model("test/first", DIM)
    with database.connection() as connection:
        connection.execute("CREATE TABLE data_llamaindex (id integer)")
        catalogue = connection.execute(
            """SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
               AND relname NOT LIKE 'procrastinate%' AND relname NOT IN ('schema_migrations', 'data_llamaindex')"""
        )
        tables = read_tables(connection)
        assert {table.name for table in tables} == {name for (name,) in catalogue}
        names = [table.name for table in tables]
        assert names.index("pictures") < names.index("copies")
        assert names.index("imports") < names.index("items")
        assert "host" not in next(table for table in tables if table.name == "sources").columns


@pytest.fixture
def target(settings: Settings) -> Iterator[Database]:
    """A collection with one import, which a failed restore leaves as it is."""
    database = Database(settings, "lookalike test")
    database.open()
    Imports(database).submit("Mine", [])
    before = rows(database)
    yield database
    assert rows(database) == before
    database.close()


def refused(target: Database, path: Path, sentence: str) -> None:
    with pytest.raises(TransferError, match=sentence):
        restore(target, path, silent, replace=True)


def damaged(whole: bytes, info: zipfile.ZipInfo, content: bytes) -> bytes:
    """An archive with one bit of a file turned: the first near its middle that its content depends on.

    Of repetitive content, some bits of the compressed form may be either.
    """
    start = info.header_offset + 30 + sum(struct.unpack_from("<HH", whole, info.header_offset + 26))
    for bit in range(4 * info.compress_size, 8 * info.compress_size):
        place = start + bit // 8
        changed = whole[:place] + bytes([whole[place] ^ 1 << bit % 8]) + whole[place + 1 :]
        try:
            with zipfile.ZipFile(io.BytesIO(changed)) as archive:
                if archive.read(info.filename) != content:
                    return changed
        except (zipfile.BadZipFile, zlib.error, EOFError):
            return changed
    raise AssertionError(info.filename)


def test_a_backup_cut_short_or_changed_is_refused(target: Database, backup: Path, tmp_path: Path) -> None:
    whole = backup.read_bytes()
    path = tmp_path / "broken.backup"
    for share in (0.0, 0.01, 0.5, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(target, path, "not a complete backup")
    path.write_bytes(b"\xff\xd8\xff" * 100)
    refused(target, path, "not a complete backup")
    with zipfile.ZipFile(backup) as archive:
        for info in archive.infolist():
            path.write_bytes(damaged(whole, info, archive.read(info)))
            refused(target, path, "is damaged")
    with pytest.raises(TransferError, match="cannot be read: No such file"):
        restore(target, tmp_path / "nowhere", silent)


def rewritten(backup: Path, path: Path, change: Any, without: str = "") -> Path:
    """A backup whose manifest says something else."""
    with zipfile.ZipFile(backup) as archive, zipfile.ZipFile(path, "w") as copy:
        for info in archive.infolist():
            data = archive.read(info)
            if info.filename == MANIFEST:
                told = json.loads(data)
                change(told)
                data = json.dumps(told).encode()
            if info.filename != without:
                copy.writestr(info.filename, data)
    return path


def test_a_backup_that_does_not_fit_is_refused(target: Database, backup: Path, tmp_path: Path) -> None:
    changes: list[tuple[Any, str]] = [
        (lambda told: told.update(format=2), "made by a newer Lookalike"),
        (lambda told: told["migrations"].append("999_future"), "made by a newer Lookalike"),
        (lambda told: told.update(kind="Something"), "is not a Lookalike backup"),
        (lambda told: told.pop("tables"), "is not a Lookalike backup"),
        (lambda told: told["tables"].pop(), "do not match the Lookalike version"),
        (lambda told: told["tables"].reverse(), "do not match the Lookalike version"),
        (lambda told: told["tables"][0].update(rows=12345), "do not match the Lookalike version"),
        (lambda told: told["tables"][0]["columns"].update(id="text"), "do not match the Lookalike version"),
        (lambda told: told["tables"][0].update(sha256="0" * 64), "is damaged"),
        (lambda told: told["tables"][0].update(name="procrastinate_jobs"), "is damaged"),
    ]
    for number, (change, sentence) in enumerate(changes):
        refused(target, rewritten(backup, tmp_path / f"{number}.backup", change), sentence)
    refused(target, rewritten(backup, tmp_path / "less.backup", lambda _: None, "tables/pictures.copy"), "is damaged")


def test_a_restore_waits_for_no_app_and_drops_none_of_its_tables(target: Database, backup: Path) -> None:
    with target.connection() as connection:
        connection.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
    refused(target, backup, "Lookalike is using this database")
    with target.connection() as connection:
        connection.execute("DELETE FROM procrastinate_workers")
    app = psycopg.connect(target.conninfo, application_name="lookalike")
    app.execute("SELECT count(*) FROM pictures")
    refused(target, backup, "Lookalike is using this database")
    app.close()
    stranger = psycopg.connect(target.conninfo, application_name="psql")
    stranger.execute("SELECT count(*) FROM pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.database.restore.LOCK_TIMEOUT", "300ms")
        refused(target, backup, "Lookalike is using this database")
    stranger.close()


def test_newer_tables_are_left_alone(target: Database, backup: Path, tmp_path: Path) -> None:
    with target.connection() as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('999_future')")
    refused(target, backup, "was made by a newer Lookalike")
    with pytest.raises(TransferError, match="was made by a newer Lookalike"):
        back_up(target, tmp_path / "new.backup", silent)
    assert list(tmp_path.iterdir()) == []


def test_an_older_backup_is_brought_up_to_date(
    source: Database, empty_database: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made when there was only the first migration."""
    old = Database(settings_for(empty_database, tmp_path))
    with monkeypatch.context() as past:
        past.setattr(migrations, "own_migrations", lambda: dict(list(own_migrations().items())[:1]))
        old.open()
        with old.connection() as connection:
            connection.execute(
                """INSERT INTO pictures (id, sha256, phash, width, height, bytes, mime)
                   VALUES (gen_random_uuid(), 'x', 1, 2, 3, 4, 'image/png')"""
            )
            connection.execute("INSERT INTO models (name, dim) VALUES ('ViT-B-32/openai', 4)")
            connection.execute("CREATE TABLE embeddings_1 (picture uuid PRIMARY KEY, embedding halfvec(4) NOT NULL)")
        back_up(old, tmp_path / "old.backup", silent)
    old.close()
    new = Database(settings, "lookalike test")
    new.open()
    restore(new, tmp_path / "old.backup", silent)
    with new.connection() as connection:
        assert connection.execute("SELECT count(*) FROM unpaired").fetchone() == (1,)
        assert connection.execute("SELECT setting FROM models").fetchone() == ("ViT-B-32/openai",)
        assert migrate(connection) == []
    new.close()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A system that refuses to write more into a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_backup_that_cannot_be_written_leaves_nothing(source: Database, tmp_path: Path) -> None:
    with files_of_at_most(8_000), pytest.raises(TransferError, match=r"cannot be written: File too large"):
        back_up(source, tmp_path / "new.backup", silent)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(TransferError, match="already exists"):
        back_up(source, tmp_path / "mine", silent)
    assert (tmp_path / "mine").read_text() == "precious"
    with pytest.raises(TransferError, match="No such file or directory"):
        back_up(source, tmp_path / "nowhere" / "new.backup", silent)


def test_a_backup_is_of_one_moment(source: Database, settings: Settings, tmp_path: Path) -> None:
    """What comes while it is made is in none of its tables."""
    ledger, tables = Imports(source), rows(source)

    def disturb(*_: object) -> None:
        ledger.submit("Meanwhile", [(b"m" * 32, "https://a.example/m.jpg")])

    back_up(source, tmp_path / "new.backup", disturb)
    target = Database(settings, "lookalike test")
    target.open()
    restore(target, tmp_path / "new.backup", silent)
    assert rows(target) == tables
    target.close()
