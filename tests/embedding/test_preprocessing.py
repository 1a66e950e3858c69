from __future__ import annotations

from dataclasses import asdict

import pytest
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from bench.support.data import some_photos
from core.embedding.preprocessing import split

SIZES = [(640, 427), (427, 640), (300, 300), (1001, 251), (224, 224), (97, 131), (2000, 101)]
LEVEL = 1.01 / 255 / 0.26
"""What one of the 256 levels of a colour is after normalisation."""


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(some_photos(3)[2]).convert("RGB")


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("side", [224, (224, 224), (256, 192)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_it_does_what_open_clip_does(
    photo: Image.Image, mode: str, side: int | tuple[int, int], interpolation: str
) -> None:
    config = PreprocessCfg(size=side, resize_mode=mode, interpolation=interpolation, mean=(0.4, 0.5, 0.6))
    theirs = image_transform_v2(config, is_train=False)
    prepare, normalise = split(asdict(config))
    for size in SIZES:
        image = photo.resize(size)
        ours = normalise(prepare(image, (0, 0, *size))[None])[0]
        apart = (ours - theirs(image)).abs()
        assert apart.max() < LEVEL, size
        assert (apart > 1e-6).float().mean() < 2e-3, size


@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_what_lies_beside_the_box_does_not_count(photo: Image.Image, mode: str) -> None:
    prepare, _ = split(asdict(PreprocessCfg(size=224, resize_mode=mode)))
    framed = Image.new("RGB", (photo.width + 80, photo.height + 30), "red")
    framed.paste(photo, (50, 20))
    made = prepare(framed, (50, 20, 50 + photo.width, 20 + photo.height))[:, 4:-4, 4:-4].float()
    assert (made - prepare(photo, (0, 0, *photo.size))[:, 4:-4, 4:-4]).abs().max() <= 1
