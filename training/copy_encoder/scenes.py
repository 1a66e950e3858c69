"""Bigger pictures that hold others: a collage, a page of text, a screenshot, a photograph of a print."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from training.copy_encoder.edits import FONTS, Colour, blur, colour, noise, resize, words
from training.copy_encoder.photos import Picture

LONG = 400
"""Pixels of a scene's long side: enough for networks of up to that many."""


def _canvas(width: int, height: int, fill: Colour) -> Picture:
    return np.full((height, width, 3), fill, np.uint8)


def _place(canvas: Picture, image: Picture, left: int, top: int, width: int, height: int, whole: bool) -> None:
    """Into a frame of the canvas: the `whole` in its own shape, or as much as fills the frame."""
    ratio = image.shape[1] / image.shape[0]
    if whole:
        wide = min(width, max(1, round(height * ratio)))
        high = min(height, max(1, round(wide / ratio)))
        left, top, width, height = left + (width - wide) // 2, top + (height - high) // 2, wide, high
    elif ratio > width / height:
        wide = max(1, round(image.shape[0] * width / height))
        start = (image.shape[1] - wide) // 2
        image = image[:, start : start + wide]
    else:
        high = max(1, round(image.shape[1] * height / width))
        start = (image.shape[0] - high) // 2
        image = image[start : start + high]
    canvas[top : top + height, left : left + width] = resize(image, width, height)


def _parts(count: int, whole: int, gap: int, chance: random.Random, evenly: bool) -> list[tuple[int, int]]:
    """`whole` pixels in so many parts with gaps around: begin and length of each."""
    shares = [1.0 if evenly else chance.uniform(0.7, 1.4) for _ in range(count)]
    free = whole - gap * (count + 1)
    ends = np.cumsum([0.0, *shares]) / sum(shares) * free
    return [(round(ends[i]) + gap * (i + 1), max(4, round(ends[i + 1]) - round(ends[i]))) for i in range(count)]


def collage(images: Sequence[Picture], chance: random.Random) -> Picture:
    """All of them in rows, at one size or several, whole or as much as fills their place."""
    count = len(images)
    width = LONG if chance.random() < 0.7 else round(LONG * chance.uniform(0.6, 1))
    height = LONG if width < LONG else round(LONG * chance.uniform(0.6, 1))
    rows = chance.choice([math.isqrt(count), math.ceil(math.sqrt(count)), chance.randint(1, min(count, 3))])
    order = list(images)
    chance.shuffle(order)
    gap, evenly, whole = chance.choice([0, 0, 3, 6, 12]), chance.random() < 0.6, chance.random() < 0.3
    canvas = _canvas(width, height, colour(chance))
    lengths = [count // rows + (row < count % rows) for row in range(rows)]
    for length, (top, high) in zip(lengths, _parts(rows, height, gap, chance, evenly), strict=True):
        for left, wide in _parts(length, width, gap, chance, evenly):
            _place(canvas, order.pop(), left, top, wide, high, whole)
    return canvas


def _writing(canvas: Picture, left: int, top: int, width: int, height: int, ink: Colour, chance: random.Random) -> None:
    """Lines of words in a frame of the canvas."""
    high = chance.uniform(5, 11)
    font, step = chance.choice(FONTS[:4]), high * chance.uniform(1.5, 2.2)
    part = canvas[max(0, top) : top + height, max(0, left) : left + width]
    line = high
    while line < height:
        last = chance.random() < 0.15
        text = words(chance, max(1, round(width / high / (12 if last else 5))))
        cv2.putText(part, text, (0, round(line)), font, high / 22, ink, 1, cv2.LINE_AA)
        line += step * (1.6 if last and chance.random() < 0.5 else 1)


def page(image: Picture, chance: random.Random, share: float) -> Picture:
    """A page of text, upright or broad, in one to three columns, with the picture in `share` of its area."""
    upright = chance.random() < 0.7
    long, short = LONG, round(LONG * chance.uniform(0.6, 0.85))
    width, height = (short, long) if upright else (long, short)
    dark = chance.random() < 0.12
    level = chance.randint(15, 60) if dark else chance.choice([255, 255, chance.randint(215, 254)])
    tint = chance.choice([0, 0, chance.randint(0, 25)])
    paper = (level, level - tint // 2, max(0, level - tint))
    ink = (230, 230, 230) if dark else (chance.randrange(90),) * 3
    canvas = _canvas(width, height, paper)
    margin = round(short * chance.uniform(0.04, 0.12))
    columns = chance.randint(1, 3 if not upright else 2)
    gap = round(short * 0.04)
    wide = (width - 2 * margin - (columns - 1) * gap) // columns
    for column in range(columns):
        _writing(canvas, margin + column * (wide + gap), margin, wide, height - 2 * margin, ink, chance)
    if chance.random() < 0.5:
        cv2.rectangle(canvas, (0, 0), (width, margin + 30), paper, -1)
        text = words(chance, chance.randint(2, 4))
        cv2.putText(
            canvas, text, (margin, margin + 20), chance.choice(FONTS[:4]), chance.uniform(0.6, 1.1), ink, 2, cv2.LINE_AA
        )
    ratio = image.shape[1] / image.shape[0]
    area = share * width * height
    picture_wide = min(width - 8, round(math.sqrt(area * ratio)))
    picture_high = min(height - 8, round(picture_wide / ratio))
    picture_wide = max(8, min(picture_wide, round(picture_high * ratio)))
    left = chance.randint(4, max(4, width - 4 - picture_wide))
    if chance.random() < 0.4:
        left = chance.choice([margin, (width - picture_wide) // 2, max(4, width - margin - picture_wide)])
        left = min(max(0, left), width - picture_wide)
    top = chance.randint(4, max(4, height - 4 - picture_high))
    around = chance.randint(3, 10)
    from_x = 0 if chance.random() < 0.5 else max(0, left - around)
    to_x = width if from_x == 0 else left + picture_wide + around
    canvas[max(0, top - around) : top + picture_high + around, from_x:to_x] = paper
    canvas[top : top + picture_high, left : left + picture_wide] = resize(image, picture_wide, picture_high)
    return canvas


def screenshot(image: Picture, chance: random.Random, share: float) -> Picture:
    """A window or a telephone's screen with bars, buttons and words, and the picture in `share` of it."""
    phone = chance.random() < 0.35
    long, short = LONG, round(LONG * (chance.uniform(0.46, 0.6) if phone else chance.uniform(0.55, 0.75)))
    width, height = (short, long) if phone else (long, short)
    light = chance.random() < 0.6
    level = chance.randint(225, 255) if light else chance.randint(10, 60)
    ink = (40, 40, 40) if light else (220, 220, 220)
    canvas = _canvas(width, height, (level, level, level))
    bar_level = max(0, min(255, level + chance.randint(-45, 30)))
    bar = (bar_level, bar_level, bar_level) if chance.random() < 0.7 else colour(chance)
    high = chance.randint(10, 36)
    side = 0 if phone else chance.choice([0, 0, round(width * chance.uniform(0.08, 0.28))])
    cv2.rectangle(canvas, (0, 0), (width, high), bar, -1)
    if side:
        cv2.rectangle(canvas, (0, high), (side, height), bar, -1)
        _writing(canvas, 6, high + 8, side - 10, height - high - 16, ink, chance)
    for number in range(chance.randint(0, 5)):
        spot = (width - 10 - number * 14, high // 2) if chance.random() < 0.7 else (10 + number * 14, high // 2)
        cv2.circle(canvas, spot, 4, colour(chance), chance.choice([-1, 1]), cv2.LINE_AA)
    cv2.putText(canvas, words(chance, 2), (50, high // 2 + 4), FONTS[0], 0.35, ink, 1, cv2.LINE_AA)
    if chance.random() < 0.7:
        _writing(canvas, side + 10, high + 10, width - side - 20, height - high - 20, ink, chance)
    foot = chance.choice([0, 0, chance.randint(10, 30)])
    if foot:
        cv2.rectangle(canvas, (0, height - foot), (width, height), bar, -1)
    room_wide, room_high = width - side, height - high - foot
    ratio = image.shape[1] / image.shape[0]
    wide = min(room_wide, math.sqrt(share * width * height * ratio))
    tall = min(room_high, wide / ratio)
    wide = min(wide, tall * ratio)
    left = side + round((room_wide - wide) * chance.choice([0.5, chance.random()]))
    top = high + round((room_high - tall) * chance.choice([0.5, chance.random()]))
    picture = resize(image, max(8, int(wide)), max(8, int(tall)))
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def photographed(image: Picture, chance: random.Random, tilt: float, room: float) -> Picture:
    """A print on a table: askew by `tilt` (a share of its sides), with `room` around it, under uneven light, grainy."""
    width = LONG if image.shape[1] >= image.shape[0] else round(LONG * image.shape[1] / image.shape[0])
    height = round(width * image.shape[0] / image.shape[1])
    table = colour(chance)
    canvas = blur(noise(_canvas(width, height, table), chance.uniform(2, 40), chance), chance.uniform(0.6, 3))
    low, high = room, 1 - room

    def near(x: float, y: float) -> tuple[float, float]:
        inward = (tilt if x < 0.5 else -tilt, tilt if y < 0.5 else -tilt)
        return ((x + inward[0] * chance.random()) * width, (y + inward[1] * chance.random()) * height)

    corners = np.array([near(low, low), near(high, low), near(high, high), near(low, high)], np.float32)
    angle = chance.uniform(-1, 1) * tilt
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], np.float32)
    middle = np.array([width / 2, height / 2], np.float32)
    corners = (corners - middle) @ turn.T.astype(np.float32) + middle
    own = np.array([(0, 0), (image.shape[1], 0), (image.shape[1], image.shape[0]), (0, image.shape[0])], np.float32)
    matrix = cv2.getPerspectiveTransform(own, corners.astype(np.float32))
    cv2.warpPerspective(image, matrix, (width, height), canvas, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    return noise(_lit(canvas, chance), chance.uniform(2, 12), chance)


def _lit(image: Picture, chance: random.Random) -> Picture:
    """Light from one side, and a little of a colour."""
    height, width = image.shape[:2]
    angle, depth = chance.uniform(0, 2 * math.pi), chance.uniform(0.1, 0.5)
    across = np.linspace(-1, 1, width, dtype=np.float32)[None] * math.cos(angle)
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * math.sin(angle)
    light: NDArray[np.float32] = (1 + depth * (across + down) / 1.5).astype(np.float32)
    tint = np.array([chance.uniform(0.85, 1.1) for _ in range(3)], np.float32)
    return np.asarray(np.clip(image * light[..., None] * tint, 0, 255), np.uint8)
