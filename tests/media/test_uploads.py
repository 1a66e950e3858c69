"""Dropped files and ZIPs: what is found in them, and how they become pictures whose bytes are kept."""

from __future__ import annotations

import hashlib
import io
import struct
import time
import tracemalloc
import uuid
import zipfile
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.testclient import TestClient

from bench.support.data import some_photos
from bench.support.webserver import WebServer
from core.engine import Engine
from core.errors import NotFoundError
from core.indexing.imports import Import
from core.media import uploads as files
from core.media.uploads import DroppedFile, Findings, Upload, base_name, find_pictures, read_files
from core.media.urls import key_of

PHOTOS = some_photos(12)
MAX_BYTES = 1_000_000


def packed(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


SMALL_ZIP = packed({"a.gif": b"GIF89a" + bytes(60), "b/ä.bmp": b"BM" + bytes(range(60)), "c.txt": b"text"})


def photo(number: int) -> bytes:
    return PHOTOS[number].read_bytes()


def look(*uploads: Upload) -> Findings:
    return find_pictures(uploads, MAX_BYTES)


def refusal(*uploads: Upload) -> str:
    """The one sentence about uploads that hold nothing to index."""
    found = look(*uploads)
    assert not found.pictures
    (left_out,) = found.refused
    return left_out.reason


def test_photos_are_found_and_read_again() -> None:
    uploads = [Upload(path.name, path.read_bytes()) for path in PHOTOS[:3]]
    found = look(*uploads)
    assert [picture.key for picture in found.pictures] == [hashlib.sha256(photo(n)).digest() for n in range(3)]
    assert [file.data for file in read_files(uploads, found.pictures)] == [photo(n) for n in range(3)]
    assert (found.repeats, found.refused, found.hidden) == ([], [], 0)


def test_a_zip_is_looked_through_folders_and_all() -> None:
    junk = {"__MACOSX/._a.jpg": b"x", ".DS_Store": b"x", "b/Thumbs.db": b"x", "read me.txt": b"Hello.", "empty/": b""}
    photos = {"a.jpg": photo(0), "b/deep/c.jpg": photo(1), "b\\d.jpg": photo(2), "again.jpg": photo(0)}
    uploads = [Upload("box.zip", packed({**junk, **photos})), Upload("loose.jpg", photo(3))]
    found = look(*uploads)
    names = ["box.zip/a.jpg", "box.zip/b/deep/c.jpg", "box.zip/b/d.jpg", "loose.jpg"]
    assert [picture.name for picture in found.pictures] == names
    assert [(file.name, file.data) for file in read_files(uploads, found.pictures)] == [
        (name, photo(n)) for n, name in enumerate(names)
    ]
    assert found.hidden == 3
    assert [(out.name, out.reason) for out in found.repeats] == [
        ("box.zip/again.jpg", "The same file as box.zip/a.jpg.")
    ]
    assert [(out.name, out.reason) for out in found.refused] == [
        ("box.zip/read me.txt", "This is a text, not a picture.")
    ]


@pytest.mark.parametrize(
    ("upload", "sentence"),
    [
        (Upload("notes.txt", b"Only text."), "This is a text, not a picture."),
        (Upload("empty.jpg", b""), "an empty file"),
        (Upload("big.jpg", b"\xff\xd8\xff" + bytes(MAX_BYTES)), "The file has 1.0 MB, and MAX_FILE_MB allows 1"),
        (Upload("page.jpg", b"<!doctype html><p>Hello"), "a web page"),
        (Upload("drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "SVG drawing"),
        (Upload("list.xlsx", packed({"xl/media/image1.png": photo(0)})), "ZIP or office file"),
        (Upload("cut.zip", packed({"a.jpg": photo(0)})[:-30]), "ZIP cannot be read"),
        (Upload("not.zip", b"This is no ZIP."), "ZIP cannot be read"),
        (Upload("empty.zip", b""), "ZIP cannot be read"),
        (Upload("nested.zip", packed({"inner.zip": packed({"a.jpg": photo(0)})})), "Unpack it first."),
        (Upload("slow.zip", packed({"a.jpg": photo(0)}, zipfile.ZIP_LZMA)), "compression method is not supported"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(upload: Upload, sentence: str) -> None:
    assert sentence in refusal(upload)


def test_a_locked_zip_is_refused() -> None:
    data = packed({"a.jpg": photo(0)})
    directory = data.index(b"PK\x01\x02")
    locked = data[:6] + b"\x01" + data[7 : directory + 8] + b"\x01" + data[directory + 9 :]
    assert refusal(Upload("box.zip", locked)) == (
        "This ZIP is protected by a password. Unpack it, and drop the pictures themselves."
    )


def test_a_damaged_file_in_a_zip_stops_no_other() -> None:
    data = bytearray(packed({"bad.jpg": photo(0), "good.jpg": photo(1)}, zipfile.ZIP_STORED))
    data[2000] ^= 0xFF
    found = look(Upload("box.zip", bytes(data)))
    assert [picture.name for picture in found.pictures] == ["box.zip/good.jpg"]
    assert [(out.name, out.reason) for out in found.refused] == [
        ("box.zip/bad.jpg", "It is damaged in the ZIP and cannot be unpacked.")
    ]


def test_a_zip_with_too_many_files_is_refused() -> None:
    assert "more than 2,000 files" in refusal(Upload("box.zip", packed({f"{n}.txt": b"" for n in range(2001)})))


def test_a_directory_of_many_lines_is_refused_before_it_is_read() -> None:
    data = packed({"a.jpg": photo(0)})
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    lines = data[start:end] * 100_000
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(lines), start, 0)
    tracemalloc.start()
    upload = Upload("box.zip", data[:start] + lines + tail)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert "more than 2,000 files" in refusal(upload)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_zip_bomb_is_refused_unread() -> None:
    bomb = packed({f"{n}.bmp": b"BM" + bytes(900_000) for n in range(5)})
    assert "unpacks to more than 100 times its size" in refusal(Upload("bomb.zip", bomb))


def test_a_zip_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_UNPACKED", 10_000)
    assert "unpacks to more than" in refusal(Upload("box.zip", packed({"a.jpg": photo(0), "b.jpg": photo(1)})))


def test_a_zip_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ZIP_BYTES", 1_000)
    assert "larger than" in refusal(Upload("box.zip", packed({"a.jpg": photo(0)})))


def test_sizes_that_lie_unpack_no_more_than_they_say() -> None:
    data = packed({"a.bmp": b"BM" + bytes(900_000), "filler": bytes(range(256)) * 100}, zipfile.ZIP_DEFLATED)
    start = data.index(b"PK\x01\x02")
    lying = data[: start + 24] + struct.pack("<L", 500) + data[start + 28 :]  # uncompressed size, APPNOTE 4.3.12
    found = look(Upload("box.zip", lying))
    assert ("box.zip/a.bmp", "It is damaged in the ZIP and cannot be unpacked.") in [
        (out.name, out.reason) for out in found.refused
    ]


@hypothesis.settings(max_examples=150, deadline=None)
@given(
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
    length=st.none() | st.integers(0, 10**6),
)
def test_no_damage_to_a_zip_raises(edits: list[tuple[int, int]], length: int | None) -> None:
    data = bytearray(SMALL_ZIP[:length])
    for place, value in edits:
        if data:
            data[place % len(data)] = value
    uploads = [Upload("box.zip", bytes(data))]
    found = find_pictures(uploads, MAX_BYTES)
    assert len(list(read_files(uploads, found.pictures))) == len(found.pictures)


@pytest.mark.parametrize("flagged", [True, False], ids=["says UTF-8", "as macOS packs"])
def test_names_keep_their_letters(flagged: bool) -> None:
    data = packed({"Übermut/Ähre.jpg": photo(0)})
    if not flagged:
        directory = data.index(b"PK\x01\x02")
        data = data[:6] + b"\0\0" + data[8 : directory + 8] + b"\0\0" + data[directory + 10 :]
    (picture,) = look(Upload("box.zip", data)).pictures
    assert picture.name == "box.zip/Übermut/Ähre.jpg"


def test_names_are_made_fit_to_be_shown_and_stored() -> None:
    (picture,) = look(Upload("a\0b\n\u202egnp.jpg", photo(0))).pictures
    assert picture.name == "a b  gnp.jpg"
    (long,) = look(Upload("x" * 5000 + ".jpg", photo(0))).pictures
    assert long.name.endswith("x.jpg")
    assert len(long.name) == files.MAX_NAME
    assert base_name("box.zip/folder/a.jpg") == "a.jpg"


def test_only_one_file_of_a_zip_is_in_memory_at_a_time() -> None:
    size, count = 500_000, 40
    names = {f"{n}.bmp": b"BM" + n.to_bytes(2, "big") * (size // 2) for n in range(count)}
    filler = {"z.bin": bytes(hashlib.sha256(str(n).encode()).digest()[0] for n in range(300_000))}
    upload = Upload("box.zip", packed({**names, **filler}))
    found = look(upload)
    assert len(found.pictures) == count
    tracemalloc.start()
    assert sum(len(file.data) for file in read_files([upload], found.pictures)) > 0.99 * size * count
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * size


def drop(engine: Engine, *uploads: Upload, restores: bool = False) -> Import:
    """Drop uploads into the page and wait until every item has a final state."""
    pictures = find_pictures(uploads, MAX_BYTES).pictures
    return finished(engine, engine.imports.submit_files("Dropped", read_files(uploads, pictures), restores=restores))


def finished(engine: Engine, entry: Import) -> Import:
    deadline = time.monotonic() + 60
    while not (entry := engine.imports.read(entry.id)).done:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return entry


def best_match(client: TestClient, data: bytes) -> dict[str, Any]:
    matches = client.post("/api/search", files={"file": data}).json()["matches"]
    return dict(matches[0]) if matches else {}


def test_dropped_pictures_are_found_and_their_files_kept(engine: Engine, client: TestClient) -> None:
    box = Upload("box.zip", packed({"folder/Ähre “1”.jpg": photo(1), "two.jpg": photo(2)}))
    entry = drop(engine, Upload("loose.jpg", photo(0)), box)
    assert (entry.total, entry.indexed) == (3, 3)
    match = best_match(client, photo(1))
    assert match["title"] == "Ähre “1”.jpg"
    assert match["url"] == f"/api/file/{match['id']}"
    assert match["similarity"] >= 0.995
    assert client.post("/api/query", files={"file": photo(1)}).json()[0] == match["url"]
    answer = client.get(match["url"])
    assert (answer.status_code, answer.content) == (200, photo(1))
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''%C3%84hre%20%E2%80%9C1%E2%80%9D.jpg"


def test_a_file_dropped_again_is_already_there(engine: Engine) -> None:
    drop(engine, Upload("one.jpg", photo(3)))
    before = engine.store.count()
    again = drop(engine, Upload("other name.jpg", photo(3)))
    assert (again.total, again.already_there) == (1, 1)
    assert engine.store.count() == before


def test_the_same_picture_by_address_and_by_file_is_one(engine: Engine, client: TestClient) -> None:
    with WebServer({"/web.jpg": PHOTOS[4], "/later.jpg": PHOTOS[5]}) as site:
        url = site.url("/web.jpg")
        finished(engine, engine.imports.submit("web", [(key_of(url), url)]))
        dropped = drop(engine, Upload("mine.jpg", photo(4)))
        drop(engine, Upload("first.jpg", photo(5)))
        later = finished(
            engine, engine.imports.submit("web", [(key_of(site.url("/later.jpg")), site.url("/later.jpg"))])
        )
    assert dropped.already_there == 1
    match = best_match(client, photo(4))
    assert (match["url"], match["title"]) == (url, "")
    assert client.get(f"/api/file/{match['id']}").content == photo(4)
    with engine.database.connection() as connection:
        (reason,) = connection.execute("SELECT reason FROM items WHERE import = %s", (later.id,)).fetchall()[0]
    assert reason == "Same picture as first.jpg"


def test_a_damaged_file_fails_by_its_name_and_can_be_tried_again(engine: Engine) -> None:
    entry = drop(engine, Upload("box.zip", packed({"a/cut.jpg": photo(6)[:3000], "whole.jpg": photo(6)})))
    assert (entry.indexed, entry.failed) == (1, 1)
    (failure,) = engine.imports.failures(entry.id)
    assert failure.url == "box.zip/a/cut.jpg"
    assert "truncated" in failure.reason
    assert engine.imports.retry_failed(entry.id) == 1
    assert finished(engine, entry).failed == 1


def test_a_deleted_import_takes_its_pictures_and_brings_them_back(engine: Engine, client: TestClient) -> None:
    entry = drop(engine, Upload("seven.jpg", photo(7)), Upload("eight.jpg", photo(8)))
    before = engine.store.count()
    assert engine.imports.delete(entry.id) == 2
    assert engine.store.count() == before - 2
    assert engine.imports.restore(entry.id) == 2
    assert best_match(client, photo(7))["title"] == "seven.jpg"
    engine.imports.delete(entry.id)
    assert drop(engine, Upload("seven.jpg", photo(7))).in_bin == 1
    assert drop(engine, Upload("seven.jpg", photo(7)), restores=True).indexed == 1
    assert engine.store.count() == before - 1
    assert client.get(best_match(client, photo(7))["url"]).content == photo(7)


def test_files_of_an_import_that_breaks_off_are_not_kept(engine: Engine) -> None:
    def broken() -> Iterator[DroppedFile]:
        yield DroppedFile(hashlib.sha256(b"half").digest(), "half.jpg", b"half")
        raise RuntimeError

    before = [entry.id for entry in engine.imports.latest(1)]
    with pytest.raises(RuntimeError):
        engine.imports.submit_files("Dropped", broken())
    assert [entry.id for entry in engine.imports.latest(1)] == before
    with pytest.raises(NotFoundError):
        engine.store.file_bytes(hashlib.sha256(b"half").digest())


def test_a_picture_without_a_file_has_none_to_give(engine: Engine, client: TestClient) -> None:
    with WebServer({"/web.jpg": PHOTOS[9]}) as site:
        url = site.url("/web.jpg")
        finished(engine, engine.imports.submit("web", [(key_of(url), url)]))
    picture = best_match(client, photo(9))["id"]
    for id in (picture, uuid.uuid4(), "nonsense"):
        answer = client.get(f"/api/file/{id}")
        assert answer.status_code == 404
        assert "There is no" in answer.json()["error"]


def test_a_token_guards_the_files(engine: Engine, client: TestClient) -> None:
    drop(engine, Upload("ten.jpg", photo(10)))
    path = best_match(client, photo(10))["url"]
    plain, engine.settings = engine.settings, engine.settings.model_copy(update={"api_token": SecretStr("t0ken")})
    try:
        assert client.get(path).status_code == 401
        headers = {"Authorization": "Bearer t0ken"}
        answer = client.post("/api/search", files={"file": photo(10)}, headers=headers).json()["matches"][0]
        assert client.get(answer["url"]).content == photo(10)
        assert "private" in client.get(answer["url"]).headers["cache-control"]
        signature = answer["thumbnail"].partition("?")[2]
        assert client.get(f"{path}?{signature}").status_code == 401
    finally:
        engine.settings = plain
