from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.support.data import some_photos
from core.embedding import copy_encoder as core_copy_encoder
from core.embedding.copy_encoder import ONNX_SIDE, CopyEncoder, load_copy_encoder
from core.embedding.copy_network import load
from core.errors import EncoderError
from core.media.decode import read_picture
from tests.support.copy_models import ONNX_DIM, SMALL, onnx_vector, write_copy_model, write_onnx
from training.copy_encoder.encoders import copy_encoder as training_encoder

FILES = [path.read_bytes() for path in some_photos(24)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copy_model(tmp_path_factory.mktemp("models") / "copy")


@pytest.fixture
def builtin(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The built-in copy encoder's folder, in the place of ours: a copy that may be harmed."""
    copied = tmp_path / "builtin_copy"
    copied.mkdir()
    for path in folder.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(core_copy_encoder, "BUILTIN_COPY_FOLDER", copied)
    return copied


@pytest.fixture
def encoder(builtin: Path) -> CopyEncoder:
    return load_copy_encoder("built-in")


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    return [read_picture(data, max_bytes=10**7, max_pixels=10**7).image for data in FILES]


def test_rows_are_unit_float32_of_the_models_dimension(encoder: CopyEncoder, photos: list[Image.Image]) -> None:
    vectors = encoder.encode_pictures(photos)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(photos), encoder.dim) == (24, SMALL.dimensions)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.encode_pictures([]).shape == (0, 64)
    assert encoder.name.startswith("built-in-copy@")


def test_its_vectors_are_those_that_training_measures(
    encoder: CopyEncoder, folder: Path, photos: list[Image.Image]
) -> None:
    """Resizing and fusing change nothing."""
    measured = training_encoder(load(folder), SMALL.side)([np.asarray(photo) for photo in photos])
    assert (encoder.encode_pictures(photos) * measured).sum(1).min() > 0.9999
    assert np.abs(measured @ measured.T - np.eye(len(photos))).max() < 0.99  # as they tell the photos apart


def test_a_box_is_what_is_encoded(encoder: CopyEncoder, photos: list[Image.Image]) -> None:
    image = photos[0]
    box = (10.0, 20.0, 90.4, 119.6)
    cropped = encoder.prepare(image.crop((10, 20, 90, 120)))
    assert (encoder.prepare(image, box) == cropped).all()
    assert encoder.prepare(image).shape == (3, SMALL.side, SMALL.side)
    assert not (encoder.prepare(image) == cropped).all()


def test_it_supports_no_text(encoder: CopyEncoder) -> None:
    assert not encoder.reads_words
    with pytest.raises(EncoderError, match="does not support text"):
        encoder.encode_words(["a cat"])


def test_the_name_of_the_built_in_one_follows_weights_and_config(encoder: CopyEncoder, builtin: Path) -> None:
    assert load_copy_encoder("built-in").name == encoder.name
    config = builtin / "config.json"
    config.write_text(config.read_text().replace('"side": 64', '"side": 96'))
    larger = load_copy_encoder("built-in")
    assert (larger.side, larger.name == encoder.name) == (96, False)


def damage_weights(folder: Path) -> None:
    weights = folder / "copy_encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")


def lose_weights(folder: Path) -> None:
    (folder / "copy_encoder.safetensors").unlink()


def lose_checksum(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()


def change_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"trunk": "resnet10t", "mean": [0, 0, 0], "deviation": [1, 1, 1]}')


def spoil_config(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


@pytest.mark.parametrize("harm", [damage_weights, lose_weights, lose_checksum, change_config, spoil_config])
def test_what_does_not_match_its_checksum_is_refused(builtin: Path, harm: Callable[[Path], None]) -> None:
    harm(builtin)
    with pytest.raises(EncoderError, match="is damaged"):
        load_copy_encoder("built-in")


@pytest.mark.parametrize("side", [64, 96, "side"])
def test_an_onnx_file_is_given_what_sscd_is_given(tmp_path: Path, photos: list[Image.Image], side: int | str) -> None:
    path = write_onnx(tmp_path / "sscd.onnx", side=side)
    encoder = load_copy_encoder(str(path))
    assert encoder.name.startswith("onnx:sscd@")
    assert (encoder.dim, encoder.side) == (ONNX_DIM, side if isinstance(side, int) else ONNX_SIDE)
    vectors = encoder.encode_pictures(photos)
    for vector, photo in zip(vectors, photos, strict=True):
        assert np.allclose(vector, onnx_vector(path, encoder.prepare(photo)), atol=1e-4)


def test_one_picture_at_a_time_where_the_file_takes_no_more(tmp_path: Path, photos: list[Image.Image]) -> None:
    path = write_onnx(tmp_path / "one.onnx", batch=1)
    encoder = load_copy_encoder(str(path))
    assert encoder.slice == 1
    assert np.allclose(encoder.encode_pictures(photos)[5], onnx_vector(path, encoder.prepare(photos[5])), atol=1e-4)


def test_the_name_of_an_onnx_file_follows_its_content(tmp_path: Path) -> None:
    names = {load_copy_encoder(str(write_onnx(tmp_path / "a.onnx", seed=seed))).name for seed in (0, 0, 1)}
    assert len(names) == 2


def test_unusable_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="there is no such file"):
        load_copy_encoder(str(tmp_path / "lost.onnx"))
    (tmp_path / "text.onnx").write_text("not a model")
    for path in (tmp_path / "text.onnx", write_onnx(tmp_path / "grey.onnx", channels=1)):
        with pytest.raises(EncoderError, match=f"{path.name} is not a model in ONNX that makes vectors of pictures"):
            load_copy_encoder(str(path))
    with pytest.raises(EncoderError, match="its input has the shape"):
        load_copy_encoder(str(write_onnx(tmp_path / "four.onnx", batch=4)))


def test_without_onnxruntime_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, find = write_onnx(tmp_path / "sscd.onnx"), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    with pytest.raises(EncoderError, match="pip install onnxruntime"):
        load_copy_encoder(str(path))
