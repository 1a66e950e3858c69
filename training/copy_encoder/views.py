"""How edits are drawn in training: what a picture may have become when somebody looks for it, or keeps it."""

from __future__ import annotations

import random
from collections.abc import Sequence

from training.copy_encoder import edits, scenes
from training.copy_encoder.photos import Picture


def squashed(image: Picture, side: int) -> Picture:
    """As the network takes it."""
    return edits.resize(image, side, side)


def indexed(image: Picture, chance: random.Random, side: int) -> Picture:
    """What a collection may hold of it: most of the picture, as it is or a little changed, or lying or upside down."""
    if chance.random() < 0.35:
        return squashed(image, side)
    if chance.random() < 0.4:
        image = edits.crop(image, chance.uniform(0.5, 1), chance.random(), chance.random(), chance.uniform(0.85, 1.18))
    image = _turned(image, chance, 0.35)
    if chance.random() < 0.1:
        image = edits.border(image, chance.uniform(0.02, 0.2), edits.colour(chance))
    return squashed(_worn(image, chance, 0.6), side)


def asked(image: Picture, chance: random.Random, side: int) -> Picture:
    """What somebody may ask with: a part of the picture, or it in something bigger, much changed."""
    way = chance.random()
    if way < 0.16:
        image = edits.crop(
            image, chance.uniform(0.1, 0.3), chance.random(), chance.random(), chance.uniform(0.75, 1.33)
        )
    elif way < 0.38:
        corner = chance.random() < 0.5
        x, y = (chance.choice([0, 1]), chance.choice([0, 1])) if corner else (chance.random(), chance.random())
        image = edits.crop(image, chance.uniform(0.25, 0.6), x, y, chance.uniform(0.8, 1.25))
    elif way < 0.5:
        image = edits.crop(
            image, chance.uniform(0.5, 0.95), chance.random(), chance.random(), chance.uniform(0.8, 1.25)
        )
    elif way < 0.62:
        return squashed(
            _worn(scenes.page(_turned(image, chance, 0.1), chance, chance.uniform(0.1, 0.4)), chance, 0.3), side
        )
    elif way < 0.72:
        image = scenes.screenshot(_turned(image, chance, 0.1), chance, chance.uniform(0.15, 0.7))
        return squashed(_worn(image, chance, 0.4), side)
    elif way < 0.8:
        image = scenes.photographed(image, chance, chance.uniform(0.05, 0.25), chance.uniform(0.0, 0.15))
    image = _turned(image, chance, 0.5)
    if chance.random() < 0.1:
        image = edits.border(image, chance.uniform(0.02, 0.3), edits.colour(chance))
    return squashed(_worn(image, chance, 1.0), side)


def collage(images: Sequence[Picture], chance: random.Random, side: int) -> Picture:
    """One picture of several."""
    given = [_turned(image, chance, 0.1) for image in images]
    return squashed(_worn(scenes.collage(given, chance), chance, 0.4), side)


def _turned(image: Picture, chance: random.Random, share: float) -> Picture:
    """Mirrored or turned in one of many ways: `share` of them."""
    if chance.random() < share * 0.8:
        image = edits.mirror(image)
    if chance.random() < share * 0.75:
        way = chance.random()
        if way < 0.2:
            image = edits.flip(image)
        elif way < 0.55:
            image = edits.quarters(image, chance.choice([1, 2, 3]))
        else:
            degrees = chance.uniform(-45, 45) if way < 0.85 else chance.uniform(-180, 180)
            image = edits.turn(image, degrees, edits.colour(chance), chance.random() < 0.7)
    if chance.random() < share * 0.4:
        image = edits.stretch(image, chance.uniform(0.6, 1.7))
    return image


def _worn(image: Picture, chance: random.Random, share: float) -> Picture:
    """What happens to colours, sharpness and surface; `share` of the usual number of times."""

    def happens(often: float) -> bool:
        return chance.random() < often * share

    if happens(0.5):
        tint = [chance.uniform(0.8, 1.2) if chance.random() < 0.4 else 1.0 for _ in range(3)]
        image = edits.tone(
            image, chance.uniform(0.65, 1.5), chance.uniform(0.7, 1.4), chance.uniform(0.7, 1.4), tuple(tint)
        )
    if happens(0.3):
        image = edits.saturate(image, chance.uniform(0.2, 2.2))
    if happens(0.16):
        image = edits.recolour(image, edits.SEPIA) if chance.random() < 0.3 else edits.grey(image)
    if happens(0.14):
        image = edits.stick(image, chance, chance.uniform(0.15, 0.6))
    if happens(0.2):
        image = edits.write(image, chance, chance.uniform(0.05, 0.25), chance.randint(1, 3))
    if happens(0.15):
        image = edits.scale(image, min(1.0, chance.uniform(40, 150) / min(image.shape[:2])))
    if happens(0.12):
        image = edits.blur(image, chance.uniform(0.6, 2.5) * min(image.shape[:2]) / 200)
    if happens(0.1):
        image = edits.noise(image, chance.uniform(3, 25), chance)
    if happens(0.35):
        image = edits.recompress(image, chance.randint(15, 80))
    return image
