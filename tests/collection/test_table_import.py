"""A collection out to a file and into another collection, and files that somebody broke."""

from __future__ import annotations

import csv
import io
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench.support.collection import fill, unit_vectors
from bench.support.data import some_photos
from bench.support.webserver import WebServer
from core.collection.curation import Curation
from core.collection.spreadsheets import formula_safe, to_csv, without_apostrophe
from core.collection.store import Store
from core.collection.table_export import Format, export_table
from core.collection.table_import import ImportedTable, import_table
from core.database.connection import Database
from core.database.embedded_server import EmbeddedPostgres
from core.database.embedding_tables import Model
from core.engine import Engine
from core.errors import TransferError
from core.indexing.imports import Imports
from core.search.nearest import Nearest
from core.settings import Settings
from tests.conftest import client_of
from tests.support.databases import settings_for, temporary_database

DIM = 16
COUNT = 1_203
NAME = "test/first"


def jpeg(shade: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade % 256, 90, 160)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def source(postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with temporary_database(postgres, template) as url:
        yield from _filled(Database(settings_for(url, tmp_path_factory.mktemp("data"))))


def _filled(database: Database) -> Iterator[Database]:
    database.open()
    model = Store(database).use_model(NAME, DIM)
    ids = sorted(fill(database, model, unit_vectors(COUNT, DIM), tags=[["red", "-1 ö"], [], ["=SUM(A1)"]]))
    with database.connection() as connection:
        connection.execute("UPDATE pictures SET sha256 = uuid_send(id) || '0123456789abcdef'")
        connection.execute("INSERT INTO thumbnails SELECT id, 'image/jpeg', %s, false FROM pictures", (jpeg(),))
        for id, title in zip(ids, ["=1+1", "'=quoted", '"A", b;\nc', "@x", " ", "Ölbild 雪"], strict=False):
            connection.execute("UPDATE pictures SET title = %s WHERE id = %s", (title.strip(), id))
        connection.execute("""UPDATE pictures SET fields = '{"Artist": "-Ä", "=x": "1, 2"}' WHERE id = %s""", (ids[3],))
        connection.execute(
            """INSERT INTO sources (key, url, picture, added_at)
               SELECT sha256(url::bytea), url, %s, '2020-01-02'::timestamptz - n * interval '1 day'
               FROM (VALUES (0, 'https://b.example/?b=0'), (1, 'https://b.example/?b=1')) more (n, url)""",
            (ids[7],),
        )
    Curation(database).remove(ids[-3:])
    yield database
    database.close()


@pytest.fixture
def target(settings: Settings) -> Iterator[Database]:
    database = Database(settings)
    database.open()
    yield database
    database.close()


def model_of(database: Database) -> Model:
    return Store(database).use_model(NAME, DIM)


def exported(database: Database, kind: Format, **choices: bool) -> bytes:
    return b"".join(export_table(database, model_of(database), kind, **choices))


def state(database: Database) -> list[Any]:
    """All that a file holds, of every picture in the collection."""
    with database.connection() as connection:
        return connection.execute(
            f"""SELECT p.id, sha256, phash, width, height, bytes, p.mime, title, tags, fields, indexed_at, image,
                       embedding::text, ARRAY(SELECT url FROM sources WHERE picture = p.id ORDER BY added_at, url)
                FROM pictures p LEFT JOIN thumbnails t ON t.picture = id
                     LEFT JOIN embeddings_{model_of(database).id} e ON e.picture = id
                WHERE removed_at IS NULL ORDER BY id""".encode()
        ).fetchall()


def read_back(database: Database, data: bytes, model: Model | None = None, name: str = "my.file") -> ImportedTable:
    return import_table(database, model or model_of(database), name, io.BytesIO(data))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_empty_collection_becomes_the_same(source: Database, target: Database, kind: Format) -> None:
    imported = import_table(target, None, "other", io.BytesIO(exported(source, kind)))
    assert (imported.added, imported.waiting, imported.to_embed, imported.note_count) == (COUNT - 3, 0, 0, 0)
    assert state(target) == state(source)
    assert exported(target, kind) == exported(source, kind)
    assert imported.import_id is not None
    assert Imports(target).read(imported.import_id).counts["indexed"] == COUNT - 3
    query = unit_vectors(1, DIM, 3)[0]
    found, expected = (Nearest(one).search(model_of(one), query, 50).matches for one in (target, source))
    assert found == expected
    again = read_back(target, exported(source, kind))
    assert (again.added, again.already_there) == (0, COUNT - 3)
    assert state(target) == state(source)
    assert Imports(target).delete(imported.import_id) == 0  # the second import holds them too
    assert again.import_id is not None


def test_a_full_collection_gains_and_loses_nothing(source: Database, target: Database) -> None:
    first, second = state(source)[:2]
    read_back(target, exported(source, "parquet"))
    with target.connection() as connection:
        connection.execute("UPDATE pictures SET title = 'Mine', tags = '{mine,RED}' WHERE id = %s", (first[0],))
        connection.execute("UPDATE pictures SET removed_at = now() WHERE id = %s", (second[0],))
    imported = read_back(target, exported(source, "csv"))
    assert (imported.added, imported.already_there) == (1, COUNT - 4)
    with target.connection() as connection:
        [(title, tags)] = connection.execute("SELECT title, tags FROM pictures WHERE id = %s", (first[0],)).fetchall()
    assert title == "Mine"
    assert tags[:2] == ["mine", "RED"]
    assert {tag.casefold() for tag in tags} == {"mine", "red", *(tag.casefold() for tag in first[8])}


def test_what_a_file_lacks_is_told(source: Database, target: Database) -> None:
    imported = read_back(target, exported(source, "csv", thumbnails=True, embeddings=False))
    assert (imported.added, imported.to_embed) == (COUNT - 3, COUNT - 3)
    assert "are being embedded in the background" in imported.summary
    assert Store(target).missing(model_of(target)) == COUNT - 3


def test_the_name_of_a_copy_model_gives_no_model_to_search_with(source: Database, target: Database) -> None:
    Store(target).use_model(NAME, DIM, "", "copy")
    imported = import_table(target, None, "other", io.BytesIO(exported(source, "csv")))
    assert (imported.added, imported.to_embed) == (COUNT - 3, COUNT - 3)
    assert Store(target).models() == []


def test_a_file_without_thumbnails_is_fetched(engine: Engine) -> None:
    """Through an ordinary import, after which tags, title and fields are there."""
    photos = some_photos(3)
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(photos)}) as site:
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(["urls", "title", "tags", "fields"])
        rows.writerow([f"{site.url('/0.jpg')}\n{site.url('/lost.jpg')}", "Zero", "a\nb", '{"Artist": "Ä"}'])
        rows.writerow([site.url("/1.jpg"), "'=One", "", ""])
        rows.writerow(["no address", "Lost", "", ""])
        imported = engine.import_collection("list.csv", io.BytesIO(out.getvalue().encode()))
        assert (imported.added, imported.waiting, imported.left_out) == (0, 2, 1)
        assert [number for number, _ in imported.notes] == [4, 4]
        assert imported.import_id is not None
        for _ in range(300):
            if (found := engine.imports.read(imported.import_id)).done:
                break
            time.sleep(0.1)
        assert found.counts == {"waiting": 0, "indexed": 2, "already_there": 0, "failed": 1}
    with engine.database.connection() as connection:
        told = connection.execute("SELECT title, tags, fields FROM pictures ORDER BY title DESC").fetchall()
    assert told == [("Zero", ["a", "b"], {"Artist": "Ä"}), ("=One", [], {})]


def cells(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_no_cell_is_a_formula_and_spreadsheets_read_them(source: Database) -> None:
    rows = cells(exported(source, "csv"))
    assert len(rows) == COUNT - 3
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())
    assert {"'=1+1", "''=quoted", "'@x", "Ölbild 雪"} <= {row["title"] for row in rows}
    frame = pd.read_parquet(io.BytesIO(exported(source, "parquet")))
    assert np.linalg.norm(np.stack(frame["embedding"].tolist()), axis=1) == pytest.approx(1, abs=1e-3)
    assert frame["model"].unique().tolist() == [NAME]


@given(st.text())
def test_a_neutralised_cell_comes_back(text: str) -> None:
    assert without_apostrophe(formula_safe(text)) == text


def test_numbers_stay_numbers_and_text_is_never_a_formula() -> None:
    table = pd.DataFrame({"text": ["=1", "a=b", "'-x", "NA"], "n": [-1, 2, 3, 4], "share": [-0.5, 0.25, 1, 0]})
    assert to_csv(table, {"share": 2}).decode("utf-8-sig").split("\r\n") == [
        *("text,n,share", "'=1,-1,-0.50", "a=b,2,0.25", "''-x,3,1.00", "NA,4,0.00", ""),
    ]
    assert to_csv(table[:1], begins=False) == b"'=1,-1,-0.5\r\n"


def altered(source: Database, change: Any) -> bytes:
    """The first ten pictures as CSV, the fourth row changed."""
    rows = cells(exported(source, "csv"))[:10]
    change(rows[3])
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def vector(*values: float) -> str:
    return b64encode(np.array(values, "<f2").tobytes()).decode()


@pytest.mark.parametrize(
    ("cell", "value", "sentence"),
    [
        ("embedding", vector(*[0.25] * 12, 0.5), r"has 13 dimensions, but those of test/first have 16"),
        ("embedding", vector(*[float("nan")] * 16), "a value that is not a finite number"),
        ("embedding", vector(*[1.0] * 16), "does not have unit length"),
        ("embedding", "%%%", "cannot be read"),
        ("model", "openai/ViT", "was made by openai/ViT, but this collection uses test/first"),
        ("id", str(UUID(int=5)), "id does not match the SHA-256"),
        ("sha256", "12", "cannot be read|is impossible"),
        ("phash", "red", "cannot be read"),
        ("width", "-3", "is impossible"),
        ("mime", "text/html", "is impossible"),
        ("thumbnail", "PGh0bWw+", "thumbnail is not a usable picture"),
        ("fields", "[[[", "not a JSON object"),
        ("tags", "x" * 60, "A tag was left out"),
    ],
)
def test_a_bad_cell_is_noted_and_the_others_are_imported(
    source: Database, target: Database, cell: str, value: str, sentence: str
) -> None:
    imported = read_back(target, altered(source, lambda row: row.update({cell: value})))
    assert imported.rows == 10
    [(number, note)] = imported.notes
    assert number == 5
    assert re.search(sentence, note)
    assert imported.left_out == 0
    assert imported.added + imported.waiting == 10
    assert len(state(target)) == imported.added >= 9


def test_broken_lines_of_csv(source: Database, target: Database) -> None:
    lines = exported(source, "csv", thumbnails=False, embeddings=False).replace(b"\xef\xbb\xbf", b"")
    text = lines.split(b"\r\n")
    start = next(number for number, line in enumerate(text) if line.count(b'"') % 2 == 0 and number > 20)
    text[start + 1 : start + 1] = [b"a,b,c", b"\xff\xfe\x00,,,,,,,,,,,"]
    imported = read_back(target, b"\r\n".join(text))
    assert imported.waiting == COUNT - 3
    assert imported.left_out == 2
    assert any("has 3 cells instead of 12" in sentence for _, sentence in imported.notes)
    good = b"".join(b"https://c.example/%d.jpg,x\r\n" % number for number in range(3))
    open_ended = read_back(target, b"urls,title\r\n" + good + b'"never closed,y\r\n' + good)
    assert any("no closing one" in sentence for _, sentence in open_ended.notes)
    assert open_ended.waiting == 3


def test_a_semicolon_and_mixed_columns_are_read(source: Database, target: Database) -> None:
    data = b"title;note;urls\r\nOne;x;https://a.example/1.jpg\r\n;;https://a.example/2.jpg\r\n"
    assert read_back(target, data).waiting == 2


def test_a_parquet_cut_short_or_of_strange_types(source: Database, target: Database) -> None:
    whole = exported(source, "parquet")
    with pytest.raises(TransferError, match="incomplete or damaged"):
        read_back(target, whole[:-100])
    with pytest.raises(TransferError, match="incomplete or damaged"):
        read_back(target, whole[: len(whole) // 2])
    place = len(whole) * 2 // 3
    damaged = read_back(target, whole[:place] + bytes(200) + whole[place + 200 :])
    assert (damaged.left_out, damaged.added) == (1, 1000) or damaged.note_count > 0
    strange = io.BytesIO()
    table = pa.table({"urls": [1, 2], "title": [b"x", b"y"], "thumbnail": [1.5, 2.5], "tags": [{"a": 1}, None]})
    pq.write_table(table, strange)
    assert read_back(target, strange.getvalue()).left_out == 2


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"a,b\n1,2\n", "has no column “urls”"),
        (b"urls,title\n", "has no pictures in it"),
        (b"\xff\xd8\xff\xe0" * 50, "has no column “urls”"),
    ],
)
def test_what_is_no_collection(target: Database, data: bytes, sentence: str) -> None:
    with pytest.raises(TransferError, match=sentence):
        read_back(target, data)
    assert Imports(target).latest() == []


def test_the_call_gives_the_collection(source: Database, engine: Engine) -> None:
    client = client_of(engine)
    answer = client.get("/api/collection?format=parquet&thumbnails=1&embeddings=1")
    assert answer.headers["content-disposition"] == 'attachment; filename="collection.parquet"'
    assert pq.read_table(io.BytesIO(answer.content)).num_rows == engine.store.count()
    assert client.get("/api/collection?format=xlsx").json() == {"error": "'format' must be csv or parquet."}
    assert client.get("/api/collection").text.startswith("\ufeffid,urls,title,tags")
