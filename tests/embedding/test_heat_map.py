"""Where a model sees a likeness, for each kind of network that open_clip has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from bench.support.data import MODEL_SETTING, some_photos
from core.embedding.encoder import ClipEncoder, Vectors, load_encoder
from core.embedding.heat_map import heat_map

PHOTOS = [Image.open(path).convert("RGB") for path in some_photos(4)]
TEXT = {"context_length": 4, "vocab_size": 8, "width": 16, "heads": 2, "layers": 1}
TOWERS: dict[str, dict[str, Any]] = {
    "transformer": {"image_size": 64, "patch_size": 16, "layers": 2, "width": 64, "head_width": 32},
    "transformer that pools its patches": {
        "image_size": 64,
        "patch_size": 16,
        "layers": 2,
        "width": 64,
        "head_width": 32,
        "pool_type": "avg",
    },
    "transformer of timm": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "token"},
    "ResNet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16},
    "convolutional network of timm": {"image_size": 64, "timm_model_name": "resnet18", "timm_pool": "avg"},
}
GRIDS = {"transformer of timm": (10, 10), "ResNet": (2, 2), "convolutional network of timm": (2, 2)}


@pytest.fixture(scope="module")
def encoder() -> ClipEncoder:
    return load_encoder("built-in")


def small(tower: str) -> ClipEncoder:
    torch.manual_seed(7)
    module = open_clip.CLIP(embed_dim=32, vision_cfg=TOWERS[tower], text_cfg=TEXT).eval()
    return ClipEncoder(tower, module, lambda texts: torch.zeros(len(texts), 4), "cpu", torch.float32)


def product(encoder: ClipEncoder, image: Image.Image, target: Vectors) -> float:
    with torch.inference_mode():
        return float(encoder.module.encode_image(encoder.batch([encoder.prepare(image)]))[0] @ torch.from_numpy(target))


def test_the_shares_add_up_to_the_likeness(encoder: ClipEncoder) -> None:
    target = encoder.encode_pictures(PHOTOS[1:2])[0]
    found = heat_map(encoder, PHOTOS[0], target)
    bias = encoder.module.visual.head.proj.bias.detach().numpy() @ target
    assert found.box == (0.0, 0.0, 1.0, 1.0)
    assert found.shares.shape == (4, 4)
    assert found.shares.sum() == pytest.approx(product(encoder, PHOTOS[0], target) - bias, rel=1e-4)


@pytest.mark.parametrize("setting", ["built-in", MODEL_SETTING])
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_it_is_warm_where_the_likeness_is(setting: str, corner: tuple[int, int]) -> None:
    encoder = load_encoder(setting)
    page = Image.new("RGB", (400, 400), "white")
    page.paste(PHOTOS[0].resize((200, 200)), (200 * corner[1], 200 * corner[0]))
    shares = heat_map(encoder, page, encoder.encode_pictures(PHOTOS[:1])[0]).shares
    half = len(shares) // 2
    quarters = {
        (row, column): shares[row * half :, column * half :][:half, :half].sum() for row in (0, 1) for column in (0, 1)
    }
    assert max(quarters, key=quarters.__getitem__) == corner


@pytest.mark.parametrize("tower", TOWERS)
def test_every_kind_of_network_has_one_and_is_left_as_it_was(tower: str) -> None:
    encoder = small(tower)
    before = encoder.encode_pictures(PHOTOS)
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in encoder.module.modules()]
    found = heat_map(encoder, PHOTOS[0].resize((300, 200)), before[1])
    assert found.shares.shape == GRIDS.get(tower, (4, 4))
    assert np.isfinite(found.shares).all()
    assert np.ptp(found.shares) > 0
    assert found.box == pytest.approx((1 / 6, 0, 5 / 6, 1))
    assert hooks == [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in encoder.module.modules()]
    assert np.array_equal(encoder.encode_pictures(PHOTOS), before)


def test_others_are_encoded_as_ever_meanwhile(encoder: ClipEncoder) -> None:
    vectors = encoder.encode_pictures(PHOTOS)
    with ThreadPoolExecutor(6) as threads:
        maps = [threads.submit(heat_map, encoder, PHOTOS[0], vectors[1]) for _ in range(8)]
        urgent = [threads.submit(encoder.encode_pictures, PHOTOS, urgent=turn % 2 == 0) for turn in range(40)]
        assert all(np.allclose(each.result(), vectors, atol=1e-5) for each in urgent)
        assert all(np.allclose(each.result().shares, maps[0].result().shares, atol=1e-4) for each in maps)
