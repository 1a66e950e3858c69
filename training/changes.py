"""Changes that a copy of a picture may have undergone, one at a time."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageOps

Change = Callable[[Image.Image, random.Random], Image.Image]
"""From an RGB picture and a random generator to the changed picture, also RGB."""


def recompress(image: Image.Image, chance: random.Random) -> Image.Image:
    """JPEG of quality 30."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    return Image.open(buffer).convert("RGB")


def shrink(image: Image.Image, chance: random.Random) -> Image.Image:
    """Each side 30 % as long."""
    size = (max(1, round(image.width * 0.3)), max(1, round(image.height * 0.3)))
    return image.resize(size, Image.Resampling.BICUBIC)


def border(image: Image.Image, chance: random.Random) -> Image.Image:
    """A white or black border, a tenth of the short side wide, all around."""
    return ImageOps.expand(image, min(image.size) // 10, chance.choice(["white", "black"]))


def brighten(image: Image.Image, chance: random.Random) -> Image.Image:
    """1.4 times as bright."""
    return ImageEnhance.Brightness(image).enhance(1.4)


def mirror(image: Image.Image, chance: random.Random) -> Image.Image:
    """Mirrored left to right."""
    return ImageOps.mirror(image)


def crop(share: float) -> Change:
    """A cut-out anywhere in the picture, with `share` of its area and its own shape."""

    def cut(image: Image.Image, chance: random.Random) -> Image.Image:
        width, height = (max(1, round(side * share**0.5)) for side in image.size)
        left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
        return image.crop((left, top, left + width, top + height))

    return cut


def grey(image: Image.Image, chance: random.Random) -> Image.Image:
    """No colours."""
    return image.convert("L").convert("RGB")


def turn(image: Image.Image, chance: random.Random) -> Image.Image:
    """Ten degrees to one side, the corners black."""
    return image.rotate(chance.choice([-10, 10]), Image.Resampling.BICUBIC)


CHANGES: dict[str, Change] = {
    "re-compressed": recompress,
    "resized to 30 %": shrink,
    "bordered": border,
    "brightened": brighten,
    "mirrored": mirror,
    "70 % crop": crop(0.7),
    "40 % crop": crop(0.4),
    "grey": grey,
    "rotated 10°": turn,
}
"""The rows of the card's table."""
