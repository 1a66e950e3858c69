"""Sources: what is read of them, what changed since the last reading, and what is never read."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.support.webserver import Page, Visit, WebServer
from core.collection.store import NewPicture, Store, insert_pictures
from core.database.connection import Database
from core.errors import NotFoundError, SourceError
from core.indexing.claims import Claims
from core.indexing.sources.reader import SourceReader
from core.indexing.sources.registry import Reading, Source, Sources
from core.media.decode import read_picture
from core.media.fetcher import Fetcher
from core.settings import Settings

Change = tuple[int, int, int, int]


def swatch(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Library:
    """A library folder, and the sources of a database that is read by hand."""

    path: Path
    sources: Sources
    reader: SourceReader
    database: Database

    def read(self, source: Source, stop: Callable[[], bool] = lambda: False) -> Reading:
        self.sources.read_now(source.id)
        self.reader.read(source.id, stop)
        return self.sources.history(source.id)[0]

    def items(self, reading: Reading) -> dict[str, str]:
        """The items of a reading's import, with their status."""
        with self.database.connection() as connection:
            return dict(
                connection.execute("SELECT url, status FROM items WHERE import = %s", (reading.import_id,)).fetchall()
            )


def change(reading: Reading) -> Change:
    return reading.found, reading.added, reading.changed, reading.vanished


@pytest.fixture
def library(settings: Settings, database: Database, tmp_path: Path) -> Iterator[Library]:
    path = tmp_path / "library"
    path.mkdir()
    allowed = settings.model_copy(update={"library_dirs": f"{path}, {tmp_path / 'other'}", "max_file_mb": 0.01})
    fetcher = Fetcher(allowed)
    reader = SourceReader(allowed, database, Store(database), fetcher)
    yield Library(path, Sources(database, allowed.library_folders), reader, database)
    fetcher.close()


def test_a_folder_that_gains_changes_and_loses_files(library: Library, database: Database) -> None:
    vases = library.path / "vases"
    (vases / "old").mkdir(parents=True)
    (vases / "one.png").write_bytes(swatch(1))
    (vases / "old" / "two.png").write_bytes(swatch(2))
    (vases / "notes.txt").write_text("no picture")
    (vases / "large.png").write_bytes(swatch(3) * 4)
    (vases / ".hidden.png").write_bytes(swatch(4))
    source = library.sources.add("vases", "day")
    first = library.read(source)
    assert change(first) == (2, 2, 0, 0)
    assert library.items(first) == {"one.png": "waiting", "old/two.png": "waiting"}
    claimed = Claims(database).claim(first.import_id or 0, 9, timedelta(seconds=30))
    assert {Store(database).file_bytes(item.file or b"") for item in claimed} == {swatch(1), swatch(2)}
    left = {entry.location: entry.problem for entry in library.sources.left_out(source.id)}
    assert left["notes.txt"] == "This is a text, not a picture."
    assert "MAX_FILE_MB" in (left["large.png"] or "")
    again = library.read(source)
    assert (change(again), again.import_id) == ((2, 0, 0, 0), None)
    (vases / "three.png").write_bytes(swatch(5))
    (vases / "one.png").write_bytes(swatch(6))
    (vases / "old" / "two.png").unlink()
    third = library.read(source)
    assert change(third) == (2, 1, 1, 1)
    assert library.items(third).keys() == {"one.png", "three.png"}
    state = library.sources.read(source.id)
    assert (state.held, state.vanished, state.skipped, state.name) == (2, 1, 2, "vases")
    assert state.next_reading_at is not None
    (vases / "old" / "two.png").write_bytes(swatch(2))
    os.utime(vases / "one.png")
    assert change(library.read(source)) == (3, 0, 0, 0), "what comes back, or was only touched, is not new"


def test_a_changed_file_is_indexed_though_its_path_is_known(library: Library, database: Database) -> None:
    (library.path / "a.png").write_bytes(swatch(1))
    source = library.sources.add(str(library.path))
    first = library.read(source)
    with database.connection() as connection:
        picture = NewPicture(b"", "", read_picture(swatch(1), max_bytes=10**6, max_pixels=10**6), None)
        insert_pictures(connection, None, [picture])
        connection.execute(
            """INSERT INTO sources (key, url, picture) SELECT key, '/api/file/x', %s FROM items WHERE import = %s""",
            (picture.id, first.import_id),
        )
    library.sources.remove(source.id)
    again = library.sources.add(str(library.path))
    assert library.items(library.read(again)) == {"a.png": "already_there"}, "the same bytes at the same path"
    (library.path / "a.png").write_bytes(swatch(2))
    assert library.items(library.read(again)) == {"a.png": "waiting"}


@pytest.mark.parametrize("kind", ["file", "folder", "the folder itself", "pipe"])
def test_no_link_is_followed(library: Library, tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "secret.png").write_bytes(swatch(1))
    shown = library.path / "shown"
    shown.mkdir()
    (shown / "mine.png").write_bytes(swatch(2))
    source = library.sources.add("shown")
    match kind:
        case "file":
            (shown / "link.png").symlink_to(secret / "secret.png")
        case "folder":
            (shown / "link").symlink_to(secret)
        case "pipe":
            os.mkfifo(shown / "pipe.png")
        case _:
            shown.rename(tmp_path / "moved")
            shown.symlink_to(secret)
    reading = library.read(source)
    if kind == "the folder itself":
        assert "links are not followed" in (reading.problem or "")
        assert reading.found == reading.vanished == 0
    else:
        assert library.items(reading) == {"mine.png": "waiting"}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_not_even_one_that_is_put_there_between_a_look_and_the_reading(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a.png").write_bytes(swatch(1))
    inner = library.path / "inner"
    inner.mkdir()
    (inner / "a.png").write_bytes(swatch(2))
    source = library.sources.add(str(library.path))
    look, swapped = os.stat, list[str]()

    def stat_then_swap(name: str, **options: object) -> os.stat_result:
        facts = look(name, **options)  # type: ignore[arg-type]
        if name == {"file": "a.png", "folder": "inner"}[kind] and not swapped and options.get("dir_fd"):
            swapped.append(name)
            path = inner if kind == "folder" else inner / "a.png"
            path.rename(tmp_path / "away")
            path.symlink_to(secret if kind == "folder" else secret / "a.png")
        return facts

    monkeypatch.setattr(os, "stat", stat_then_swap)
    reading = library.read(source)
    assert swapped
    assert (reading.added, reading.import_id) == (0, None)
    assert reading.problem
    with library.database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM files").fetchall() == [(0,)]


def test_only_folders_below_library_dirs_are_read(library: Library, database: Database, tmp_path: Path) -> None:
    for outside in (str(tmp_path), "/etc", "..", str(library.path / ".." / "secret"), f"{library.path}x", "none"):
        with pytest.raises(SourceError, match="is not a folder below"):
            library.sources.add(outside)
    with pytest.raises(SourceError, match="is not there"):
        library.sources.add(str(library.path / "none"))
    with pytest.raises(SourceError, match="LIBRARY_DIRS"):
        Sources(database, []).add(str(library.path))
    source = library.sources.add(str(library.path))
    with pytest.raises(SourceError, match="already"):
        library.sources.add(f"{library.path}/")
    library.reader._library_dirs = []
    assert "no longer below" in (library.read(source).problem or "")


def test_a_folder_that_cannot_be_read_loses_nothing(library: Library) -> None:
    (library.path / "mounted").mkdir()
    (library.path / "mounted" / "a.png").write_bytes(swatch(1))
    source = library.sources.add("mounted", "hour")
    library.read(source)
    (library.path / "mounted").rename(library.path / "away")
    reading = library.read(source)
    assert (reading.vanished, reading.problem) == (0, f"{library.path / 'mounted'} is not there.")
    assert library.sources.read(source.id).held == 1


def test_an_interrupted_reading_goes_on(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.indexing.sources.reader.BATCH", 2)
    for number in range(5):
        (library.path / f"{number}.png").write_bytes(swatch(number))
    source = library.sources.add(str(library.path))
    looks = iter([False, True])
    interrupted = library.read(source, lambda: next(looks))
    assert (interrupted.ended_at, interrupted.added) == (None, 2)
    assert library.reader.due() == [source.id]
    whole = library.read(source)
    assert (whole.begun_at, change(whole)) == (interrupted.begun_at, (5, 5, 0, 0))
    assert len(library.items(whole)) == 5
    assert library.reader.due() == []


def test_a_list_that_grows_and_shrinks_and_a_picture_that_changes(library: Library, database: Database) -> None:
    listed, asked = ["1.png", "2.png"], list[str]()

    def picture(visit: Visit) -> None:
        asked.append(visit.path)
        same = visit.headers.get("If-None-Match") == '"new"'
        visit.answer(b"" if same else swatch(9), 304 if same else 200)

    def lines(visit: Visit) -> None:
        visit.answer("\n".join(site.url(f"/{name}") for name in listed).encode(), type="text/plain")

    with WebServer({"/list.txt": lines, **{f"/{n}.png": picture for n in range(1, 4)}}) as site:
        source = library.sources.add(site.url("/list.txt"), "week")
        first = library.read(source)
        assert change(first) == (2, 2, 0, 0)
        assert library.sources.read(source.id).name == "127.0.0.1 list.txt"
        with database.connection() as connection:
            image = read_picture(swatch(9), max_bytes=10**6, max_pixels=10**6)
            new = NewPicture(b"", "", image, None)
            insert_pictures(connection, None, [new])
            for path, tag in (("/1.png", '"old"'), ("/2.png", '"new"')):
                ((key,),) = connection.execute(
                    """INSERT INTO sources (key, url, picture) SELECT key, url, %s FROM items WHERE url = %s
                       RETURNING key""",
                    (new.id, site.url(path)),
                ).fetchall()
                connection.execute(
                    "INSERT INTO validators VALUES (%s, %s, %s, %s, '')", (key, new.id, site.url(path), tag)
                )
        listed[:] = ["2.png", "1.png", "3.png"]
        second = library.read(source)
        assert change(second) == (3, 1, 1, 0)
        assert library.items(second) == {site.url("/1.png"): "waiting", site.url("/3.png"): "waiting"}
        assert sorted(asked) == ["/1.png", "/2.png"]
        listed[:] = ["3.png"]
        assert change(library.read(source)) == (1, 0, 0, 2)
        (one, two) = sorted(entry.location for entry in library.sources.left_out(source.id))
        assert (one, two) == (site.url("/1.png"), site.url("/2.png"))
        del site.pages["/list.txt"]
        gone = library.read(source)
        assert (gone.vanished, gone.problem) == (0, "127.0.0.1 answered 404: the list is not there any more.")


def test_documents_that_refer_to_others_are_read_with_them(library: Library) -> None:
    context = "http://iiif.io/api/presentation/3/context.json"

    def manifest(number: int) -> bytes:
        body = {"type": "Image", "id": f"https://a.example/{number}.jpg"}
        page = {"type": "AnnotationPage", "items": [{"type": "Annotation", "motivation": "painting", "body": body}]}
        canvas = {"type": "Canvas", "label": {"en": [f"Leaf {number}"]}, "items": [page]}
        return json.dumps({"@context": context, "type": "Manifest", "items": [canvas]}).encode()

    with WebServer() as site:
        urls = [site.url(f"/manifest/{number}") for number in range(3)]
        members = [{"type": "Manifest", "id": url} for url in urls]
        top = {
            "@context": context,
            "type": "Collection",
            "items": [*members, {"type": "Collection", "id": site.url("/top")}],
        }
        index = f"<sitemapindex><sitemap><loc>{site.url('/a.xml')}</loc></sitemap></sitemapindex>"
        image = "<image:image><image:loc>https://a.example/9.jpg</image:loc></image:image>"
        pages: dict[str, Page] = {
            "/top": json.dumps(top).encode(),
            "/index.xml": index.encode(),
            "/a.xml": f"<urlset><url><loc>https://a.example/page</loc>{image}</url></urlset>".encode(),
            "/pages.xml": b"<urlset><url><loc>https://a.example/page</loc></url></urlset>",
            "/feed.xml": b'<rss><channel><item><enclosure url="https://a.example/8.jpg"/></item></channel></rss>',
        }
        site.pages.update(pages | {"/manifest/0": manifest(0), "/manifest/1": manifest(1)})
        collection = library.sources.add(site.url("/top"))
        reading = library.read(collection)
        assert library.items(reading).keys() == {"https://a.example/0.jpg", "https://a.example/1.jpg"}
        assert "/manifest/2: 127.0.0.1 answered 404" in (reading.problem or "")
        site.pages["/manifest/2"] = manifest(2)
        del site.pages["/manifest/0"]
        assert change(library.read(collection)) == (2, 1, 0, 0), "what could not be read has not vanished"
        assert library.items(library.read(library.sources.add(site.url("/index.xml")))).keys() == {
            "https://a.example/9.jpg"
        }
        assert library.items(library.read(library.sources.add(site.url("/feed.xml")))).keys() == {
            "https://a.example/8.jpg"
        }
        assert "names pages, but no pictures" in (
            library.read(library.sources.add(site.url("/pages.xml"))).problem or ""
        )


def test_a_paused_source_is_not_due_and_a_removed_one_is_forgotten(library: Library) -> None:
    (library.path / "a.png").write_bytes(swatch(1))
    source = library.sources.add(str(library.path), "hour")
    library.read(source)
    library.sources.pause(source.id)
    assert library.reader.due() == []
    assert library.sources.read(source.id).paused_at
    library.read(source)
    assert library.sources.read(source.id).next_reading_at is None, "reading a paused one does not resume it"
    library.sources.resume(source.id)
    assert library.reader.due() == [source.id]
    library.sources.remove(source.id)
    library.reader.read(source.id, lambda: False)
    with pytest.raises(NotFoundError):
        library.sources.read(source.id)
