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

AGREEING, FORM = 0.8, 0.65
"""How far all that two pictures have in common must agree, see `Agreement`. Copies have more, but for those with words
over them; two photos of one thing have less, for they are not taken from quite the same place."""

CORE_AGREEING, CORE_FORM, CORE_SHARE = 0.88, 0.75, 0.25
"""Or else what lies among the points, which must be a good part of one picture: in a collage each picture is cut."""

MATCHING, CORE_MATCHING = 0.55, 0.6
"""The share of all matches of features that the alignment must explain, in either case."""

COLOURS = 10.0
"""How far colours may differ. Cropped, turned and re-compressed copies stay within 7, one shirt in two colours is
beyond 12; a strong filter is, too, and proves nothing."""

GAIN, GREY_GAIN = 2.6, 1.5
"""How much more contrast the one may have, and where one has no colours, which then cannot disagree."""

FEW, CHANGE = 30, 32.0
"""With fewer points than that, a picture is so plain that its colours must be the same as they are, within so much."""

PLAIN_AGREEING, PLAIN_FORM, SHAPE = 0.95, 0.85, 0.03
"""What two pictures of one shape, whose ratios of width to height differ by a factor of 1.03 at most, must have in
common as they are."""

SMALLEST = 150
"""Pixels in common, of pictures of 160: 12 × 12 can prove something, less cannot."""


@dataclass(frozen=True)
class Proof:
    """How the first picture lies in the second, and the second in the first.

    `first_share` is how much of the first picture's area is in the second, 0 to 1, and `second_share` how much of the
    second's is in the first. The first is the second `turned` clockwise by so many degrees, -180 to 180, after it was
    `mirrored`, left and right. `points` is how many local features agree; 0 if both agree as they are.
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
    if alignment is not None:
        found = agreement(first.pixels, second.pixels, alignment)
        if _same_forms(found, alignment) and _same_colours(found, len(alignment.points)):
            return _proof(first, second, alignment, len(alignment.points))
    return _prove_as_they_are(first, second)


def _prove_as_they_are(first: LocalFeatures, second: LocalFeatures) -> Proof | None:
    """The proof for two pictures of one shape that agree without being moved: plain ones have few features."""
    height, width = first.pixels.shape[:2]
    across, down = second.pixels.shape[1] / width, second.pixels.shape[0] / height
    if abs(math.log(across / down)) > SHAPE:
        return None
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    points = np.asarray(corners * (across, down), np.float32)
    alignment = Alignment(np.diag([across, down, 1.0]), points, len(points))
    found = agreement(first.pixels, second.pixels, alignment)
    if found.agreeing < PLAIN_AGREEING or found.form < PLAIN_FORM or not _same_colours(found, 0):
        return None
    return _proof(first, second, alignment, 0)


def _same_forms(found: Agreement, alignment: Alignment) -> bool:
    matching = len(alignment.points) / alignment.matches
    whole = found.agreeing >= AGREEING and found.form >= FORM and matching >= MATCHING
    core = found.core_agreeing >= CORE_AGREEING and found.core_form >= CORE_FORM and matching >= CORE_MATCHING
    return found.area >= SMALLEST and (whole or (core and found.core_share >= CORE_SHARE))


def _same_colours(found: Agreement, points: int) -> bool:
    most = GREY_GAIN if found.grey else GAIN
    if not 1 / most <= found.gain <= most or (points < FEW and found.change > CHANGE):
        return False
    return found.grey or found.colours <= COLOURS


def _proof(first: LocalFeatures, second: LocalFeatures, alignment: Alignment, points: int) -> Proof:
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
        points=points,
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
