"""Whether two pictures, laid over each other, show the same pixels: form first, then colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.verification.alignment import Alignment
from core.verification.local_features import Pixels

SIDE = 160
"""Pixels of the long side at which pictures are laid over each other: coarse enough for blur and a pixel's shift."""

WINDOW = 9
"""Pixels of the side of the windows whose forms are compared."""

TEXTURE = 2.0
"""Of the lightness (0 to 100): the standard deviation within a window from which it has a form."""

ALIKE = 0.6
"""Correlation of a window's lightness from which both show the same there."""

FAINT = 4.0
"""Of a and b of CIELAB: the standard deviation below which a picture counts as grey, or as all of one tint."""

MAX_TINT = 0.25
"""Of a and b of CIELAB by step of lightness: the tint of sepia, as photo software has it, changes by 0.2."""


@dataclass(frozen=True)
class Agreement:
    """How far two aligned pictures agree.

    `form` is the mean correlation of the brightness within windows that have a form, and `agreeing` the share of such
    windows whose correlation is at least ALIKE. In the latter, `gain` is the contrast of the second picture by that of
    the first, and `colours` how much of the second's colours the first's explain (R²), None where one has none.
    `area` is the number of pixels compared.
    """

    form: float
    agreeing: float
    gain: float
    colours: float | None
    area: int


def agreement(first: Pixels, second: Pixels, alignment: Alignment) -> Agreement:
    """Lay the first picture over the second, and compare what both show around the points that they agree on.

    Beyond these they may differ: each may be a part of a bigger picture.
    """
    factor = min(1.0, SIDE / max(second.shape[:2]))
    shrunk = np.diag([factor, factor, 1.0]) @ alignment.matrix
    zoom = factor * math.sqrt(abs(float(np.linalg.det(alignment.linear))))
    size = max(8, round(second.shape[1] * factor)), max(8, round(second.shape[0] * factor))
    under = cv2.resize(second, size, interpolation=cv2.INTER_AREA)
    source = first if zoom >= 1 else cv2.GaussianBlur(first, (0, 0), 0.4 / zoom)
    over = cv2.warpPerspective(source, shrunk, size, flags=cv2.INTER_LINEAR)
    covered = cv2.warpPerspective(np.full(first.shape[:2], 1, np.uint8), shrunk, size, flags=cv2.INTER_NEAREST)
    around = np.zeros(covered.shape, np.uint8)
    hull = cv2.convexHull((alignment.points * factor).astype(np.float32))
    cv2.fillConvexPoly(around, np.rint(hull).astype(np.int32), 1)
    inside: NDArray[np.bool_] = (cv2.erode(covered, np.ones((3, 3), np.uint8)) > 0) & (
        cv2.dilate(around, np.ones((WINDOW, WINDOW), np.uint8)) > 0
    )
    area = int(inside.sum())
    labs = [
        np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
        for pixels in (over, under)
    ]
    windows = _windows(np.ascontiguousarray(labs[0][..., 0]), np.ascontiguousarray(labs[1][..., 0]), inside)
    if windows is None:
        return Agreement(0.0, 0.0, 1.0, None, area)
    correlation, formed, deviations = windows
    alike = formed & (correlation >= ALIKE)
    agreeing = float(alike.sum() / formed.sum())
    if not alike.any():
        return Agreement(float(correlation[formed].mean()), 0.0, 1.0, None, area)
    gain = float(np.median(deviations[1][alike] / np.maximum(deviations[0][alike], 1e-3)))
    near = inside & (cv2.dilate(alike.astype(np.uint8), np.ones((WINDOW, WINDOW), np.uint8)) > 0)
    return Agreement(float(correlation[formed].mean()), agreeing, gain, _colours(labs, near), area)


def _windows(
    over: NDArray[np.float32], under: NDArray[np.float32], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[NDArray[np.float32], NDArray[np.float32]]] | None:
    """For the window around each pixel the correlation of both pictures' lightness, whether either has a form there,
    and both standard deviations; None if there is no form anywhere."""
    window = (WINDOW, WINDOW)
    whole = cv2.blur(inside.astype(np.float32), window)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(np.where(inside, values, 0).astype(np.float32), window) / np.maximum(whole, 1e-3))

    means = mean(over), mean(under)
    common = mean(over * under) - means[0] * means[1]
    first = np.sqrt(np.maximum(mean(over * over) - means[0] ** 2, 0))
    second = np.sqrt(np.maximum(mean(under * under) - means[1] ** 2, 0))
    formed = inside & (whole > 0.6) & (np.maximum(first, second) > TEXTURE)
    if not formed.any():
        return None
    return np.clip(common / np.maximum(first * second, TEXTURE), -1, 1), formed, (first, second)


def _colours(labs: list[NDArray[np.float32]], where: NDArray[np.bool_]) -> float | None:
    """How much of the second's colours, a and b of CIELAB, are the first's times a strength, plus a tint that may grow
    or fade with the lightness (as sepia does), but only so much: white things stay white in a photo of a red one."""
    over, under = (cv2.blur(lab, (5, 5))[where] for lab in labs)
    first, second = over[:, 1:] - over[:, 1:].mean(0), under[:, 1:] - under[:, 1:].mean(0)
    spread = float((first**2).sum(1).mean()), float((second**2).sum(1).mean())
    if min(spread) < FAINT**2:
        return None
    light = over[:, 0] - over[:, 0].mean()
    tint = np.clip((light @ second) / max(float(light @ light), 1e-3), -MAX_TINT, MAX_TINT)
    plain = second - light[:, None] * tint
    strength = float(np.clip((first * plain).sum() / (first**2).sum(), 0, 3))
    return 1 - float(((plain - strength * first) ** 2).sum(1).mean()) / spread[1]
