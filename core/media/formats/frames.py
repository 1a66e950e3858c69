"""Which frame of a file is shown, and on which ground: what a person would see of it, in 8 bits."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFile

ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
"""Kinds whose further frames are looked at when the first is blank, as in an animation that fades in."""

MAX_FRAMES = 60
"""Frames looked at: over two seconds of most animations. All of them together have at most as many pixels as one
picture may have."""

CONTRAST, SHOWN = 32, 0.01
"""A frame is blank unless this share of its pixels is more than CONTRAST of 256 levels from its most frequent level."""

NEARLY_WHITE, ALL_OF_IT = 256 - CONTRAST, 0.95
"""The level from which a pixel is lost on white, and the share of what is visible that may not all be lost."""

DARK_GROUND = (64, 64, 64)
"""What transparent pictures that would be lost on white are put on."""

SAMPLED_SIDE = 256
"""Pixels of each side by which a large picture is judged blank or white: 65,000 of them are enough to see shares."""


def eight_bits(image: Image.Image) -> Image.Image:
    """Greyscale of 16 or 32 bits or floats, scaled to 8 bits; Pillow's own conversion would clip it to white."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    highest = float(values.max())
    white = 65535.0 if ";16" in image.mode else next((top for top in (1.0, 255.0, 65535.0) if highest <= top), highest)
    return Image.fromarray((values.clip(0, white) * (255 / white)).astype(np.uint8))


def on_ground(image: Image.Image) -> Image.Image:
    """RGB or CMYK on white, as a web page shows it, not the colours hidden under transparency.

    What would be lost on white, such as a white logo, is put on dark grey.
    """
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, DARK_GROUND if _is_lost_on_white(image) else "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image if image.mode in ("RGB", "CMYK") else image.convert("RGB")


def _is_lost_on_white(image: Image.Image) -> bool:
    """Whether nearly all that is visible of an RGBA image is nearly white, and not nearly all of it is visible."""
    pixels = np.asarray(_sampled(image))
    alpha = pixels[..., 3].astype(np.float32)
    white = alpha[pixels[..., :3].min(axis=2) >= NEARLY_WHITE].sum()
    return bool(ALL_OF_IT * alpha.sum() <= white and 0 < alpha.mean() < ALL_OF_IT * 255)


def first_shown(file: ImageFile.ImageFile, first: Image.Image, max_pixels: int) -> Image.Image:
    """The first frame of an animation that is not blank, else that which shows most; `first` is its first, decoded."""
    best, most = first, _share_shown(first)
    if most < SHOWN and first is file:
        best = first.copy()  # the next frame is decoded into it
    for number in range(1, min(MAX_FRAMES, max_pixels // math.prod(first.size))):
        if most >= SHOWN:
            break
        try:
            file.seek(number)
            file.load()
            frame = on_ground(eight_bits(file))
        except Exception:  # noqa: BLE001  there are no more, or the rest is damaged
            break
        share = _share_shown(frame)
        if share > most and frame.size == best.size:
            best, most = frame.copy(), share
    return best


def _share_shown(image: Image.Image) -> float:
    """The share of an RGB image's pixels that are unlike the most frequent level, in the channel with most of them."""
    sample = _sampled(image)
    shares = list[float]()
    for channel in sample.split():
        levels = channel.histogram()
        ground = max(range(256), key=levels.__getitem__)
        shares.append(1 - sum(levels[max(0, ground - CONTRAST) : ground + CONTRAST + 1]) / sum(levels))
    return max(shares)


def _sampled(image: Image.Image) -> Image.Image:
    """Some of the pixels of a large image, all of a small one."""
    size = min(SAMPLED_SIDE, image.width), min(SAMPLED_SIDE, image.height)
    return image.resize(size, Image.Resampling.NEAREST)
