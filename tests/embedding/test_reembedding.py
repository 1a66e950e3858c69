from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.support.app import App
from bench.support.data import MODEL, MODEL_SETTING, some_photos
from bench.support.webserver import WebServer
from core.background import follower, tasks, worker
from core.collection.store import NewPicture, Store
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector
from core.embedding import reembedding as core_reembedding
from core.embedding.active_models import ActiveModel, ActiveModels, Reembedding
from core.embedding.encoder import Encoder, Vectors, load_encoder
from core.embedding.loader import EncoderLoader
from core.embedding.reembedding import reembed
from core.engine import Engine
from core.errors import LookalikeError
from core.media.decode import read_picture
from core.media.fetcher import Fetcher
from core.media.urls import key_of
from core.search.matches import Matcher, Matches
from core.search.nearest import Nearest
from core.search.query_images import QueryImages
from core.search.query_parts import Part
from core.search.query_vector import Query, QueryEncoder
from core.search.saved_thresholds import SavedThresholds
from core.settings import Settings
from tests.support.haste import HASTE

PHOTOS = [path.read_bytes() for path in some_photos(40)]


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second model: the small one with its last layer in another order, so that its vectors lie elsewhere."""
    folder = tmp_path_factory.mktemp("models") / "other"
    shutil.copytree(MODEL, folder)
    weights = folder / "open_clip_model.safetensors"
    tensors = load_file(weights)
    for name in ("visual.head.proj.weight", "visual.head.proj.bias"):
        tensors[name] = -tensors[name].roll(97, 0).contiguous()
    weights.chmod(0o644)
    save_file(tensors, weights)
    return folder


@pytest.fixture
def other_setting(other_folder: Path) -> str:
    return f"local-dir:{other_folder}"


@pytest.fixture
def query_of(settings: Settings, database: Database, store: Store) -> Iterator[Callable[[ActiveModel, bytes], Query]]:
    """Makes the query of a picture's bytes, with a model."""
    fetcher = Fetcher(settings)
    composer = QueryEncoder(settings, store, QueryImages(database, timedelta(days=1)), fetcher)
    yield lambda in_use, data: composer.compose(in_use, [Part(file=0)], [data])
    fetcher.close()


@pytest.fixture
def best(database: Database, store: Store) -> Callable[[Query], Matches]:
    """Finds the one best match of a query."""
    matcher = Matcher(store, Nearest(database), SavedThresholds(database))
    return lambda query: matcher.search(query, 1)


@pytest.fixture(scope="module")
def old_encoder() -> Encoder:
    return load_encoder(MODEL_SETTING)


@pytest.fixture(scope="module")
def new_encoder(other_folder: Path) -> Encoder:
    return load_encoder(f"local-dir:{other_folder}")


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


@pytest.fixture
def old_model(store: Store, old_encoder: Encoder) -> Model:
    return store.use_model(old_encoder.name, old_encoder.dim, MODEL_SETTING)


@pytest.fixture(scope="module")
def load() -> Iterator[Callable[[str], EncoderLoader]]:
    """Loads a model, once for all tests."""
    loaders = dict[str, EncoderLoader]()

    def loader(setting: str) -> EncoderLoader:
        if setting not in loaders:
            loaders[setting] = EncoderLoader(setting)
            loaders[setting].start()
            loaders[setting].get(60)
        return loaders[setting]

    yield loader
    for made in loaders.values():
        made.close()


@pytest.fixture
def configure(store: Store, load: Callable[[str], EncoderLoader]) -> Iterator[Callable[[str], ActiveModels]]:
    """Makes the models of a process whose CLIP_MODEL is that, loaded."""
    made = list[ActiveModels]()

    def start(setting: str) -> ActiveModels:
        made.append(ActiveModels(store, load(setting)))
        return made[-1]

    yield start
    for models in made:
        models.close()


@cache
def new_pictures(encoder: Encoder) -> list[NewPicture]:
    """All PHOTOS with this model's embeddings, as an import makes them."""
    pictures = [read_picture(data, max_bytes=10**7, max_pixels=10**7) for data in PHOTOS]
    vectors = encoder.encode_pictures([picture.image for picture in pictures])
    new = []
    for picture, vector in zip(pictures, vectors, strict=True):
        url = f"https://a.example/{picture.sha256.hex()}"
        new.append(NewPicture(key_of(url), url, picture, vector))
    return new


def index(database: Database, model: Model, encoder: Encoder, files: slice) -> list[UUID]:
    """Store some of the PHOTOS with this model's embeddings, as an import does."""
    new = new_pictures(encoder)[files]
    with database.connection() as connection:
        Store(database).add(connection, model, new)
    return [entry.id for entry in new]


def vectors_of(store: Store, model: Model, ids: list[UUID]) -> Vector:
    """Their embeddings, one a row."""
    found = [store.embedding(model, id) for id in ids]
    return np.stack([vector for vector in found if vector is not None])


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def serves(models: ActiveModels, name: str) -> bool:
    try:
        return models.serving().model.name == name
    except LookalikeError:
        return False


def never() -> bool:
    return False


def partly(store: Store, in_use: ActiveModel) -> int:
    """Embed a batch, which need not be a full one."""
    before = store.missing(in_use.model)
    return reembed(store, in_use, lambda: store.missing(in_use.model) < before)


def test_an_empty_collection_is_served_by_the_configured_model(
    configure: Callable[[str], ActiveModels], old_model: Model, other_setting: str, new_encoder: Encoder
) -> None:
    models = configure(other_setting)
    models.look()
    assert models.serving().model.name == new_encoder.name
    assert models.settled
    assert models.behind() == []


def test_the_same_model_has_nothing_to_do(
    database: Database, configure: Callable[[str], ActiveModels], old_model: Model, old_encoder: Encoder
) -> None:
    index(database, old_model, old_encoder, slice(3))
    models = configure(MODEL_SETTING)
    models.look()
    assert models.serving().model == old_model
    assert models.settled


def test_the_old_model_serves_until_the_new_one_has_every_picture(
    database: Database,
    store: Store,
    configure: Callable[[str], ActiveModels],
    old_model: Model,
    old_encoder: Encoder,
    new_encoder: Encoder,
    other_setting: str,
    query_of: Callable[[ActiveModel, bytes], Query],
    best: Callable[[Query], Matches],
) -> None:
    ids = index(database, old_model, old_encoder, slice(None))
    before = vectors_of(store, old_model, ids)
    models = configure(other_setting)
    wait_until(lambda: serves(models, old_encoder.name))
    models.look()
    assert models.reembedding == Reembedding(new_encoder.name, old_encoder.name, 0, len(PHOTOS))
    new = models.configured()
    first = partly(store, new)
    models.look()
    assert models.reembedding == Reembedding(new_encoder.name, old_encoder.name, first, len(PHOTOS))
    early = query_of(models.serving(), PHOTOS[5])
    assert early.model == old_model
    assert reembed(store, new, never) == len(PHOTOS) - first
    models.look()
    assert models.settled
    assert models.serving() == new
    # A query that was embedded before the change still meets only vectors of its own model.
    assert best(early).found[0].id == ids[5]
    assert best(early).model == old_encoder.name
    assert best(query_of(models.serving(), PHOTOS[5])).found[0].id == ids[5]
    assert np.array_equal(vectors_of(store, old_model, ids), before)


def test_the_vectors_are_the_new_models_own(
    database: Database,
    store: Store,
    configure: Callable[[str], ActiveModels],
    old_model: Model,
    old_encoder: Encoder,
    new_encoder: Encoder,
    other_setting: str,
) -> None:
    ids = index(database, old_model, old_encoder, slice(16))
    new = configure(other_setting).configured()
    reembed(store, new, never)
    made = np.array(vectors_of(store, new.model, ids))
    full = [read_picture(data, max_bytes=10**7, max_pixels=10**7).image for data in PHOTOS[:16]]
    assert (made * new_encoder.encode_pictures(full)).sum(axis=1).min() > 0.9
    assert np.abs((made * old_encoder.encode_pictures(full)).sum(axis=1)).max() < 0.4
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-2)


def test_what_is_indexed_meanwhile_is_found_by_the_old_model_too(
    database: Database,
    store: Store,
    configure: Callable[[str], ActiveModels],
    old_model: Model,
    old_encoder: Encoder,
    other_setting: str,
    query_of: Callable[[ActiveModel, bytes], Query],
    best: Callable[[Query], Matches],
) -> None:
    index(database, old_model, old_encoder, slice(30))
    models = configure(other_setting)
    wait_until(lambda: serves(models, old_encoder.name))
    models.look()
    new = models.configured()
    [fresh] = index(database, new.model, new.encoder, slice(30, 31))
    serving, behind = models.behind()
    assert (serving.model, behind) == (old_model, new)
    assert reembed(store, serving, never) == 1
    found = best(query_of(models.serving(), PHOTOS[30]))
    assert (found.model, found.found[0].id) == (old_encoder.name, fresh)
    assert found.found[0].similarity >= 0.995


def test_it_goes_on_after_a_restart(
    database: Database,
    store: Store,
    configure: Callable[[str], ActiveModels],
    old_model: Model,
    old_encoder: Encoder,
    other_setting: str,
) -> None:
    index(database, old_model, old_encoder, slice(None))
    first = partly(store, configure(other_setting).configured())
    again = configure(other_setting)
    wait_until(lambda: serves(again, old_encoder.name))
    again.look()
    assert again.reembedding is not None
    assert (again.reembedding.done, again.reembedding.total) == (first, len(PHOTOS))
    assert reembed(store, again.configured(), never) == len(PHOTOS) - first


def test_changing_back_needs_only_what_is_new(
    database: Database,
    store: Store,
    configure: Callable[[str], ActiveModels],
    old_model: Model,
    old_encoder: Encoder,
    other_setting: str,
) -> None:
    index(database, old_model, old_encoder, slice(30))
    new = configure(other_setting).configured()
    reembed(store, new, never)
    index(database, new.model, new.encoder, slice(30, 33))
    back = configure(MODEL_SETTING)
    wait_until(lambda: serves(back, new.model.name))
    back.look()
    assert reembed(store, back.configured(), never) == 3
    back.look()
    assert back.serving().model == old_model


@pytest.mark.parametrize("loss", ["gone", "changed"])
def test_without_the_old_model_the_new_one_serves_what_it_has(
    database: Database,
    store: Store,
    configure: Callable[[str], ActiveModels],
    old_encoder: Encoder,
    new_encoder: Encoder,
    other_setting: str,
    tmp_path: Path,
    loss: str,
) -> None:
    folder = tmp_path / MODEL.name
    if loss == "changed":
        shutil.copytree(MODEL, folder)
        (folder / "open_clip_config.json").chmod(0o644)
        with (folder / "open_clip_config.json").open("a") as config:
            config.write("\n")
    old_model = store.use_model(old_encoder.name, old_encoder.dim, f"local-dir:{folder}")
    index(database, old_model, old_encoder, slice(40))
    models = configure(other_setting)
    wait_until(lambda: serves(models, new_encoder.name))
    first = partly(store, models.configured())
    models.look()
    assert models.reembedding == Reembedding(new_encoder.name, new_encoder.name, first, 40)
    assert models.behind() == [models.configured()]


@pytest.mark.pooled(only=True)
def test_three_at_once_embed_everything_and_little_twice(
    database: Database, store: Store, old_model: Model, old_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_reembedding, "BATCH", 2)  # many for few pictures
    ids = index(database, old_model, old_encoder, slice(None))
    new = store.use_model("test/new", old_encoder.dim)
    encode, given, lock = old_encoder.encode_prepared, list[int](), threading.Lock()

    def counted(prepared: Sequence[torch.Tensor]) -> Vectors:
        with lock:
            given.append(len(prepared))
        return encode(prepared)

    monkeypatch.setattr(old_encoder, "encode_prepared", counted)
    made = list[int]()
    threads = [
        threading.Thread(target=lambda: made.append(reembed(store, ActiveModel(new, old_encoder), never)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) == len(ids)
    assert store.missing(new) == 0
    assert sum(given) < 2.5 * len(ids)  # side by side, unaware of each other, they would need 3


def test_a_damaged_thumbnail_holds_nothing_up(
    database: Database,
    store: Store,
    configure: Callable[[str], ActiveModels],
    old_model: Model,
    old_encoder: Encoder,
    other_setting: str,
) -> None:
    ids = index(database, old_model, old_encoder, slice(5))
    with database.connection() as connection:
        connection.execute("UPDATE thumbnails SET image = substr(image, 1, 300) WHERE picture = %s", (ids[2],))
    models = configure(other_setting)
    wait_until(lambda: serves(models, old_encoder.name))
    assert reembed(store, models.configured(), never) == 4
    models.look()
    assert models.settled


def test_a_removed_picture_is_embedded_when_it_returns(
    database: Database,
    store: Store,
    configure: Callable[[str], ActiveModels],
    old_model: Model,
    old_encoder: Encoder,
    other_setting: str,
) -> None:
    ids = index(database, old_model, old_encoder, slice(3))
    with database.connection() as connection:
        connection.execute("UPDATE pictures SET removed_at = now() WHERE id = %s", (ids[0],))
    models = configure(other_setting)
    assert reembed(store, models.configured(), never) == 2
    models.look()
    assert models.settled
    with database.connection() as connection:
        connection.execute("UPDATE pictures SET removed_at = NULL")
    models.look()
    assert [in_use.model for in_use in models.behind()] == [models.serving().model]
    assert reembed(store, models.serving(), never) == 1


@pytest.mark.pooled(only=True)
def test_the_engine_changes_over_by_itself_while_it_indexes(
    database: Database,
    store: Store,
    settings: Settings,
    old_model: Model,
    old_encoder: Encoder,
    new_encoder: Encoder,
    other_setting: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follower, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(worker, "SWEEP_SECONDS", 0.1)
    monkeypatch.setattr(tasks, "TURN_SECONDS", 0.2)
    ids = index(database, old_model, old_encoder, slice(30))
    engine = Engine(settings.model_copy(update={"clip_model": other_setting}))
    engine.start()
    seen = set[str]()
    try:
        with WebServer({f"/{number}.jpg": PHOTOS[30 + number] for number in range(10)}) as site:
            engine.wait_until_ready(60)
            urls = [site.url(f"/{number}.jpg") for number in range(10)]
            entry = engine.imports.submit("meanwhile", [(key_of(url), url) for url in urls])

            def is_over() -> bool:
                if not engine.can_search:
                    return False
                found = engine.search(engine.query_encoder.compose(engine.serving(), [Part(file=0)], [PHOTOS[3]]), 1)
                assert found.found[0].id == ids[3]
                assert found.found[0].similarity > 0.999
                seen.add(found.model)
                return found.model == new_encoder.name and engine.imports.read(entry.id).done

            wait_until(is_over)
    finally:
        engine.close()
    assert seen == {old_encoder.name, new_encoder.name}
    assert store.missing(store.use_model(new_encoder.name, new_encoder.dim)) == 0


def test_the_app_says_how_far_it_is_and_a_kill_loses_nothing(
    old_encoder: Encoder, new_encoder: Encoder, other_setting: str
) -> None:
    with (
        WebServer({f"/{number}.jpg": data for number, data in enumerate(PHOTOS)}) as site,
        App(COPY_MODEL="off", constants={**HASTE, "core.background.follower.PAUSE_SECONDS": 0.2}) as app,
    ):
        urls = [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))]
        assert app.post("/api/upsert?wait=100", json={"images": urls})["counts"]["indexed"] == len(PHOTOS)
        assert "reembedding" not in app.get("/api/health")
        app.stop()
        app.environment["CLIP_MODEL"] = other_setting
        app.launch()
        wait_until(lambda: "reembedding" in health(app))
        assert health(app)["reembedding"].keys() == {"model", "serving", "done", "total"}
        app.kill()
        app.start()
        wait_until(lambda: "reembedding" not in health(app) and asked(app) == new_encoder.name)


def health(app: App) -> Any:
    try:
        return app.get("/api/health")
    except httpx2.HTTPError:
        return {}


def asked(app: App) -> str:
    """The model that a search by an indexed picture used, which found that picture."""
    answer = app.post("/api/search", files={"file": PHOTOS[7]})
    assert answer["matches"][0]["url"].endswith("/7.jpg")
    assert answer["matches"][0]["similarity"] >= 0.995
    return str(answer["model"])
