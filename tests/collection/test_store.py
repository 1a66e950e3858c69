from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bench.support.collection import fill, unit_vectors
from core.collection.store import Match, NewPicture, Store, picture_id
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector
from core.errors import NotFoundError
from core.indexing.imports import Imports
from core.media.decode import Picture, read_picture
from core.media.urls import key_of
from core.search.nearest import Nearest

pytestmark = pytest.mark.pooled

DIM = 8


def made_picture(shade: int) -> Picture:
    buffer = io.BytesIO()
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 10 + shade).convert("RGB").save(buffer, "PNG")
    return read_picture(buffer.getvalue(), max_bytes=10**6, max_pixels=10**6)


def unit(*values: float) -> Vector:
    vector = np.zeros(DIM, np.float32)
    vector[: len(values)] = values
    return vector / np.linalg.norm(vector)


def new(number: int, vector: Vector) -> NewPicture:
    url = f"https://a.example/{number}.png"
    return NewPicture(key_of(url), url, made_picture(number), vector)


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


@pytest.fixture
def model(store: Store) -> Model:
    return store.use_model("test/eight", DIM)


def add(database: Database, store: Store, model: Model, pictures: list[NewPicture]) -> None:
    with database.connection() as connection:
        store.add(connection, model, pictures)


def found(database: Database, model: Model) -> list[Match]:
    return Nearest(database).search(model, unit(1), 10).matches


def test_a_model_is_registered_once(store: Store, model: Model) -> None:
    assert store.use_model("test/eight", DIM) == model
    assert store.use_model("test/other", DIM).id != model.id


def test_one_file_under_two_addresses_is_one_picture(database: Database, store: Store, model: Model) -> None:
    first = new(1, unit(1))
    second = NewPicture(key_of("https://b.example/x.png"), "https://b.example/x.png", first.picture, first.embedding)
    add(database, store, model, [first])
    add(database, store, model, [second])
    assert store.count() == 1
    assert [match.url for match in found(database, model)] == [second.url]  # the one that was fetched last


def test_a_removed_picture_is_not_found_and_returns_when_added_again(
    database: Database, store: Store, model: Model
) -> None:
    add(database, store, model, [new(1, unit(1))])
    with database.connection() as connection:
        connection.execute("UPDATE pictures SET removed_at = now()")
    assert store.count() == 0
    assert found(database, model) == []
    add(database, store, model, [new(1, unit(1))])
    assert len(found(database, model)) == 1


def test_only_a_large_count_is_remembered(
    store: Store, model: Model, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.collection.store.RECOUNT_FACTOR", 10**6)
    monkeypatch.setattr("core.collection.store.RECOUNT_FROM", 4)
    fill(database, model, unit_vectors(3, DIM))
    assert store.count() == 3
    fill(database, model, unit_vectors(2, DIM, seed=1))
    assert store.count() == 5
    fill(database, model, unit_vectors(2, DIM, seed=2))
    assert store.count() == 5
    assert Store(database).count() == 7


def test_a_thumbnail_is_kept(database: Database, store: Store, model: Model) -> None:
    picture = new(1, unit(1))
    add(database, store, model, [picture])
    mime, image = store.thumbnail(picture.id)
    assert mime == picture.picture.thumbnail_mime
    assert image == picture.picture.thumbnail
    with pytest.raises(NotFoundError):
        store.thumbnail(picture_id(bytes(32)))


def test_a_failure_leaves_nothing_half_done(database: Database, store: Store, model: Model) -> None:
    with pytest.raises(RuntimeError), database.connection() as connection:
        store.add(connection, model, [new(1, unit(1))])
        raise RuntimeError
    assert store.count() == 0


def test_known_addresses_are_already_there_from_the_start(database: Database, store: Store, model: Model) -> None:
    picture = new(1, unit(1))
    add(database, store, model, [picture])
    ledger = Imports(database)
    entry = ledger.read(ledger.submit("again", [(picture.key, picture.url), (b"k" * 32, "https://new.example/")]).id)
    assert entry.counts == {"waiting": 1, "indexed": 0, "already_there": 1, "failed": 0}
