"""The pipeline on real photos over real sockets, with the real small model."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import torch
from PIL import Image
from psycopg import sql

from bench.support.data import MODEL_SETTING, some_photos
from bench.support.webserver import Page, Visit, WebServer
from core.collection.store import NEWEST_URL, Store, picture_id
from core.database.connection import Database
from core.embedding.active_models import ActiveModel
from core.embedding.encoder import Encoder, Vectors, load_encoder
from core.indexing.claims import Claims
from core.indexing.imports import Import, Imports
from core.indexing.item_loader import MAX_ATTEMPTS, MAX_REFUSALS, PER_HOST, UNFORESEEN
from core.indexing.known_pictures import KnownPictures
from core.indexing.pipeline import Indexer
from core.media.fetcher import Fetcher
from core.media.urls import key_of
from core.search.nearest import Nearest
from core.settings import Settings

pytestmark = pytest.mark.pooled(only=True)

PHOTOS = some_photos(80)

Run = Callable[[int, Callable[[], bool]], int]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(MODEL_SETTING)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


@pytest.fixture
def ledger(database: Database) -> Imports:
    return Imports(database)


@pytest.fixture
def run(settings: Settings, database: Database, store: Store, encoder: Encoder) -> Iterator[Run]:
    """Works on an import with the small model."""
    fetcher = Fetcher(settings)
    made = Indexer(settings.model_copy(update={"retry_delay": 0.01}), database, store, fetcher)
    in_use = ActiveModel(store.use_model(encoder.name, encoder.dim), encoder)
    yield lambda import_id, stop: made.run(import_id, in_use, stop)
    made.close()
    fetcher.close()


def submit(ledger: Imports, urls: list[str]) -> int:
    return ledger.submit("test", [(key_of(url), url) for url in urls]).id


def swatch(number: int) -> bytes:
    """A small picture unlike those of other numbers."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def finish(run: Run, ledger: Imports, urls: list[str]) -> Import:
    """Import URLs and work until every item has a final state."""
    import_id = submit(ledger, urls)
    deadline = time.monotonic() + 60
    while not ledger.read(import_id).done:
        assert time.monotonic() < deadline
        run(import_id, lambda: False)
    return ledger.read(import_id)


def test_an_import_deleted_by_two_clicks_comes_back_whole(run: Run, ledger: Imports, store: Store) -> None:
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS[:3])}) as site:
        entry = finish(run, ledger, [site.url(f"/{number}.jpg") for number in range(3)])
    assert [ledger.delete(entry.id), ledger.delete(entry.id)] == [3, 3]
    assert store.count() == 0
    assert [ledger.restore(entry.id), ledger.restore(entry.id)] == [3, 0]
    assert store.count() == 3


def test_photos_become_pictures(run: Run, ledger: Imports, store: Store) -> None:
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as site:
        entry = finish(run, ledger, [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))])
    assert entry.counts == {"waiting": 0, "indexed": len(PHOTOS), "already_there": 0, "failed": 0}
    assert store.count() == len(PHOTOS)


def test_the_same_file_under_two_addresses_is_one_picture(run: Run, ledger: Imports, store: Store) -> None:
    with WebServer({"/a.jpg": PHOTOS[0], "/b.jpg": PHOTOS[0], "/c.jpg": PHOTOS[1]}) as site:
        first = finish(run, ledger, [site.url("/a.jpg"), site.url("/b.jpg")])
        second = finish(run, ledger, [site.url("/c.jpg"), site.url("/b.jpg"), site.url("/b.jpg?v=2")])
    assert (first.indexed, first.already_there) == (1, 1)
    assert (second.indexed, second.already_there) == (1, 2)
    assert store.count() == 2


def test_a_bad_item_stops_no_other(run: Run, ledger: Imports) -> None:
    pages: dict[str, Page] = {
        "/good.jpg": PHOTOS[0],
        "/page.jpg": b"<!doctype html><p>No.",
        "/cut.jpg": PHOTOS[1].read_bytes()[:3000],
    }
    with WebServer(pages) as site:
        entry = finish(run, ledger, [site.url(path) for path in ["/page.jpg", "/gone.jpg", "/good.jpg", "/cut.jpg"]])
    assert (entry.indexed, entry.failed) == (1, 3)
    page, gone, cut = ledger.failures(entry.id)
    assert "web page" in page.reason
    assert "404" in gone.reason
    assert "truncated" in cut.reason


def test_what_may_yet_succeed_is_tried_again(run: Run, ledger: Imports) -> None:
    answers = iter([503, 503])

    def flaky(visit: Visit) -> None:
        visit.answer(PHOTOS[0].read_bytes(), next(answers, 200))

    def down(visit: Visit) -> None:
        visit.answer(b"", 503)

    with WebServer({"/flaky.jpg": flaky, "/down.jpg": down}) as site:
        entry = finish(run, ledger, [site.url("/flaky.jpg"), site.url("/down.jpg")])
        assert (entry.indexed, entry.failed) == (1, 1)
        assert site.hits["/flaky.jpg"] == 3
        assert MAX_ATTEMPTS <= site.hits["/down.jpg"] <= MAX_REFUSALS + 2


def test_an_error_of_the_server_costs_four_attempts(run: Run, ledger: Imports) -> None:
    def broken(visit: Visit) -> None:
        visit.answer(b"", 500)

    with WebServer({"/broken.jpg": broken}) as site:
        assert finish(run, ledger, [site.url("/broken.jpg")]).failed == 1
        assert site.hits["/broken.jpg"] == MAX_ATTEMPTS


def test_a_host_that_allows_few_requests_gives_all_its_pictures(
    settings: Settings, database: Database, store: Store, encoder: Encoder, ledger: Imports
) -> None:
    """Two requests a second, on a clock that runs twenty times as fast: what is over is refused without Retry-After."""
    allowed, count, lock = 40, 600, threading.Lock()
    seen, refused = deque[float](maxlen=allowed), Counter[int]()

    def limited(code: int, picture: bytes) -> Callable[[Visit], None]:
        def serve(visit: Visit) -> None:
            now = time.monotonic()
            with lock:
                over = len(seen) == allowed and seen[0] > now - 1
                refused[code] += over
                seen.append(now) if not over else None
            visit.answer(b"", code) if over else visit.answer(picture)

        return serve

    pages = {f"/{number}.png": limited(429 if number % 2 else 503, swatch(number)) for number in range(count)}
    fetcher = Fetcher(settings)
    indexer = Indexer(settings.model_copy(update={"retry_delay": 0.5}), database, store, fetcher)
    in_use = ActiveModel(store.use_model(encoder.name, encoder.dim), encoder)
    with WebServer(pages) as site:
        entry = finish(lambda id, stop: indexer.run(id, in_use, stop), ledger, [site.url(path) for path in pages])
    indexer.close()
    fetcher.close()
    assert entry.counts == {"waiting": 0, "indexed": count, "already_there": 0, "failed": 0}
    assert min(refused.values()) > 0
    assert sum(refused.values()) < count / 2


def test_a_long_retry_after_of_one_url_holds_up_only_that_url(run: Run, database: Database, ledger: Imports) -> None:
    def rests(visit: Visit) -> None:
        visit.answer(b"", 429, Retry_After="259200")

    pages: dict[str, Page] = {f"/{number}.jpg": path for number, path in enumerate(PHOTOS[:3])}
    with WebServer({"/rests.jpg": rests, **pages}) as site:
        import_id = submit(ledger, [site.url(path) for path in ["/rests.jpg", *pages]])
        deadline = time.monotonic() + 30
        while ledger.read(import_id).waiting > 1 and time.monotonic() < deadline:
            run(import_id, lambda: False)
    entry = ledger.read(import_id)
    (wait,) = entry.waits
    assert (entry.indexed, wait.count) == (3, 1)
    assert "429" in wait.reason
    assert timedelta(minutes=59) < wait.until - datetime.now(UTC) < timedelta(minutes=61)


def test_a_host_that_asks_for_rest_twice_gets_it(run: Run, ledger: Imports) -> None:
    def rests(visit: Visit) -> None:
        visit.answer(b"", 503, Retry_After="259200")

    with WebServer({f"/{number}.jpg": rests for number in range(30)}) as site:
        import_id = submit(ledger, [site.url(f"/{number}.jpg") for number in range(30)])
        for _ in range(20):
            run(import_id, lambda: False)
        asked = sum(site.hits.values())
        run(import_id, lambda: False)
        assert asked == sum(site.hits.values()) <= PER_HOST + 1
    entry = ledger.read(import_id)
    assert [(wait.count, "503" in wait.reason) for wait in entry.waits] == [(30, True)]


def test_a_permanent_failure_is_not_tried_again(run: Run, ledger: Imports) -> None:
    with WebServer({}) as site:
        finish(run, ledger, [site.url("/gone.jpg")])
        assert site.hits["/gone.jpg"] == 1


def test_hosts_are_asked_politely(run: Run, ledger: Imports) -> None:
    at_once = Counter[str]()
    most = Counter[str]()
    lock = threading.Lock()
    full = threading.Barrier(PER_HOST)

    def slow(visit: Visit) -> None:
        with lock:
            at_once["now"] += 1
            most["now"] = max(most["now"], at_once["now"])
        full.wait(20)  # passes only when all places are taken
        with lock:
            at_once["now"] -= 1
        visit.answer(b"", 404)

    with WebServer({f"/{number}": slow for number in range(4 * PER_HOST)}) as site:
        finish(run, ledger, [site.url(f"/{number}") for number in range(4 * PER_HOST)])
    assert most["now"] == PER_HOST


def test_a_stopped_run_gives_its_items_back(database: Database, run: Run, ledger: Imports) -> None:
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as site:
        urls = [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))]
        import_id = ledger.submit("test", [(key_of(url), url) for url in urls]).id
        turns = iter(range(3))
        run(import_id, lambda: next(turns, None) is None)
        left = ledger.read(import_id).waiting
        assert left > 0
        assert Claims(database).due() == [import_id]
        assert finish(run, ledger, []).done
        while ledger.read(import_id).waiting:
            run(import_id, lambda: False)
    assert ledger.read(import_id).indexed == len(PHOTOS)


def test_fetched_again_a_changed_picture_replaces_the_old_one_with_what_is_known_of_it(
    run: Run, database: Database, ledger: Imports, store: Store
) -> None:
    now: dict[str, Page] = {f"/{number}.jpg": PHOTOS[number] for number in range(4)}

    def serve(visit: Visit) -> None:
        page = now.get(visit.path)
        visit.answer(page.read_bytes()) if isinstance(page, Path) else visit.answer(b"", 404)

    with WebServer(dict.fromkeys(now, serve)) as site:
        entry = finish(run, ledger, [site.url(path) for path in now])
        with database.connection() as connection:
            old = dict(connection.execute("SELECT url, picture FROM sources").fetchall())
            changed = old[site.url("/1.jpg")]
            connection.execute(
                "UPDATE pictures SET title = 'Vase', tags = '{a,b}', fields = '{\"No\": \"7\"}' WHERE id = %s",
                (changed,),
            )
        now["/1.jpg"] = PHOTOS[9]
        del now["/2.jpg"]
        again = ledger.fetch_again(entry.id)
        assert (again.name, again.total) == ("test, fetched again", 4)
        while not ledger.read(again.id).done:
            run(again.id, lambda: False)
        assert site.hits["/0.jpg"] == 2
    again = ledger.read(again.id)
    assert (again.indexed, again.already_there, again.failed) == (1, 2, 1)
    assert ledger.read(entry.id).counts == entry.counts
    with database.connection() as connection:
        new = dict(connection.execute("SELECT url, picture FROM sources").fetchall())[site.url("/1.jpg")]
        rows = connection.execute("SELECT title, tags, fields FROM pictures WHERE id = %s", (new,)).fetchall()
        removed = connection.execute("SELECT id FROM pictures WHERE removed_at IS NOT NULL").fetchall()
    assert rows == [("Vase", ["a", "b"], {"No": "7"})]
    assert removed == [(changed,)]
    assert store.count() == 4
    assert ledger.fetch_again(again.id).name == "test, fetched again"


def test_a_placeholder_for_all_urls_replaces_hardly_any_picture(
    run: Run, ledger: Imports, store: Store, database: Database
) -> None:
    now = dict[str, bytes]()

    def serve(visit: Visit) -> None:
        visit.answer(now.get("all") or swatch(int(visit.path[1:-4])))

    with WebServer({f"/{number}.png": serve for number in range(40)}) as site:
        entry = finish(run, ledger, [site.url(f"/{number}.png") for number in range(40)])
        now["all"] = swatch(1_000)
        again = ledger.fetch_again(entry.id)
        while not ledger.read(again.id).done:
            run(again.id, lambda: False)
    assert store.count() >= 40
    (same,) = KnownPictures(database).same_pictures(again.id)
    assert (same.count, same.example) == (40, site.url("/0.png"))
    assert KnownPictures(database).same_pictures(entry.id) == []


def test_of_several_urls_the_one_fetched_last_is_shown(run: Run, ledger: Imports, store: Store) -> None:
    with WebServer({"/a.jpg": PHOTOS[0]}) as site:
        first, second = (site.url(f"/a.jpg?signed={number}") for number in "12")
        entry = finish(run, ledger, [first])
        finish(run, ledger, [second])
        picture = picture_id(hashlib.sha256(PHOTOS[0].read_bytes()).digest())
        assert _shown(store, picture) == second
        again = ledger.fetch_again(entry.id)
        while not ledger.read(again.id).done:
            run(again.id, lambda: False)
        assert _shown(store, picture) == first


def _shown(store: Store, picture: UUID) -> str:
    with store._database.connection() as connection:
        query = sql.SQL("SELECT {} FROM pictures p WHERE id = %s").format(sql.SQL(NEWEST_URL))
        ((url,),) = connection.execute(query, (picture,)).fetchall()
    return str(url)


def test_urls_of_pictures_in_the_bin_are_known(run: Run, database: Database, ledger: Imports) -> None:
    with WebServer({f"/{number}.jpg": PHOTOS[number] for number in range(3)}) as site:
        urls = [site.url(f"/{number}.jpg") for number in range(3)]
        finish(run, ledger, urls)
    keys = [key_of(url) for url in urls]
    assert KnownPictures(database).in_bin(keys) == set()
    with database.connection() as connection:
        connection.execute(
            "UPDATE pictures SET removed_at = now() FROM sources WHERE picture = id AND key = %s", (keys[1],)
        )
    assert KnownPictures(database).in_bin([*keys, key_of("https://a.example/x.jpg")]) == {keys[1]}


def test_an_indexed_picture_finds_itself(
    run: Run, ledger: Imports, store: Store, encoder: Encoder, database: Database
) -> None:
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS[:10])}) as site:
        finish(run, ledger, [site.url(f"/{number}.jpg") for number in range(10)])
        model = store.use_model(encoder.name, encoder.dim)
        for number, path in enumerate(PHOTOS[:10]):
            vector = encoder.encode_pictures([Image.open(io.BytesIO(path.read_bytes())).convert("RGB")])[0]
            best = Nearest(database).search(model, vector, 1).matches[0]
            assert best.url == site.url(f"/{number}.jpg")
            assert best.similarity >= 0.995


def test_the_same_file_under_many_addresses_is_indexed_once(run: Run, ledger: Imports, store: Store) -> None:
    """Batches that are on their way at the same time do not know of each other."""
    with WebServer({f"/{number}.jpg": PHOTOS[number % 3] for number in range(150)}) as site:
        entry = finish(run, ledger, [site.url(path) for path in site.pages])
    assert (entry.indexed, entry.already_there) == (3, 147)
    assert store.count() == 3


@pytest.mark.parametrize("trouble", ["the model raises", "the database refuses the row"])
def test_a_poisonous_picture_fails_alone(
    run: Run, ledger: Imports, encoder: Encoder, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """No picture is known that does this to the real model, so the trouble is put on."""
    encode, poison = encoder.encode_prepared, encoder.prepare(Image.open(PHOTOS[7]).convert("RGB"))

    def encode_prepared(prepared: Sequence[torch.Tensor]) -> Vectors:
        vectors = encode(prepared)
        for number, one in enumerate(prepared):
            if torch.equal(one, poison):
                if trouble == "the model raises":
                    raise RuntimeError("out of range")
                vectors[number] = np.nan
        return vectors

    monkeypatch.setattr(encoder, "encode_prepared", encode_prepared)
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS[:40])}) as site:
        entry = finish(run, ledger, [site.url(path) for path in site.pages])
        assert (entry.indexed, entry.failed) == (39, 1)
        [failure] = ledger.failures(entry.id)
        assert failure.url == site.url("/7.jpg")
        assert failure.reason == UNFORESEEN
