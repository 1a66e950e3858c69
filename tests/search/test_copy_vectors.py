"""A query of one picture carries the copy model's vector of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID

import numpy as np
import pytest

from bench.support.data import some_photos
from bench.support.webserver import WebServer
from core.collection.store import picture_id
from core.database.embedding_tables import Vector
from core.embedding.active_models import ActiveModel
from core.engine import Engine
from core.media.crop import crop_image
from core.media.decode import read_picture
from core.media.urls import key_of
from core.search.query_parts import Part
from core.search.query_vector import Query, combined
from core.settings import Settings
from tests.support.copy_models import write_onnx

FILES = [path.read_bytes() for path in some_photos(6)]
HALF = (0.0, 0.25, 0.5, 1.0)


@pytest.fixture(scope="module")
def engine(module_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = write_onnx(tmp_path_factory.mktemp("models") / "copy.onnx")
    made = Engine(module_settings.model_copy(update={"copy_model": str(path)}))
    made.start()
    made.wait_until_ready(60)
    wait_for(made)
    yield made
    made.close()


def wait_for(engine: Engine) -> ActiveModel:
    """The copy model, which loads after the other one."""
    pause = threading.Event()
    for _ in range(600):
        if found := engine.copy_model():
            return found
        pause.wait(0.1)
    raise AssertionError(engine.copy_model_state)


@pytest.fixture(scope="module")
def member(engine: Engine) -> UUID:
    """The picture of FILES[0], indexed."""
    with WebServer({"/a.jpg": FILES[0]}) as site:
        url = site.url("/a.jpg")
        entry = engine.imports.submit("a", [(key_of(url), url)])
        pause = threading.Event()
        while not engine.imports.read(entry.id).done:
            pause.wait(0.1)
    return picture_id(read_picture(FILES[0], max_bytes=10**7, max_pixels=10**7).sha256)


def compose(engine: Engine, *parts: Part) -> Query:
    return engine.query_encoder.compose(engine.serving(), parts, FILES)


def expected(engine: Engine, data: bytes, crop: tuple[float, float, float, float] | None = None) -> Vector:
    image = read_picture(data, max_bytes=10**7, max_pixels=10**7).image
    encoder = wait_for(engine).encoder
    return np.asarray(encoder.encode_pictures([crop_image(image, crop) if crop else image])[0])


def same(query: Query, vector: Vector) -> bool:
    """Whether a query has this copy vector; a stored one is a little longer or shorter, for it has half precision."""
    assert query.copy_vector is not None
    lengths = np.linalg.norm(query.copy_vector) * np.linalg.norm(vector)
    return float(query.copy_vector @ vector / lengths) > 0.9999


def test_a_file_has_its_copy_vector(engine: Engine) -> None:
    query = compose(engine, Part(file=1))
    assert query.copy_model == wait_for(engine).model
    assert query.copy_model is not None
    assert query.copy_model.purpose == "copy"
    assert same(query, expected(engine, FILES[1]))
    assert not same(query, expected(engine, FILES[2]))


def test_a_crop_is_respected(engine: Engine) -> None:
    query = compose(engine, Part(file=1, crop=HALF))
    assert same(query, expected(engine, FILES[1], HALF))
    assert not same(query, expected(engine, FILES[1]))


def test_a_picture_of_the_collection_has_its_stored_one(engine: Engine, member: UUID) -> None:
    stored = engine.store.embedding(wait_for(engine).model, member)
    assert stored is not None
    for part in (Part(picture=member), Part(file=0)):
        assert same(compose(engine, part), stored)
    assert same(compose(engine, Part(picture=member, crop=HALF)), expected(engine, thumbnail(engine, member), HALF))


def test_a_picture_whose_copy_embedding_is_still_missing_has_one_of_its_thumbnail(engine: Engine, member: UUID) -> None:
    model = wait_for(engine).model
    with engine.database.connection() as connection:
        kept = connection.execute(f"DELETE FROM embeddings_{model.id} RETURNING picture, embedding").fetchall()
    query = compose(engine, Part(picture=member))
    assert same(query, expected(engine, thumbnail(engine, member)))
    engine.store.embed(model, {id: vector.to_numpy() for id, vector in kept})


def thumbnail(engine: Engine, id: UUID) -> bytes:
    return engine.store.thumbnail(id)[1]


def test_the_copies_of_a_query_are_found_by_it(engine: Engine, member: UUID) -> None:
    query = compose(engine, Part(upload=engine.query_encoder.keep("a.jpg", FILES[0]).upload))
    assert query.copy_model is not None
    assert query.copy_vector is not None
    [best] = engine.nearest.search(query.copy_model, query.copy_vector, 1).matches
    assert (best.id, best.similarity > 0.999) == (member, True)


def test_more_than_one_picture_has_none(engine: Engine) -> None:
    for parts in ([Part(file=0), Part(file=1)], [Part(file=0), Part(file=0, crop=HALF)]):
        query = compose(engine, *parts)
        assert query.copy_vector is None
        assert query.copy_model is None


def test_a_negative_picture_leaves_the_one_looked_for(engine: Engine) -> None:
    assert same(compose(engine, Part(file=1), Part(file=2, weight=-0.5)), expected(engine, FILES[1]))


def test_words_have_none(engine: Engine) -> None:
    query = compose(engine, Part(file=1))
    [picture] = query.encoded_parts
    words = type(picture)(Part(words="red"), np.roll(picture.vector, 1), "red")
    for parts in ([words], [picture, words]):
        assert combined(query.model, parts).copy_vector is None


def test_off_means_none(module_settings: Settings) -> None:
    off = Engine(module_settings.model_copy(update={"copy_model": "off"}))
    off.start()
    try:
        off.wait_until_ready(60)
        assert (off.copy_model(), off.copy_model_state, off.copy_reembedding) == (None, None, None)
        query = off.query_encoder.compose(off.serving(), [Part(file=1)], FILES)
        assert query.copy_vector is None
        assert query.copy_model is None
    finally:
        off.close()
