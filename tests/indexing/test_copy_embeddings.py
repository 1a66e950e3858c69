"""Both embeddings of a picture in one pass, over real sockets, with the real small model and a small copy model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import torch

from bench.support.data import MODEL_SETTING, some_photos
from bench.support.webserver import WebServer
from core.collection.curation import Curation
from core.collection.store import Store, picture_id
from core.database.connection import Database
from core.embedding.active_models import ActiveModel
from core.embedding.copy_encoder import load_copy_encoder
from core.embedding.encoder import Encoder, Vectors, load_encoder
from core.indexing import item_loader
from core.indexing.imports import Import, Imports
from core.indexing.pipeline import Indexer
from core.media.decode import Picture, read_picture
from core.media.fetcher import Fetcher
from core.media.urls import key_of
from core.settings import Settings
from tests.support.copy_models import write_onnx

PHOTOS = some_photos(12)

Finish = Callable[[Sequence[Path], ActiveModel | None], Import]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(MODEL_SETTING)


@pytest.fixture(scope="module")
def copy_encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_copy_encoder(str(write_onnx(tmp_path_factory.mktemp("models") / "copy.onnx")))


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


@pytest.fixture
def in_use(store: Store, encoder: Encoder) -> ActiveModel:
    return ActiveModel(store.use_model(encoder.name, encoder.dim), encoder)


@pytest.fixture
def copies(store: Store, copy_encoder: Encoder) -> ActiveModel:
    return ActiveModel(store.use_model(copy_encoder.name, copy_encoder.dim, "x.onnx", "copy"), copy_encoder)


@pytest.fixture
def finish(settings: Settings, database: Database, store: Store, in_use: ActiveModel) -> Iterator[Finish]:
    """Imports photos from a site, with or without the copy model."""
    fetcher, imports = Fetcher(settings), Imports(database)
    indexer = Indexer(settings, database, store, fetcher)

    def work(photos: Sequence[Path], copy_model: ActiveModel | None) -> Import:
        with WebServer({f"/{path.parent.name}/{path.name}": path for path in photos}) as site:
            urls = [(key_of(url), url) for url in map(site.url, site.pages)]
            id = imports.submit("test", urls, restores=True).id
            while not imports.read(id).done:
                indexer.run(id, in_use, lambda: False, copy_model)
            return imports.read(id)

    yield work
    indexer.close()
    fetcher.close()


def read(path: Path) -> Picture:
    return read_picture(path.read_bytes(), max_bytes=10**7, max_pixels=10**7)


def ids_of(photos: Sequence[Path]) -> list[UUID]:
    return [picture_id(read(path).sha256) for path in photos]


def test_a_picture_gets_both_embeddings_and_is_decoded_once(
    finish: Finish, store: Store, in_use: ActiveModel, copies: ActiveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = list[bytes]()

    def counted(data: bytes, *_: object) -> Picture:
        decoded.append(data)
        return read_picture(data, max_bytes=10**7, max_pixels=10**7)

    monkeypatch.setattr(item_loader, "read_picture", counted)
    assert finish(PHOTOS, copies).indexed == len(PHOTOS) == len(decoded)
    assert store.missing(in_use.model) == store.missing(copies.model) == 0
    for path, id in zip(PHOTOS, ids_of(PHOTOS), strict=True):
        stored = store.embedding(copies.model, id)
        assert stored is not None
        picture = read(path)
        prepared = copies.encoder.prepare(picture.image, picture.box)
        assert stored @ copies.encoder.encode_prepared([prepared])[0] > 0.9999


def test_a_known_picture_without_a_copy_embedding_gets_it(finish: Finish, store: Store, copies: ActiveModel) -> None:
    assert finish(PHOTOS[:6], None).indexed == 6
    assert store.missing(copies.model) == 6
    again = finish(PHOTOS[3:9], copies)
    assert (again.indexed, again.already_there) == (3, 3)
    assert store.missing(copies.model) == 3


def test_a_removed_picture_that_comes_again_has_both(
    finish: Finish, database: Database, store: Store, in_use: ActiveModel, copies: ActiveModel
) -> None:
    finish(PHOTOS[:3], None)
    Curation(database).remove(ids_of(PHOTOS[:3]))
    finish(PHOTOS[:3], copies)
    assert store.count() == 3
    assert store.missing(in_use.model) == store.missing(copies.model) == 0


def test_without_a_copy_model_indexing_goes_on(finish: Finish, store: Store, in_use: ActiveModel) -> None:
    assert finish(PHOTOS, None).indexed == len(PHOTOS)
    assert store.missing(in_use.model) == 0
    assert store.models("copy") == []


def test_neither_is_kept_when_the_database_refuses_one(
    finish: Finish, store: Store, in_use: ActiveModel, copies: ActiveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No picture is known that does this to a real model, so the trouble is put on."""
    poison = copies.encoder.prepare(read(PHOTOS[2]).image)
    encode = copies.encoder.encode_prepared

    def encode_prepared(prepared: Sequence[torch.Tensor]) -> Vectors:
        vectors = encode(prepared)
        vectors[[torch.equal(one, poison) for one in prepared]] = np.nan
        return vectors

    monkeypatch.setattr(copies.encoder, "encode_prepared", encode_prepared)
    entry = finish(PHOTOS, copies)
    assert (entry.indexed, entry.failed) == (len(PHOTOS) - 1, 1)
    assert store.count() == len(PHOTOS) - 1
    [poisoned] = ids_of(PHOTOS[2:3])
    assert store.embedding(in_use.model, poisoned) is store.embedding(copies.model, poisoned) is None
