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

FAINT = 2.5
"""Mean distance from grey in a and b of CIELAB below which a picture has no colours."""

MOST = 0.95
"""The share of the pixels whose colours must agree."""

STRENGTHS = (0.4, 2.5)
"""How much fainter or stronger colours may have become. All grey is a case of its own."""

MAX_TINT, MAX_GROWTH = 12.0, 0.2
"""Of a and b of CIELAB: the tint that all may have, and how it may grow by step of lightness; sepia, as photo software
has it, reaches both."""


@dataclass(frozen=True)
class Agreement:
    """How far two aligned pictures agree.

    `form` is the mean correlation of the lightness within windows that have a form, and `agreeing` the share of such
    windows whose correlation is at least ALIKE: of all that both pictures have in common by their alignment.
    `core_form` and `core_agreeing` are the same among the points that they agree on, which cover `core_share` of the
    first or of the second picture, whichever is more: beyond, each may be a part of something bigger.

    In the agreeing windows, `gain` is the contrast of the second picture by that of the first, and `colours` how far
    their colours differ in a and b of CIELAB once an even change of all is taken off; `grey` says that one of them has
    none. `change` is how far all differs in CIELAB as it is. `area` is the number of pixels compared.
    """

    form: float = 0.0
    agreeing: float = 0.0
    core_form: float = 0.0
    core_agreeing: float = 0.0
    core_share: float = 0.0
    gain: float = 1.0
    colours: float = 0.0
    grey: bool = False
    change: float = 0.0
    area: int = 0


def agreement(first: Pixels, second: Pixels, alignment: Alignment) -> Agreement:
    """Lay the first picture over the second, and compare what both show."""
    factor = min(1.0, SIDE / max(second.shape[:2]))
    shrunk = np.diag([factor, factor, 1.0]) @ alignment.matrix
    zoom = factor * math.sqrt(abs(float(np.linalg.det(alignment.linear))))
    size = max(8, round(second.shape[1] * factor)), max(8, round(second.shape[0] * factor))
    under = cv2.resize(second, size, interpolation=cv2.INTER_AREA)
    source = first if zoom >= 1 else cv2.GaussianBlur(first, (0, 0), 0.4 / zoom)
    over = cv2.warpPerspective(source, shrunk, size, flags=cv2.INTER_LINEAR)
    covered = cv2.warpPerspective(np.full(first.shape[:2], 1, np.uint8), shrunk, size, flags=cv2.INTER_NEAREST)
    inside: NDArray[np.bool_] = cv2.erode(covered, np.ones((3, 3), np.uint8)) > 0
    core = inside & _around(alignment, factor, covered.shape)
    labs = [
        np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
        for pixels in (over, under)
    ]
    correlation, formed, deviations = _windows(
        np.ascontiguousarray(labs[0][..., 0]), np.ascontiguousarray(labs[1][..., 0]), inside
    )
    alike = formed & (correlation >= ALIKE)
    if not (alike & core).any():
        return Agreement(area=int(inside.sum()))
    near = alike & core
    in_core = formed & core
    whole = min(size[0] * size[1], first.shape[0] * first.shape[1] * zoom**2)
    return Agreement(
        form=float(correlation[formed].mean()),
        agreeing=float(alike.sum() / formed.sum()),
        core_form=float(correlation[in_core].mean()),
        core_agreeing=float(near.sum() / in_core.sum()),
        core_share=float(core.sum() / whole),
        gain=float(np.median(deviations[1][near] / np.maximum(deviations[0][near], 1e-3))),
        colours=_colours(labs, near),
        grey=min(float(np.hypot(lab[..., 1], lab[..., 2])[near].mean()) for lab in labs) < FAINT,
        change=float(np.quantile(np.linalg.norm(labs[0][near] - labs[1][near], axis=1), MOST)),
        area=int(inside.sum()),
    )


def _around(alignment: Alignment, factor: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where the points lie that both pictures agree on, with all between them and a little around."""
    hull = cv2.convexHull((alignment.points * factor).astype(np.float32))
    around = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(around, np.rint(hull).astype(np.int32), 1)
    return np.asarray(cv2.dilate(around, np.ones((WINDOW, WINDOW), np.uint8)) > 0)


def _windows(
    over: NDArray[np.float32], under: NDArray[np.float32], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """For the window around each pixel the correlation of both pictures' lightness, whether either has a form there,
    and both standard deviations."""
    window = (WINDOW, WINDOW)
    whole = cv2.blur(inside.astype(np.float32), window)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(np.where(inside, values, 0).astype(np.float32), window) / np.maximum(whole, 1e-3))

    means = mean(over), mean(under)
    common = mean(over * under) - means[0] * means[1]
    first = np.sqrt(np.maximum(mean(over * over) - means[0] ** 2, 0))
    second = np.sqrt(np.maximum(mean(under * under) - means[1] ** 2, 0))
    formed = inside & (whole > 0.6) & (np.maximum(first, second) > TEXTURE)
    return np.clip(common / np.maximum(first * second, TEXTURE), -1, 1), formed, (first, second)


def _colours(labs: list[NDArray[np.float32]], where: NDArray[np.bool_]) -> float:
    """How far the second's colours are from the first's, in a and b of CIELAB, but for the few pixels where that is
    most.

    Before, the first's are made stronger or fainter and given a tint that may grow with the lightness, as filters do,
    but only so much: white things stay white in a photo of a shirt in another colour.
    """
    over, under = (cv2.blur(lab, (5, 5))[where] for lab in labs)
    first, second = over[:, 1:], under[:, 1:]
    spread = float(((first - first.mean(0)) ** 2).sum())
    together = float(((first - first.mean(0)) * (second - second.mean(0))).sum())
    strength = float(np.clip(together / max(spread, 1e-3), *STRENGTHS))
    left = second - strength * first
    light = over[:, 0] - over[:, 0].mean()
    growth = np.clip((light @ left) / max(float(light @ light), 1e-3), -MAX_GROWTH, MAX_GROWTH)
    left = left - light[:, None] * growth
    left = left - np.clip(np.median(left, 0), -MAX_TINT, MAX_TINT)
    return float(np.quantile(np.hypot(left[:, 0], left[:, 1]), MOST))
