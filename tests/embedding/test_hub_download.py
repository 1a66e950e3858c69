from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from PIL import Image

from bench.support.data import MODEL, MODEL_SETTING, some_photos
from bench.support.fakehub import VIT_B_32, FakeHub, Mode, commit_of, make_vit_b_32
from core.embedding import hub_download as core_hub
from core.embedding.encoder import load_encoder
from core.embedding.hub_download import newest_revision
from core.embedding.loader import EncoderLoader
from core.errors import EncoderError

SMALL = "hf-hub:test/small"
WEIGHTS = MODEL / "open_clip_model.safetensors"


def failure(model: str) -> str:
    with pytest.raises(EncoderError) as caught:
        load_encoder(model)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_a_download_tells_its_progress_and_gives_the_same_vectors(hub: FakeHub) -> None:
    steps: list[tuple[int, int | None]] = []
    encoder = load_encoder(SMALL, on_progress=lambda done, total: steps.append((done, total)))
    size = WEIGHTS.stat().st_size
    assert steps[0] == (0, size)
    assert steps[-1] == (size, size)
    assert encoder.name == SMALL
    photos = [Image.open(path).convert("RGB") for path in some_photos(4)]
    assert np.array_equal(encoder.encode_pictures(photos), load_encoder(MODEL_SETTING).encode_pictures(photos))


def test_a_cached_model_loads_without_the_hub(hub: FakeHub, use_hub: Callable[[str], Path], nobody: str) -> None:
    load_encoder(SMALL)
    asked = len(hub.requests)
    load_encoder(SMALL)
    assert len(hub.requests) == asked
    use_hub(nobody)
    assert load_encoder(SMALL).dim == 512


def test_a_hub_that_refuses_connections_is_named_with_the_way_out(use_hub: Callable[[str], Path], nobody: str) -> None:
    use_hub(nobody)
    started = time.monotonic()
    message = failure("ViT-B-32/laion2b_s34b_b79k")
    assert time.monotonic() - started < 10
    assert f"The model hub {nobody} cannot be reached" in message
    assert "Connection refused" in message
    assert "Try again" in message
    assert "CLIP_MODEL=local-dir:FOLDER" in message


def test_a_hub_that_says_nothing_is_given_up(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_hub, "TIMEOUT_SECONDS", 0.2)
    hub.mode = "mute"
    assert "cannot be reached (no answer in 0 seconds)" in failure(SMALL)


def test_a_sign_in_page_is_no_hub(hub: FakeHub) -> None:
    hub.mode = "portal"
    assert "cannot be reached (the server there is not a model hub)" in failure(SMALL)


def test_offline_mode_is_named(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids it" in failure(SMALL)
    assert not hub.requests


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("missing", "The model hub has no test/small"),
        ("gated", "HF_TOKEN"),
        ("broken", "unavailable (HTTP 503)"),
    ],
)
def test_a_refusal_is_one_sentence(hub: FakeHub, mode: Mode, words: str) -> None:
    hub.mode = mode
    assert words in failure(SMALL)
    hub.mode = "whole"
    assert load_encoder(SMALL).dim == 512


def test_a_repository_without_weights_is_told(hub: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    shutil.copy(MODEL / "open_clip_config.json", folder)
    hub.repositories["test/bare"] = folder
    assert "test/bare on the model hub has no file open_clip_model.safetensors" in failure("hf-hub:test/bare")


def test_a_repository_that_is_no_open_clip_model_is_told(hub: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text("<html>")
    hub.repositories["test/foreign"] = folder
    assert "is not an open_clip config" in failure("hf-hub:test/foreign")


def test_a_config_of_an_older_version_is_replaced(hub: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "older"
    folder.mkdir()
    shutil.copy(MODEL / "open_clip_config.json", folder)
    hub.repositories["test/small"] = folder
    assert "has no file" in failure(SMALL)
    hub.repositories["test/small"] = MODEL
    assert load_encoder(SMALL).dim == 512


def test_a_download_that_breaks_off_works_the_next_time(hub: FakeHub, tmp_path: Path) -> None:
    hub.mode, hub.cut_after = "cut", 2_000_000
    assert "The download of open_clip_model.safetensors was interrupted after 0 MB of 7 MB" in failure(SMALL)
    assert not list((tmp_path / "hub").rglob("*.incomplete"))
    hub.mode = "whole"
    assert load_encoder(SMALL).dim == 512


def test_one_cut_is_mended_unnoticed(hub: FakeHub) -> None:
    hub.mode, hub.cut_after, hub.cuts = "cut", 2_000_000, 2
    assert load_encoder(SMALL).dim == 512


def test_damaged_weights_leave_the_cache(hub: FakeHub, tmp_path: Path) -> None:
    hub.mode = "garbage"
    message = failure(SMALL)
    assert f"The downloaded files of {SMALL} are damaged" in message
    assert "Try again" in message
    blobs = tmp_path / "hub" / "models--test--small" / "blobs"
    assert not list(blobs.iterdir())
    hub.mode = "whole"
    assert load_encoder(SMALL).dim == 512


def test_a_full_disk_is_named(hub: FakeHub, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk: both end in an error of the same write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        message = failure(SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"There is not enough disk space for open_clip_model.safetensors (7 MB) in {tmp_path / 'hub'}" in message
    assert load_encoder(SMALL).dim == 512


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("ViT-B-32/laion2b_s34b_b79", "such as ViT-B-32/laion2b_s34b_b79k"),
        ("ViT-B-32", "set CLIP_MODEL to NAME/TAG, such as ViT-B-32"),
        ("", "set CLIP_MODEL to NAME/TAG"),
        ("hf-hub:", "needs ORGANISATION/NAME"),
        ("hf-hub:a/b/c", "needs ORGANISATION/NAME"),
    ],
)
def test_a_wrong_name_is_met_with_near_ones(hub: FakeHub, model: str, words: str) -> None:
    assert words in failure(model)
    assert not hub.requests


def test_the_hub_hears_only_what_it_must(hub: FakeHub) -> None:
    load_encoder(SMALL)
    commit = commit_of(MODEL)
    files = [f"/test/small/resolve/{commit}/{name}" for name in ("open_clip_config.json", WEIGHTS.name)]
    assert [(method, path.partition("?")[0]) for method, path, _ in hub.requests] == [
        ("GET", "/api/models/test/small"),
        ("GET", "/api/models/test/small/revision/main"),
        ("GET", f"/api/models/test/small/tree/{commit}"),
        *((method, file) for file in files for method in ("HEAD", "GET")),
    ]


def test_all_files_are_of_one_revision(hub: FakeHub, tmp_path: Path) -> None:
    """The model is replaced on the hub while it is downloaded: what comes is what there was at the beginning."""
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(MODEL, old)
    shutil.copytree(MODEL, new)
    (new / "open_clip_model.safetensors").write_bytes(b"of another config")
    hub.repositories["test/small"] = old

    encoder = load_encoder(SMALL, on_progress=lambda *_: hub.repositories.update({"test/small": new}))
    assert encoder.dim == 512
    (folder,) = (tmp_path / "hub" / "models--test--small" / "snapshots").iterdir()
    assert folder.name == commit_of(old)


def test_a_hub_that_goes_away_after_the_config_is_named(
    hub: FakeHub, use_hub: Callable[[str], Path], nobody: str
) -> None:
    newest_revision("test/small", "open_clip_config.json")
    use_hub(nobody)
    started = time.monotonic()
    assert f"The model hub {nobody} cannot be reached" in failure(SMALL)
    assert time.monotonic() - started < 10


def test_the_loader_fails_is_retried_and_gets_ready(hub: FakeHub) -> None:
    loader = EncoderLoader(SMALL)
    try:
        with pytest.raises(EncoderError, match="still loading"):
            loader.get()
        hub.mode = "missing"
        loader.start()
        with pytest.raises(EncoderError, match="has no test/small"):
            loader.get(60)
        failed = loader.state
        assert failed.state == "failed"
        assert "has no test/small" in failed.message
        loader.start()
        assert loader.state == failed
        hub.mode = "whole"
        loader.retry()
        encoder = loader.get(60)
        assert loader.state.state == "ready"
        assert loader.state.done_bytes == loader.state.total_bytes == WEIGHTS.stat().st_size
        loader.retry()
        assert loader.get() is encoder
    finally:
        loader.close()


def test_closing_breaks_a_download_off(hub: FakeHub, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    shutil.copy(MODEL / "open_clip_config.json", folder)
    with (folder / "open_clip_model.safetensors").open("wb") as file:
        file.truncate(400_000_000)
    hub.repositories["test/large"] = folder
    hub.rate = 40e6
    loader = EncoderLoader("hf-hub:test/large")
    loader.start()
    deadline = time.monotonic() + 60
    while not loader.state.done_bytes and time.monotonic() < deadline:
        time.sleep(0.02)
    state = loader.state
    assert 0 < state.done_bytes < 400_000_000
    assert state.total_bytes == 400_000_000
    assert "of 400 MB" in state.message
    with pytest.raises(EncoderError, match=r"CLIP is still loading \(\d+ of 400 MB\)"):
        loader.get(0.01)
    loader.close()
    assert loader.state.done_bytes < 400_000_000
    with pytest.raises(EncoderError, match="closing"):
        loader.get()


SCRIPT = """
import json, sys
import numpy as np
from PIL import Image
from core.embedding.loader import EncoderLoader
loader = EncoderLoader("ViT-B-32/laion2b_s34b_b79k")
loader.start()
encoder = loader.get(300)
pictures = encoder.encode_pictures([Image.open(path).convert("RGB") for path in sys.argv[1:]])
words = encoder.encode_words(["a metronome", "a wild cat " * 100])
state = loader.state
loader.close()
print(json.dumps({
    "name": encoder.name, "dim": encoder.dim, "reads_words": encoder.reads_words,
    "pictures": pictures.shape, "words": words.shape,
    "norms": np.linalg.norm(np.concatenate([pictures, words]), axis=1).tolist(),
    "state": state.state, "done": state.done_bytes, "total": state.total_bytes,
}))
"""


def test_the_default_model_comes_whole_through_a_cut_connection(tmp_path: Path) -> None:
    """ViT-B/32 with random weights, in a process of its own that learns of the hub from its environment."""
    folder = make_vit_b_32(tmp_path / "ViT-B-32")
    size = (folder / "open_clip_model.safetensors").stat().st_size
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-W", "error", "-c", SCRIPT, *map(str, some_photos(2))]
    try:
        with FakeHub({VIT_B_32: folder}) as hub:
            hub.mode, hub.cut_after, hub.cuts = "cut", 105_000_000, 1
            environment["HF_ENDPOINT"] = hub.url
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr
            ranges = [first for method, path, first in hub.requests if (method, path[-6:]) == ("GET", "ensors")]
        report = json.loads(done.stdout)
        assert ranges == [None, "bytes=104857600-"]
        assert report["name"] == "ViT-B-32/laion2b_s34b_b79k"
        assert (report["dim"], report["reads_words"]) == (512, True)
        assert (report["pictures"], report["words"]) == ([2, 512], [2, 512])
        assert report["norms"] == pytest.approx([1] * 4, abs=1e-5)
        assert (report["state"], report["done"], report["total"]) == ("ready", size, size)
    finally:
        shutil.rmtree(tmp_path / "ViT-B-32")
        shutil.rmtree(tmp_path / "hf", ignore_errors=True)
