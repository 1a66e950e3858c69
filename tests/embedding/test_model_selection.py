"""With CLIP_MODEL unset: CLIP when it can be had, else the built-in encoder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import open_clip
import pytest

from bench.support.data import MODEL, some_photos
from bench.support.fakehub import FakeHub
from bench.support.webserver import WebServer
from core.background import follower, worker
from core.embedding import checkpoint as clip_model
from core.embedding import model_selection as core_choice
from core.embedding.encoder import load_encoder
from core.embedding.hub_download import fetch, newest_revision
from core.embedding.model_selection import CLIP_REPOSITORY, DEFAULT_CLIP, ModelSelection
from core.engine import Engine
from core.errors import EncoderError
from core.media.urls import key_of
from core.search.query_parts import Part
from core.settings import Settings

SMALL = "hf-hub:test/small"
PHOTOS = [path.read_bytes() for path in some_photos(12)]


@pytest.fixture
def small_clip(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The hub, on which CLIP is as small as our test model."""
    monkeypatch.setattr(core_choice, "DEFAULT_CLIP", SMALL)
    monkeypatch.setattr(core_choice, "CLIP_REPOSITORY", "test/small")
    return hub


def wait_until(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_clip_is_what_open_clip_calls_so() -> None:
    entry = open_clip.get_pretrained_cfg(*DEFAULT_CLIP.split("/"))
    assert entry["hf_hub"].rpartition("/")[0] == CLIP_REPOSITORY
    assert entry["hf_hub"].endswith("/"), "the files have open_clip's usual names"


def download() -> Path:
    """The weights of that small CLIP, in the cache."""
    folder = newest_revision("test/small", clip_model.CONFIG)
    return fetch("test/small", folder, clip_model.WEIGHTS, lambda done, total: None)


@pytest.fixture
def builtin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the built-in encoder, for the app to use."""
    folder = tmp_path / "builtin"
    shutil.copytree(clip_model.BUILTIN_FOLDER, folder)
    monkeypatch.setattr(clip_model, "BUILTIN_FOLDER", folder)
    return folder


def test_the_built_in_encoder_is_an_open_clip_model_that_reads_no_words(builtin: Path) -> None:
    (builtin / "open_clip_pytorch_model.bin").write_bytes(b"never looked at")
    encoder = load_encoder("built-in")
    assert (encoder.dim, encoder.precision) == (512, "float32")
    assert encoder.name.startswith("built-in@")
    with pytest.raises(EncoderError, match="does not support text: search with a picture"):
        encoder.encode_words(["a red bicycle"])
    assert sum(path.stat().st_size for path in clip_model.BUILTIN_FOLDER.iterdir()) <= 8_000_000


def damage_weights(builtin: Path) -> None:
    weights = builtin / "open_clip_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)


def use_foreign_weights(builtin: Path) -> None:
    shutil.copy(MODEL / "open_clip_model.safetensors", builtin)


def use_pickled_weights(builtin: Path) -> None:
    (builtin / "open_clip_model.safetensors").rename(builtin / "open_clip_pytorch_model.bin")


def lose_the_checksum(builtin: Path) -> None:
    (builtin / "SHA256SUMS").unlink()


def give_another_checksum(builtin: Path) -> None:
    (builtin / "SHA256SUMS").write_text(f"{'0' * 64}  open_clip_model.safetensors\n")


def lose_the_config(builtin: Path) -> None:
    (builtin / "open_clip_config.json").write_text("[]")


@pytest.mark.parametrize(
    "harm",
    [
        damage_weights,
        use_foreign_weights,
        use_pickled_weights,
        lose_the_checksum,
        give_another_checksum,
        lose_the_config,
    ],
)
def test_what_does_not_match_its_checksum_is_refused(builtin: Path, harm: Callable[[Path], None]) -> None:
    harm(builtin)
    with pytest.raises(EncoderError, match=r"built-in encoder is damaged.*copy that folder.*or set CLIP_MODEL\.$"):
        load_encoder("built-in")


def test_clip_works_at_once_when_the_cache_has_it(small_clip: FakeHub) -> None:
    download()
    choice = ModelSelection("")
    assert choice.loader.state.model == SMALL
    assert choice.awaited is None
    explicit = ModelSelection("local-dir:/nowhere")
    assert (explicit.loader.state.model, explicit.awaited) == ("local-dir:/nowhere", None)


def test_the_built_in_encoder_steps_in_for_a_damaged_clip_until_it_is_mended(small_clip: FakeHub) -> None:
    path = download()
    path.resolve().write_bytes(b"\xff" * 1000)
    changes = list[str]()
    choice = ModelSelection("")
    choice.start(lambda loader: changes.append(loader.state.model))
    try:
        wait_until(lambda: changes == ["built-in"])
        assert choice.loader.get(60).name.startswith("built-in@")
        awaited = choice.awaited
        assert awaited is not None
        assert "are damaged" in awaited.message
        choice.retry()
        wait_until(lambda: changes == ["built-in", SMALL])
        assert (choice.loader.get().name, choice.awaited) == (SMALL, None)
    finally:
        choice.close()


def test_the_collection_is_embedded_again_when_clip_comes(
    small_clip: FakeHub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(worker, "SWEEP_SECONDS", 0.1)
    small_clip.mode = "broken"
    engine = Engine(settings.model_copy(update={"clip_model": ""}))
    engine.start()
    try:
        engine.wait_until_ready(60)
        wait_until(lambda: (state := engine.model_selection.awaited) is not None and state.state == "failed")
        with WebServer({f"/{number}.jpg": data for number, data in enumerate(PHOTOS)}) as site:
            addresses = [(key_of(url), url) for url in map(site.url, (f"/{n}.jpg" for n in range(len(PHOTOS))))]
            before = engine.imports.submit("with the built-in encoder", addresses[:8])
            wait_until(lambda: engine.imports.read(before.id).done)
            found = engine.search(engine.query_encoder.compose(engine.serving(), [Part(file=0)], [PHOTOS[3]]), 1)
            assert found.model.startswith("built-in@")
            assert (found.found[0].url, found.found[0].similarity > 0.995) == (addresses[3][1], True)
            small_clip.mode = "whole"
            engine.model_selection.retry()
            wait_until(lambda: engine.model().name == SMALL)
            assert engine.store.missing(engine.model()) == 0
            found = engine.search(engine.query_encoder.compose(engine.serving(), [Part(file=0)], [PHOTOS[3]]), 1)
            assert (found.model, found.found[0].url) == (SMALL, addresses[3][1])
            after = engine.imports.submit("with CLIP", addresses[8:])
            wait_until(lambda: engine.imports.read(after.id).done)
            assert engine.store.missing(engine.model()) == 0, "the worker uses the new model, too"
    finally:
        engine.close()


def test_a_collection_of_clips_is_served_by_the_built_in_encoder_while_clip_is_away(
    small_clip: FakeHub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(worker, "SWEEP_SECONDS", 0.1)
    with WebServer({f"/{number}.jpg": data for number, data in enumerate(PHOTOS)}) as site:
        urls = [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))]
        first = Engine(settings.model_copy(update={"clip_model": SMALL}))
        first.start()
        first.wait_until_ready(60)
        entry = first.imports.submit("with CLIP", [(key_of(url), url) for url in urls])
        wait_until(lambda: first.imports.read(entry.id).done)
        first.close()
    shutil.rmtree(huggingface_hub.constants.HF_HUB_CACHE)
    small_clip.mode = "broken"
    second = Engine(settings.model_copy(update={"clip_model": ""}))
    second.start()
    try:
        second.wait_until_ready(60)
        wait_until(lambda: second.can_search and second.store.missing(second.model()) == 0)
        found = second.search(second.query_encoder.compose(second.serving(), [Part(file=0)], [PHOTOS[5]]), 1)
        assert found.model.startswith("built-in@")
        assert found.found[0].url == urls[5]
        small_clip.mode = "whole"
        second.model_selection.retry()
        wait_until(lambda: second.model().name == SMALL)
        assert second.reembedding is None
    finally:
        second.close()
