"""The edits of the evaluation, a fixed one a row: drawn apart from those of training, of the same kinds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from training.copy_encoder import edits, scenes
from training.copy_encoder.photos import Picture

Edit = Callable[[Picture, random.Random, Sequence[Picture]], Picture]
"""A picture, where chance comes from, and other pictures that a collage may hold, to the edited picture."""


def _crop(share: float, corner: bool = False) -> Edit:
    def cut(image: Picture, chance: random.Random, others: Sequence[Picture]) -> Picture:
        if corner:
            return edits.crop(image, share, chance.choice([0, 1]), chance.choice([0, 1]))
        return edits.crop(image, share, chance.random(), chance.random())

    return cut


def _mirrored_crop(image: Picture, chance: random.Random, others: Sequence[Picture]) -> Picture:
    return edits.mirror(edits.crop(image, 0.65, chance.random(), chance.random()))


def _filtered(image: Picture, chance: random.Random, others: Sequence[Picture]) -> Picture:
    """Warm, faded, a little sepia: as telephones offer it."""
    warm = edits.recolour(image, np.asarray(0.6 * np.eye(3) + 0.4 * edits.SEPIA, np.float32))
    return edits.tone(edits.saturate(warm, 1.3), 1.05, 0.8, 0.9, (1.1, 1.0, 0.85))


def _written(image: Picture, chance: random.Random, others: Sequence[Picture]) -> Picture:
    return edits.write(image, chance, 0.12, 2)


def _collage(image: Picture, chance: random.Random, others: Sequence[Picture]) -> Picture:
    return scenes.collage([image, *chance.sample(others, chance.choice([3, 5]))], chance)


PARTS: dict[str, Edit] = {
    "detail": _crop(0.15),
    "collage": _collage,
    "page": lambda image, chance, _: scenes.page(image, chance, 0.2),
}
"""The query is a detail of the picture, or the picture is a small part of the query."""

EDITS: dict[str, Edit] = {
    "crop 65 %": _crop(0.65),
    "mirrored": lambda image, chance, _: edits.mirror(image),
    "mirrored and cropped": _mirrored_crop,
    "square": lambda image, chance, _: edits.resize(image, min(image.shape[:2]), min(image.shape[:2])),
    "re-compressed": lambda image, chance, _: edits.recompress(image, 25),
    "shrunk to 30 %": lambda image, chance, _: edits.scale(image, 0.3),
    "grey": lambda image, chance, _: edits.grey(image),
    "text": _written,
    "bright": lambda image, chance, _: edits.tone(image, 1.4),
    "filter": _filtered,
    "blurred": lambda image, chance, _: edits.blur(image, min(image.shape[:2]) / 100),
    "rotated 25°": lambda image, chance, _: edits.turn(image, chance.choice([-25, 25]), (0, 0, 0)),
    "rotated 90°": lambda image, chance, _: edits.quarters(image, chance.choice([1, 3])),
    "rotated 180°": lambda image, chance, _: edits.quarters(image, 2),
    "upside down": lambda image, chance, _: edits.flip(image),
    "bordered": lambda image, chance, _: edits.border(image, 0.12, chance.choice([(255, 255, 255), (0, 0, 0)])),
    "screenshot": lambda image, chance, _: scenes.screenshot(image, chance, 0.35),
    "photographed print": lambda image, chance, _: scenes.photographed(image, chance, 0.12, 0.08),
    "corner of 50 %": _crop(0.5, corner=True),
    "corner of 30 %": _crop(0.3, corner=True),
}
"""The rest: twenty, of which pairs of copies are made."""

FIVE = ("crop 65 %", "mirrored", "upside down", "rotated 25°", "square")
"""Those of the pairs that are measured most strictly."""


def edited(name: str, image: Picture, number: int, others: Sequence[Picture]) -> Picture:
    """The picture of this number after the edit of this name: always the same."""
    chance = random.Random(f"{name} {number}")  # noqa: S311 - nothing secret
    return (EDITS | PARTS)[name](image, chance, others)
