"""Collections that lack the copy model's embeddings get them, from the thumbnails, while everything else goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from bench.support.data import MODEL_SETTING, some_photos
from bench.support.webserver import WebServer
from core.background import follower, worker
from core.collection.store import NewPicture, Store
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector
from core.embedding.active_models import ActiveModels, Reembedding
from core.embedding.copy_encoder import load_copy_encoder
from core.embedding.loader import EncoderLoader
from core.embedding.reembedding import reembed
from core.engine import Engine
from core.media.decode import read_picture
from core.media.urls import key_of
from core.settings import Settings
from core.ui import app_status
from tests.conftest import client_of
from tests.support.copy_models import write_onnx
from tests.support.haste import SHORT_LEASES
from tests.support.worker import WorkerProcess

PHOTOS = [read_picture(path.read_bytes(), max_bytes=10**7, max_pixels=10**7) for path in some_photos(20)]
MANY = 1_000


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy model."""
    return write_onnx(tmp_path_factory.mktemp("models") / "copy.onnx")


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


@pytest.fixture
def content(store: Store) -> Model:
    """A model that searches by content."""
    return store.use_model("test/eight", 8)


@pytest.fixture
def ids(database: Database, store: Store, content: Model) -> list[UUID]:
    """Pictures that only that model has embedded."""
    new = list[NewPicture]()
    for number, picture in enumerate(PHOTOS):
        url = f"https://a.example/{number}"
        new.append(NewPicture(key_of(url), url, picture, np.eye(8, dtype=np.float32)[number % 8]))
    with database.connection() as connection:
        store.add(connection, content, new)
    return [picture.id for picture in new]


Configure = Callable[[Path], ActiveModels]


@pytest.fixture
def configure(store: Store) -> Iterator[Configure]:
    """Makes the copy models of a process whose COPY_MODEL is that, loaded."""
    made = list[tuple[ActiveModels, EncoderLoader]]()

    def start(path: Path) -> ActiveModels:
        loader = EncoderLoader(str(path), load_copy_encoder, "The copy model")
        loader.start()
        loader.get(60)
        made.append((ActiveModels(store, loader, purpose="copy"), loader))
        return made[-1][0]

    yield start
    for models, loader in made:
        models.close()
        loader.close()


def wait_until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def never() -> bool:
    return False


def embeddings(store: Store, model: Model, ids: list[UUID]) -> list[Vector]:
    return [vector for id in ids if (vector := store.embedding(model, id)) is not None]


def test_what_lacks_one_gets_it_from_its_thumbnail(
    store: Store, ids: list[UUID], content: Model, configure: Configure, file: Path
) -> None:
    models = configure(file)
    models.look()
    serving = models.serving()
    assert serving.model.purpose == "copy"
    assert models.reembedding == Reembedding(serving.model.name, serving.model.name, 0, len(ids))
    assert models.behind() == [serving]
    assert reembed(store, serving, never) == len(ids)
    models.look()
    assert models.settled
    full = serving.encoder.encode_pictures([picture.image for picture in PHOTOS])
    assert (np.stack(embeddings(store, serving.model, ids)) * full).sum(1).min() > 0.95
    assert len(embeddings(store, content, ids)) == len(ids)


def test_another_copy_model_takes_over_when_it_has_every_picture(
    store: Store, ids: list[UUID], configure: Configure, file: Path, tmp_path: Path
) -> None:
    first = configure(file)
    reembed(store, first.configured(), never)
    other = configure(write_onnx(tmp_path / "other.onnx", seed=1))
    wait_until(lambda: other.load_state.state == "ready")
    old, new = first.configured().model, other.configured()
    other.look()
    wait_until(lambda: len(other.behind()) == 2)
    assert other.serving().model == old
    assert other.reembedding == Reembedding(new.model.name, old.name, 0, len(ids))
    assert reembed(store, new, never) == len(ids)
    other.look()
    assert other.serving() == new


def test_neither_purpose_takes_the_others_model(
    store: Store, ids: list[UUID], content: Model, configure: Configure, file: Path
) -> None:
    copies = configure(file)
    reembed(store, copies.configured(), never)
    assert store.models() == [content]
    assert store.models("copy") == [copies.configured().model]
    loader = EncoderLoader(MODEL_SETTING)
    loader.start()
    loader.get(60)
    models = ActiveModels(store, loader)
    try:
        models.look()
        assert models.serving() == models.configured()  # although the copy model has more of the collection
        assert models.configured().model.purpose == "content"
        assert [in_use.model for in_use in models.behind()] == [models.configured().model]
    finally:
        models.close()
        loader.close()


def running(settings: Settings, **update: Any) -> Engine:
    engine = Engine(settings.model_copy(update=update))
    engine.start()
    engine.wait_until_ready(90)
    return engine


def shown(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """What the pages say of the state of the app."""

    def page() -> None:
        from core.ui.app_status import status_line

        status_line()

    monkeypatch.setattr(app_status, "engine", lambda: engine)
    return AppTest.from_function(page, default_timeout=60).run()


def test_the_app_embeds_what_is_missing_and_says_how_far_it_is(
    store: Store, ids: list[UUID], settings: Settings, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(worker, "SWEEP_SECONDS", 0.2)
    idle = running(settings, copy_model=str(file), workers=0)
    try:
        wait_until(lambda: idle.copy_reembedding is not None)
        [model] = store.models("copy")
        answer = client_of(idle).get("/api/health").json()["copy_model"]
        assert (answer["state"], answer["name"], answer["message"]) == ("ready", str(file), "")
        assert answer["reembedding"] == {"model": model.name, "serving": model.name, "done": 0, "total": len(ids)}
        said = shown(idle, monkeypatch)
        assert not said.exception
        assert any(f"edited copies are found: 0 of {len(ids)}" in bar.proto.text for bar in said.get("progress"))
    finally:
        idle.close()
    busy = running(settings, copy_model=str(file))
    try:
        wait_until(lambda: store.missing(model) == 0)
        wait_until(lambda: busy.copy_reembedding is None)
        assert busy.copy_model() is not None
        assert "reembedding" not in client_of(busy).get("/api/health").json()["copy_model"]
    finally:
        busy.close()


def test_a_copy_model_that_cannot_be_loaded_stops_nothing_and_says_why(
    store: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = tmp_path / "lost.onnx"
    engine = running(settings, copy_model=str(lost))
    try:
        wait_until(lambda: engine.copy_model_state is not None and engine.copy_model_state.state == "failed")
        assert engine.copy_model() is None
        body = client_of(engine).get("/api/health").json()
        assert (body["status"], body["copy_model"]["state"]) == ("ok", "failed")
        assert "there is no such file" in body["copy_model"]["message"]
        said = shown(engine, monkeypatch)
        assert "there is no such file" in said.warning[0].value
        with WebServer({"/a.jpg": some_photos(1)[0]}) as site:
            client_of(engine).post("/api/upsert?wait=60", json={"images": [site.url("/a.jpg")]})
        assert store.count() == 1
        write_onnx(lost)
        said.button(key="retry-copy-model").click().run()
        wait_until(lambda: engine.copy_model() is not None)
        wait_until(lambda: store.missing(store.models("copy")[0]) == 0)
    finally:
        engine.close()


@pytest.mark.pooled(only=True)
def test_a_kill_loses_nothing(
    store: Store, database: Database, settings: Settings, content: Model, file: Path, tmp_path: Path
) -> None:
    with database.connection() as connection:
        connection.execute(
            """INSERT INTO pictures (id, sha256, phash, width, height, bytes, mime)
               SELECT encode(substr(digest, 1, 16), 'hex')::uuid, digest, hashtextextended(digest::text, 0),
                      300, 200, 1, 'image/jpeg'
               FROM (SELECT sha256(n::text::bytea) AS digest FROM generate_series(1, %s) n) made""",
            (MANY,),
        )
        connection.execute("INSERT INTO thumbnails SELECT id, 'image/jpeg', %b FROM pictures", (PHOTOS[0].thumbnail,))
        connection.execute(f"INSERT INTO embeddings_{content.id} SELECT id, '[1,0,0,0,0,0,0,0]' FROM pictures")
    assert settings.postgres_url is not None
    url = settings.postgres_url.get_secret_value()
    with WorkerProcess(tmp_path, "worker", constants=SHORT_LEASES, POSTGRES_URL=url, COPY_MODEL=str(file)) as process:
        wait_until(lambda: bool(store.models("copy")) and store.missing(store.models("copy")[0]) < MANY)
        process.kill()
        [model] = store.models("copy")
        missing = store.missing(model)
        assert 0 < missing < MANY
        process.start()
        wait_until(lambda: store.missing(model) == 0)
    with database.connection() as connection:
        ((distinct,),) = connection.execute(f"SELECT count(DISTINCT embedding::text) FROM embeddings_{model.id}")
    assert distinct == 1
