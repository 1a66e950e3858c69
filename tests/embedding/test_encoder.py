from __future__ import annotations

import io
import json
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from bench.support.data import MODEL, MODEL_SETTING, some_photos
from bench.support.fakehub import make_vit_b_32
from core.embedding import encoder as core_encoder
from core.embedding.encoder import ClipEncoder, load_encoder
from core.errors import EncoderError


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    return load_encoder(MODEL_SETTING)


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in some_photos(24)]


@pytest.fixture(scope="module")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A whole ViT-B/32 with random weights: what it sees means nothing, how it computes is the real thing."""
    folder = make_vit_b_32(tmp_path_factory.mktemp("models") / "ViT-B-32")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def vit(vit_folder: Path) -> ClipEncoder:
    return load_encoder(f"local-dir:{vit_folder}", precision="fp32")


def recompressed(photo: Image.Image) -> Image.Image:
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=40)
    return Image.open(data).convert("RGB")


def test_rows_are_unit_float32_of_the_models_dimension(encoder: ClipEncoder, photos: list[Image.Image]) -> None:
    vectors = encoder.encode_pictures(photos)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(photos), encoder.dim) == (24, 512)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_gives_no_rows(encoder: ClipEncoder, vit: ClipEncoder) -> None:
    assert encoder.encode_pictures([]).shape == (0, 512)
    assert encoder.encode_prepared([]).dtype == np.float32
    assert vit.encode_words([]).shape == (0, 512)


def test_a_picture_alone_and_in_a_batch_are_the_same(encoder: ClipEncoder, photos: list[Image.Image]) -> None:
    together = encoder.encode_pictures(photos)
    alone = np.concatenate([encoder.encode_pictures([photo]) for photo in photos])
    assert (together * alone).sum(axis=1).min() >= 0.9999


def test_a_picture_encoded_again_is_the_same(encoder: ClipEncoder, photos: list[Image.Image]) -> None:
    first = encoder.encode_pictures(photos[:3])
    assert np.allclose(first, encoder.encode_pictures(photos[:3]), atol=1e-6)


def test_a_recompressed_photo_is_nearest_to_its_original(encoder: ClipEncoder, photos: list[Image.Image]) -> None:
    originals = encoder.encode_pictures(photos)
    copies = encoder.encode_pictures([recompressed(photo) for photo in photos])
    assert (copies @ originals.T).argmax(axis=1).tolist() == list(range(len(photos)))


def test_prepare_and_batch_are_the_models_own(encoder: ClipEncoder, photos: list[Image.Image]) -> None:
    _, _, preprocess = open_clip.create_model_and_transforms(MODEL_SETTING)
    batch = encoder.batch([encoder.prepare(photo) for photo in photos[:3]])
    assert batch.shape == (3, 3, 225, 225)
    assert batch.dtype == torch.float32
    apart = (batch - torch.stack([preprocess(photo) for photo in photos[:3]])).abs()
    assert apart.max() < 1.01 / 255 / 0.26  # one of 256 levels, where a position was rounded otherwise
    assert (apart > 1e-6).float().mean() < 1e-3


def test_the_name_of_a_folder_follows_its_content(encoder: ClipEncoder, tmp_path: Path) -> None:
    folder = tmp_path / MODEL.name
    shutil.copytree(MODEL, folder)
    config = folder / "open_clip_config.json"
    config.chmod(0o644)
    assert load_encoder(f"local-dir:{folder}").name == encoder.name
    config.write_text(config.read_text() + "\n")
    changed = load_encoder(f"local-dir:{folder}").name
    assert changed.startswith(f"local-dir:{MODEL.name}@")
    assert changed != encoder.name


def test_threads_get_their_own_rows(encoder: ClipEncoder, photos: list[Image.Image]) -> None:
    expected = encoder.encode_pictures(photos)
    got: dict[int, np.ndarray] = {}

    def work(number: int) -> None:
        rows = [(number + step) % len(photos) for step in range(10)]
        vectors = encoder.encode_pictures([photos[row] for row in rows], urgent=number % 2 == 0)
        got[number] = (vectors * expected[rows]).sum(axis=1)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    assert min(cosines.min() for cosines in got.values()) >= 0.9999


def test_an_urgent_picture_waits_for_no_batch(encoder: ClipEncoder, photos: list[Image.Image]) -> None:
    order = list[str]()

    def note(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) > 1 and not order:
            order.append("batch begins")
            person = threading.Thread(target=lambda: encoder.encode_pictures(photos[:1], urgent=True))
            person.start()
            person.join(60)
            order.append("waits" if person.is_alive() else "person served")

    hook = encoder.module.visual.register_forward_pre_hook(note)
    try:
        assert len(encoder.encode_pictures(photos)) == len(photos)
    finally:
        hook.remove()
    assert order == ["batch begins", "person served"]


def test_a_model_without_a_real_text_tower_refuses_words(encoder: ClipEncoder) -> None:
    assert not encoder.reads_words
    with pytest.raises(EncoderError, match="does not support text"):
        encoder.encode_words(["a cat"])


def test_words_become_unit_rows(vit: ClipEncoder) -> None:
    assert vit.reads_words
    vectors = vit.encode_words(["a cat", "a dog on a sofa", "a very long tale " * 200])
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, vit.dim)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vit.encode_words(["a cat"])[0], vectors[0], atol=1e-5)


def test_empty_words_are_refused(vit: ClipEncoder) -> None:
    with pytest.raises(EncoderError, match="no words"):
        vit.encode_words(["a cat", " "])


def test_bfloat16_agrees_with_float32(vit: ClipEncoder, vit_folder: Path, photos: list[Image.Image]) -> None:
    half = load_encoder(f"local-dir:{vit_folder}", precision="bf16")
    assert (half.precision, vit.precision) == ("bfloat16", "float32")
    ours, theirs = half.encode_pictures(photos[:6]), vit.encode_pictures(photos[:6])
    assert ours.dtype == np.float32
    assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert (ours * theirs).sum(axis=1).min() >= 0.999
    words = ["a cat", "a dog"]
    assert (half.encode_words(words) * vit.encode_words(words)).sum(axis=1).min() >= 0.999


def test_batch_normalised_networks_stay_in_float32(
    encoder: ClipEncoder, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_encoder, "_has_bfloat16", lambda device: True)
    on_such_a_processor = load_encoder(MODEL_SETTING)
    assert on_such_a_processor.precision == "float32"
    ours = on_such_a_processor.encode_pictures(photos[:4])
    assert (ours * encoder.encode_pictures(photos[:4])).sum(axis=1).min() >= 0.9999


def make_folder(tmp_path: Path, config: str | None = None, weights: bytes | None = None, name: str = "") -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    if config is not None:
        (folder / "open_clip_config.json").write_text(config)
    if weights is not None:
        (folder / (name or "open_clip_model.safetensors")).write_bytes(weights)
    return folder


CONFIG = (MODEL / "open_clip_config.json").read_text()
WEIGHTS = MODEL / "open_clip_model.safetensors"
FOREIGN = json.dumps({"model_cfg": {"embed_dim": 8, "vision_cfg": {"no_such_thing": 1}, "text_cfg": {}}})
OTHER_SHAPE = json.dumps({**json.loads(CONFIG), "model_cfg": {**json.loads(CONFIG)["model_cfg"], "embed_dim": 256}})


@pytest.mark.parametrize(
    ("config", "weights", "words"),
    [
        (None, None, "contains no open_clip_config.json"),
        ("{", b"", "is not an open_clip config"),
        ('{"hidden_size": 8}', b"", "is not an open_clip config"),
        (CONFIG, None, "contains no weights"),
        (CONFIG, b"", "are damaged"),
        (CONFIG, b"\xff" * 1000, "are damaged"),
        (CONFIG, WEIGHTS.read_bytes()[:-1000], "are damaged"),
        (FOREIGN, WEIGHTS.read_bytes(), "are not what open_clip expects"),
        (OTHER_SHAPE, WEIGHTS.read_bytes(), "are not what open_clip expects"),
    ],
)
def test_a_folder_that_is_no_model_is_told_in_one_sentence(
    tmp_path: Path, config: str | None, weights: bytes | None, words: str
) -> None:
    folder = make_folder(tmp_path, config, weights)
    with pytest.raises(EncoderError, match=words) as caught:
        load_encoder(f"local-dir:{folder}")
    assert "\n" not in str(caught.value)
    assert folder.exists()


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=f"there is no folder {tmp_path / 'nowhere'}"):
        load_encoder(f"local-dir:{tmp_path / 'nowhere'}")


@pytest.mark.parametrize("factor", [float("nan"), 0.0])
def test_weights_that_give_no_vectors_are_refused(tmp_path: Path, factor: float) -> None:
    from safetensors.torch import load_file, save_file

    tensors = {
        name: tensor * factor if tensor.is_floating_point() else tensor for name, tensor in load_file(WEIGHTS).items()
    }
    folder = make_folder(tmp_path, CONFIG)
    save_file(tensors, folder / "open_clip_model.safetensors")
    with pytest.raises(EncoderError, match="are broken"):
        load_encoder(f"local-dir:{folder}")


class _Attack:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.victim,)


def _torch_bytes(value: object) -> bytes:
    data = io.BytesIO()
    torch.save(value, data)
    return data.getvalue()


@pytest.mark.parametrize("save", [pickle.dumps, _torch_bytes])
def test_pickled_code_in_weights_is_never_run(tmp_path: Path, save: Callable[[object], bytes]) -> None:
    victim = tmp_path / "touched"
    folder = make_folder(tmp_path, CONFIG, save({"state_dict": _Attack(victim)}), "open_clip_pytorch_model.bin")
    with pytest.raises(EncoderError):
        load_encoder(f"local-dir:{folder}")
    assert not victim.exists()


def test_torch_weights_of_plain_tensors_are_read(
    encoder: ClipEncoder, tmp_path: Path, photos: list[Image.Image]
) -> None:
    from safetensors.torch import load_file

    folder = make_folder(tmp_path, CONFIG, _torch_bytes(load_file(WEIGHTS)), "open_clip_pytorch_model.bin")
    same = load_encoder(f"local-dir:{folder}")
    assert np.allclose(same.encode_pictures(photos[:2]), encoder.encode_pictures(photos[:2]), atol=1e-6)
    assert same.name != encoder.name
