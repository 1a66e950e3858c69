"""What becomes of a picture on its way: it is cut, turned, mirrored, squashed, compressed, recoloured, written over.

Every function takes a picture (height × width × 3, uint8) and returns another, and changes nothing in place. What is
put around a picture is in `scenes`; how edits are drawn in training is in `views`.
"""

from __future__ import annotations

import math
import random

import cv2
import numpy as np
from numpy.typing import NDArray

from training.copy_encoder.photos import Picture

Colour = tuple[int, int, int]

FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
LETTERS = "abcdefghijklmnopqrstuvwxyzaeiouaeiounrst"


def _picture(pixels: NDArray[np.generic]) -> Picture:
    return np.ascontiguousarray(pixels, np.uint8)


def resize(image: Picture, width: int, height: int) -> Picture:
    """To a size, smoothed where it gets smaller."""
    smaller = width < image.shape[1] or height < image.shape[0]
    size = (max(1, width), max(1, height))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR), np.uint8)


def scale(image: Picture, factor: float) -> Picture:
    """Each side `factor` times as long."""
    return resize(image, round(image.shape[1] * factor), round(image.shape[0] * factor))


def stretch(image: Picture, ratio: float) -> Picture:
    """To a width by height of `ratio`, with the same area."""
    area = image.shape[0] * image.shape[1]
    return resize(image, round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio)))


def crop(image: Picture, share: float, x: float, y: float, ratio: float = 1.0) -> Picture:
    """A cut-out with `share` of the area, `ratio` times as wide by its height, `x` and `y` of the way to the right and
    down, 0 to 1."""
    wide, high = min(1.0, math.sqrt(share * ratio)), min(1.0, math.sqrt(share / ratio))
    width, height = max(8, round(image.shape[1] * wide)), max(8, round(image.shape[0] * high))
    left, top = round(x * max(0, image.shape[1] - width)), round(y * max(0, image.shape[0] - height))
    return _picture(image[top : top + height, left : left + width])


def mirror(image: Picture) -> Picture:
    """Left and right change places."""
    return _picture(image[:, ::-1])


def flip(image: Picture) -> Picture:
    """Above and below change places."""
    return _picture(image[::-1])


def quarters(image: Picture, turns: int) -> Picture:
    """Turned to the left by so many quarters."""
    return _picture(np.rot90(image, turns))


def turn(image: Picture, degrees: float, fill: Colour = (0, 0, 0), whole: bool = True) -> Picture:
    """Turned to the left; on a canvas that holds the `whole` of it, or cut off at its old size."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    size = (width, height)
    if whole:
        cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
        size = (round(height * sine + width * cosine), round(height * cosine + width * sine))
        matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=fill), np.uint8)


def border(image: Picture, share: float, fill: Colour) -> Picture:
    """A border all around, `share` of the short side wide."""
    width = max(1, round(min(image.shape[:2]) * share))
    return np.asarray(cv2.copyMakeBorder(image, width, width, width, width, cv2.BORDER_CONSTANT, value=fill), np.uint8)


def recompress(image: Picture, quality: int) -> Picture:
    """Through JPEG."""
    written, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert written
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


def blur(image: Picture, sigma: float) -> Picture:
    """Gaussian, `sigma` pixels wide."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def noise(image: Picture, strength: float, chance: random.Random) -> Picture:
    """Grain; `strength` is its standard deviation, of 255."""
    grain = np.empty(image.shape, np.int16)
    cv2.setRNGSeed(chance.getrandbits(31))
    cv2.randn(grain, np.zeros(3), np.full(3, strength))
    return np.asarray(np.clip(image + grain, 0, 255), np.uint8)


def grey(image: Picture) -> Picture:
    """No colours."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def tone(
    image: Picture, gain: float = 1.0, contrast: float = 1.0, gamma: float = 1.0, tint: tuple[float, ...] = (1, 1, 1)
) -> Picture:
    """Brighter, of more contrast around the middle, bent by `gamma`, its colours multiplied by `tint`: a table each."""
    ramp = np.linspace(0, 1, 256)
    curve = ((ramp**gamma) * gain - 0.5) * contrast + 0.5
    table = np.clip(curve[:, None] * np.array(tint) * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table.reshape(1, 256, 3)), np.uint8)


def saturate(image: Picture, amount: float) -> Picture:
    """Colours `amount` times as strong: 0 is grey."""
    return np.asarray(cv2.addWeighted(image, amount, grey(image), 1 - amount, 0), np.uint8)


def recolour(image: Picture, matrix: NDArray[np.float32]) -> Picture:
    """Each pixel's red, green and blue through a 3 × 3 matrix: sepia and other filters."""
    return np.asarray(cv2.transform(image, matrix), np.uint8)


SEPIA: NDArray[np.float32] = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]], np.float32)
"""The usual matrix of photo software."""


def colour(chance: random.Random) -> Colour:
    """White, black, a grey, or any."""
    kind = chance.random()
    if kind < 0.6:
        level = 255 if kind < 0.28 else 0 if kind < 0.45 else chance.randrange(256)
        return (level, level, level)
    return (chance.randrange(256), chance.randrange(256), chance.randrange(256))


def words(chance: random.Random, count: int) -> str:
    """Words of no language."""
    made = ("".join(chance.choices(LETTERS, k=chance.randint(2, 9))) for _ in range(count))
    return " ".join(
        word.upper() if chance.random() < 0.1 else word.title() if chance.random() < 0.2 else word for word in made
    )


def write(image: Picture, chance: random.Random, size: float, lines: int = 1) -> Picture:
    """Words over it, `size` of its height high, with or without a bar or an outline behind them."""
    written = image.copy()
    height, width = image.shape[:2]
    font, high = chance.choice(FONTS), max(6.0, size * height)
    factor, thick = high / 22, max(1, round(high / chance.uniform(8, 16)))
    ink = colour(chance)
    behind = tuple(255 - level for level in ink)
    top = chance.uniform(high, max(high + 1, height - lines * high * 1.4))
    left = round(chance.uniform(-0.05, 0.3) * width)
    way = chance.random()
    if way < 0.25:
        cv2.rectangle(
            written, (0, round(top - high * 1.2)), (width, round(top + (lines - 0.6) * high * 1.4)), behind, -1
        )
    for number in range(lines):
        place = (left, round(top + number * high * 1.4))
        text = words(chance, chance.randint(1, 4))
        if way > 0.6:
            cv2.putText(written, text, place, font, factor, behind, thick + 2, cv2.LINE_AA)
        cv2.putText(written, text, place, font, factor, ink, thick, cv2.LINE_AA)
    return written


def stick(image: Picture, chance: random.Random, size: float) -> Picture:
    """A face, a heart, a star, an arrow or a plain shape over it, `size` of its short side across."""
    covered = image.copy()
    height, width = image.shape[:2]
    radius = max(4, round(size * min(height, width) / 2))
    x, y = chance.randrange(width), chance.randrange(height)
    kind = chance.randrange(5)
    fill = (255, chance.randint(190, 230), chance.randint(20, 90)) if kind == 0 else colour(chance)
    if kind == 0:
        cv2.circle(covered, (x, y), radius, fill, -1, cv2.LINE_AA)
        for side in (-1, 1):
            eye = (x + side * radius * 2 // 5, y - radius // 3)
            cv2.circle(covered, eye, max(1, radius // 7), (60, 40, 20), -1, cv2.LINE_AA)
        bend = chance.choice([(0, 180), (180, 360)])
        cv2.ellipse(
            covered,
            (x, y + radius // 5),
            (radius // 2, radius // 3),
            0,
            *bend,
            (60, 40, 20),
            max(1, radius // 8),
            cv2.LINE_AA,
        )
    elif kind == 1:
        for side in (-1, 1):
            cv2.circle(covered, (x + side * radius // 2, y - radius // 3), round(radius * 0.56), fill, -1, cv2.LINE_AA)
        cv2.fillPoly(
            covered, [np.array([(x - radius, y - radius // 6), (x + radius, y - radius // 6), (x, y + radius)])], fill
        )
    elif kind == 2:
        points = chance.randint(4, 8)
        turned, inner = chance.uniform(0, math.pi), chance.uniform(0.35, 0.9)
        rays = [(turned + math.pi * i / points, radius * (inner if i % 2 else 1)) for i in range(2 * points)]
        star = np.array([(x + far * math.cos(angle), y + far * math.sin(angle)) for angle, far in rays], np.int32)
        cv2.fillPoly(covered, [star], fill, cv2.LINE_AA)
    elif kind == 3:
        end = (x + round(radius * chance.uniform(-1, 1)), y + round(radius * chance.uniform(-1, 1)))
        cv2.arrowedLine(covered, (x, y), end, fill, max(2, radius // 6), cv2.LINE_AA, 0, 0.4)
    else:
        cv2.rectangle(covered, (x - radius, y - radius // 2), (x + radius, y + radius // 2), fill, -1)
    seen = chance.choice([1.0, 1.0, 0.6])
    return covered if seen == 1 else np.asarray(cv2.addWeighted(covered, seen, image, 1 - seen, 0), np.uint8)
