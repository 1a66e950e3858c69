from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from bench.support.data import some_photos
from bench.support.webserver import WebServer
from core.collection.store import picture_id
from core.engine import Engine
from core.errors import EncoderError, NotFoundError
from core.media.decode import read_picture
from core.media.urls import key_of
from core.search.query_parts import Part
from core.settings import Settings

FILES = [path.read_bytes() for path in some_photos(2)]
ONE, OTHER = (picture_id(read_picture(file, max_bytes=10**7, max_pixels=10**7).sha256) for file in FILES)


@pytest.fixture(scope="module")
def engine(module_settings: Settings) -> Iterator[Engine]:
    """With two pictures indexed."""
    made = Engine(module_settings.model_copy(update={"copy_model": "off"}))
    made.start()
    made.wait_until_ready(60)
    with WebServer({"/0.jpg": FILES[0], "/1.jpg": FILES[1]}) as site:
        urls = [site.url(path) for path in site.pages]
        entry = made.imports.submit("both", [(key_of(url), url) for url in urls])
        pause = threading.Event()
        while not made.imports.read(entry.id).done:
            pause.wait(0.05)
    yield made
    made.close()


def test_query_and_match_have_a_heat_map_each(engine: Engine) -> None:
    query = engine.query_encoder.compose(engine.serving(), [Part(file=0)], FILES[:1])
    found, itself = engine.likeness(query, OTHER), engine.likeness(query, ONE)
    assert found.query is not None
    assert itself.query is not None
    assert found.query.shares.ndim == found.match.shares.ndim == 2
    assert itself.match.shares.sum() > found.match.shares.sum()
    assert not np.allclose(found.query.shares, itself.query.shares)


def test_what_cannot_be_said_is_said(engine: Engine) -> None:
    query = engine.query_encoder.compose(engine.serving(), [Part(picture=ONE)])
    with pytest.raises(NotFoundError, match="no longer in the collection"):
        engine.likeness(query, UUID(int=1))
    with pytest.raises(EncoderError, match="The model has changed"):
        engine.likeness(replace(query, model=replace(query.model, id=99)), OTHER)
