"""The proof that two pictures are the same one: cropped, turned, mirrored, framed, recoloured, or one in the other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from core.verification.agreement import Agreement, agreement
from core.verification.alignment import Alignment, Matrix, align
from core.verification.local_features import LocalFeatures

Outline = tuple[tuple[float, float], ...]
"""The corners of one picture within another, from its own top left clockwise: x and y as parts of the other's width and
height. Those outside the other are below 0 or above 1."""

FORM, AGREEING = 0.45, 0.5
"""What form must agree at least, see `Agreement`. Copies with words or stickers over them have 0.5 and more."""

COLOURS = 0.2
"""How much of the colours must agree. Copies have 0.6 and more, one shirt in two colours has 0 to 0.4."""

GAIN, GREY_GAIN = 2.8, 2.0
"""How much more contrast the one may have, and where one has no colours, which then cannot disagree."""

SMALLEST = 150
"""Pixels in common, of pictures of 160: 12 × 12 can prove something, less cannot."""


@dataclass(frozen=True)
class Proof:
    """How the first picture lies in the second, and the second in the first.

    `first_share` is how much of the first picture's area is in the second, 0 to 1, and `second_share` how much of the
    second's is in the first. The first is the second `turned` clockwise by so many degrees, -180 to 180, after it was
    `mirrored`, left and right. `points` is how many local features agree.
    """

    first_in_second: Outline
    second_in_first: Outline
    first_share: float
    second_share: float
    mirrored: bool
    turned: float
    points: int

    @property
    def swapped(self) -> Proof:
        """The same, with first and second in each other's place."""
        return replace(
            self,
            first_in_second=self.second_in_first,
            second_in_first=self.first_in_second,
            first_share=self.second_share,
            second_share=self.first_share,
            turned=self.turned if self.mirrored else -self.turned,
        )


def prove(first: LocalFeatures, second: LocalFeatures) -> Proof | None:
    """The proof that both show the same picture, or None. Flat, blank and tiny pictures can prove nothing."""
    alignment = align(first, second)
    if alignment is None or not _agrees(agreement(first.pixels, second.pixels, alignment)):
        return None
    return _proof(first, second, alignment)


def _agrees(found: Agreement) -> bool:
    most = GAIN if found.colours is not None else GREY_GAIN
    return (
        found.area >= SMALLEST
        and found.form >= FORM
        and found.agreeing >= AGREEING
        and 1 / most <= found.gain <= most
        and (found.colours is None or found.colours >= COLOURS)
    )


def _proof(first: LocalFeatures, second: LocalFeatures, alignment: Alignment) -> Proof:
    # First from second: a mirror of left and right, if there is one, then a turn.
    back = np.linalg.inv(alignment.linear) @ (np.diag([-1.0, 1.0]) if alignment.mirrored else np.eye(2))
    left, _, right = np.linalg.svd(back)
    turn = left @ right
    ours, theirs = (
        _corners(first, alignment.matrix),
        _corners(second, np.asarray(np.linalg.inv(alignment.matrix), np.float64)),
    )
    return Proof(
        first_in_second=_outline(ours, second),
        second_in_first=_outline(theirs, first),
        first_share=_share(theirs, first),
        second_share=_share(ours, second),
        mirrored=alignment.mirrored,
        turned=math.degrees(math.atan2(turn[1, 0], turn[0, 0])),
        points=len(alignment.points),
    )


def _corners(picture: LocalFeatures, matrix: Matrix) -> NDArray[np.float32]:
    """Where a map takes the corners of a picture."""
    height, width = picture.pixels.shape[:2]
    corners = np.array([[(0, 0), (width, 0), (width, height), (0, height)]], np.float64)
    return np.asarray(cv2.perspectiveTransform(corners, matrix)[0], np.float32)


def _outline(corners: NDArray[np.float32], within: LocalFeatures) -> Outline:
    height, width = within.pixels.shape[:2]
    return tuple((round(float(x) / width, 4), round(float(y) / height, 4)) for x, y in corners)


def _share(corners: NDArray[np.float32], of: LocalFeatures) -> float:
    """How much of a picture lies within these corners."""
    height, width = of.pixels.shape[:2]
    frame = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    area, _ = cv2.intersectConvexConvex(frame, corners)
    return float(min(1.0, area / (width * height)))
