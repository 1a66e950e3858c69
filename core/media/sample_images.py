"""A sample collection: generated drawings, so that a first visitor has something to search at once.

They are the same every time, and nobody else's work.
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import math
import random
from collections.abc import Callable, Iterator

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from core.media.uploads import DroppedFile

SIZE = 720
"""Pixels of the longer side."""

NAME = "Sample collection"
"""The name of its import."""

DRAWN = 100
"""Drawings in it, all different."""

REPEATED = 20
"""How many of the drawings it also has in another version, as duplicates to find."""

FIRST_QUERY = "boats-01.jpg"
"""A good first query: three others look much like it."""

Paint = tuple[int, int, int]


def shade(hue: float, saturation: float, value: float) -> Paint:
    """An RGB colour from hue, saturation and value, each 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def sky(top: Paint, bottom: Paint, size: tuple[int, int]) -> Image.Image:
    """A picture that fades from one colour to another."""
    fade = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), fade)


def flower(dice: random.Random) -> Image.Image:
    """A blossom with 5 to 13 petals."""
    hue, petals, turned, dusk = dice.random(), dice.choice([5, 6, 8, 13]), dice.random(), dice.uniform(0, 0.6)
    x, y = dice.uniform(0.4, 0.6) * SIZE, dice.uniform(0.38, 0.55) * SIZE
    image = sky(shade(hue + 0.45, 0.12, 0.97 - dusk), shade(hue + 0.5, 0.2, 0.86 - dusk), (SIZE, SIZE))
    draw = ImageDraw.Draw(image)
    draw.line([(x, y), (SIZE * dice.uniform(0.3, 0.7), SIZE)], fill=shade(0.33, 0.55, 0.5), width=16)
    for ring, value in ((0.36, 0.82), (0.27, 0.95)):
        for petal in range(petals):
            angle = 2 * math.pi * (petal + ring + turned) / petals
            length, width = SIZE * ring, SIZE * ring * 2.2 / petals
            outline = list[tuple[float, float]]()
            for step in range(48):
                turn = math.pi * step / 24
                along, across = length / 2 * (1 + math.cos(turn)), width / 2 * math.sin(turn)
                outline.append(
                    (
                        x + along * math.cos(angle) + across * math.sin(angle),
                        y - along * math.sin(angle) + across * math.cos(angle),
                    )
                )
            draw.polygon(outline, fill=shade(hue, 0.55, value), outline=shade(hue, 0.7, value - 0.2))
    heart = SIZE * 0.09
    draw.ellipse((x - heart, y - heart, x + heart, y + heart), fill=shade(0.12, 0.75, 0.9))
    return image


def mountains(dice: random.Random) -> Image.Image:
    """Ridges behind ridges under a sun."""
    hue = dice.random()
    width, height = SIZE, round(SIZE * 0.7)
    image = sky(shade(hue, 0.35, 0.95), shade(hue + 0.1, 0.25, 1.0), (width, height))
    draw = ImageDraw.Draw(image)
    x, y, radius = dice.uniform(0.2, 0.8) * width, dice.uniform(0.2, 0.4) * height, dice.uniform(30, 60)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shade(0.11, 0.3, 1.0))
    for ridge in range(4):
        level, wild = height * (0.45 + ridge * 0.14), height * 0.2 / (ridge + 1)
        phases = [(dice.uniform(0.5, 5), dice.uniform(0, 6.3), dice.uniform(0.3, 1)) for _ in range(4)]
        line = [
            (px, level - wild * sum(a * math.sin(f * 6.3 * px / width + p) for f, p, a in phases) / 2)
            for px in range(0, width + 8, 8)
        ]
        draw.polygon(
            [*line, (width, height), (0, height)], fill=shade(hue + 0.05, 0.3 + ridge * 0.12, 0.75 - ridge * 0.16)
        )
    return image


def vase(dice: random.Random) -> Image.Image:
    """A turned vase with bands of glaze."""
    hue, width, height = dice.random(), round(SIZE * 0.75), SIZE
    wall, shelf = dice.uniform(0.3, 0.97), dice.uniform(0.3, 0.9)
    image = sky(shade(0.1, 0.04, wall), shade(0.1, 0.06, shelf), (width, height))
    draw = ImageDraw.Draw(image)
    neck, belly, foot = dice.uniform(0.1, 0.2), dice.uniform(0.2, 0.4), dice.uniform(0.1, 0.22)
    top, bottom, middle, bands = (
        dice.uniform(0.1, 0.35),
        0.88,
        dice.uniform(0.4, 0.6) * width,
        dice.choice([5, 7, 9, 13]),
    )
    for y in range(round(height * top), round(height * bottom)):
        t = (y / height - top) / (bottom - top)
        radius = width * (neck * (1 - t) ** 3 + belly * 4 * t * (1 - t) ** 0.6 * 0.62 + foot * t**3)
        band = 0.22 if int(t * bands) % 3 == 1 else 0.0
        for step in range(24):
            u = step / 23 * 2 - 1
            light = 0.95 - 0.45 * (u + 0.35) ** 2
            left = middle + u * radius
            draw.line([(left, y), (left + radius / 11, y)], fill=shade(hue + band, 0.5, max(0.25, light)))
    return image.filter(ImageFilter.SMOOTH)


def tiles(dice: random.Random) -> Image.Image:
    """A pavement of quarter circles."""
    hue, count = dice.random(), dice.choice([3, 4, 5])
    image = Image.new("RGB", (SIZE, SIZE), shade(hue, 0.15, 0.96))
    draw, side = ImageDraw.Draw(image), SIZE / count
    paints = [shade(hue + step * 0.13, 0.55, 0.85 - 0.12 * step) for step in range(4)]
    for row in range(count):
        for column in range(count):
            x, y, corner = column * side, row * side, dice.randrange(4)
            dx, dy = corner % 2, corner // 2
            left, up = x - side * (1 - dx), y - side * (1 - dy)
            box = (left, up, left + 2 * side, up + 2 * side)
            start = {(0, 0): 0, (1, 0): 90, (1, 1): 180, (0, 1): 270}[dx, dy]
            draw.pieslice(box, start, start + 90, fill=dice.choice(paints))
    return image


def boats(dice: random.Random) -> Image.Image:
    """Sails on a sea."""
    hue, width, height = dice.uniform(0.5, 0.65), SIZE, round(SIZE * 0.66)
    image = sky(shade(hue, 0.15, 0.98), shade(hue, 0.3, 0.9), (width, height))
    draw, sea = ImageDraw.Draw(image), height * 0.62
    draw.rectangle((0, sea, width, height), fill=shade(hue, 0.6, 0.6))
    for _ in range(40):
        x, y = dice.uniform(0, width), dice.uniform(sea, height)
        draw.line([(x, y), (x + 40, y)], fill=shade(hue, 0.45, 0.75), width=3)
    for _ in range(dice.choice([1, 2, 3])):
        x, size, paint = dice.uniform(0.2, 0.8) * width, dice.uniform(60, 150), shade(dice.random(), 0.6, 0.9)
        draw.polygon([(x, sea - size * 1.6), (x, sea), (x + size, sea)], fill=paint)
        draw.polygon([(x - 6, sea - size * 1.2), (x - 6, sea), (x - size * 0.6, sea)], fill=(250, 250, 246))
        draw.polygon(
            [
                (x - size * 0.8, sea),
                (x + size, sea),
                (x + size * 0.6, sea + size * 0.3),
                (x - size * 0.5, sea + size * 0.3),
            ],
            fill=(110, 76, 54),
        )
    return image


KINDS: dict[str, Callable[[random.Random], Image.Image]] = {
    "flower": flower,
    "mountains": mountains,
    "vase": vase,
    "tiles": tiles,
    "boats": boats,
}


def drawings(count: int) -> Iterator[tuple[str, Image.Image]]:
    """`count` drawings, each as (file name, picture); the same every time."""
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        yield f"{kind}-{number // len(KINDS) + 1:02d}.jpg", KINDS[kind](random.Random(number))  # noqa: S311


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """A picture as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def sample() -> Iterator[DroppedFile]:
    """The files of the sample: DRAWN drawings, and REPEATED of them again: smaller, cropped or mirrored."""
    for number, (name, image) in enumerate(drawings(DRAWN)):
        yield _file(name, jpeg(image))
        if number < REPEATED:
            how, change = _VERSIONS[number % len(_VERSIONS)]
            yield _file(name.replace(".jpg", f"-{how}.jpg"), jpeg(change(image), 70))


def _smaller(image: Image.Image) -> Image.Image:
    return image.reduce(2)


def _cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 10, height // 10, width - width // 20, height - height // 20))


_VERSIONS: list[tuple[str, Callable[[Image.Image], Image.Image]]] = [
    ("smaller", _smaller),
    ("cropped", _cropped),
    ("mirrored", ImageOps.mirror),
]


def _file(name: str, data: bytes) -> DroppedFile:
    return DroppedFile(hashlib.sha256(data).digest(), name, data)
