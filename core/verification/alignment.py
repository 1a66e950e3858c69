"""Where one picture lies in another: a map that many of their local features agree on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.verification.local_features import LocalFeatures

Matrix = NDArray[np.float64]
"""(3, 3): a map of pixels of one picture to pixels of another, in homogeneous coordinates."""

Points = NDArray[np.float32]
"""(n, 2): x and y in pixels."""

RATIO = 0.85
"""A match's distance must be below this part of the distance to the next best place (Lowe 2004 has 0.8, for fewer
wrong matches; here those are sorted out by MAGSAC)."""

LEAST = 0.7
"""Cosine of two descriptors below which they are no match: it spares most of the comparing."""

SAME_PLACE = 4.0
"""Pixels: points nearer than this are one place, which often has two directions."""

TOLERANCE = 3.0
"""Pixels that a point may lie beside where the map puts it."""

FEWEST = 8
"""Points that must agree. Between unrelated pictures at most 6 did (`python -m bench same` measures the whole)."""

PLENTY, MAJORITY = 40, 0.7
"""Points, and their share of all matches, that settle it: then the mirror image is not tried. Symmetric things match
their mirror image as well, but never as a whole."""

PERSPECTIVE, BETTER = 15, 1.1
"""Points that a map with perspective needs, and how many times those without: it can be bent to fit chance."""

MAX_SCALE, MAX_STRETCH = 12.0, 2.5
"""How much larger, and how much wider by its height, a picture may have become; maps beyond are nonsense."""


@dataclass(frozen=True)
class Alignment:
    """`matrix` maps pixels of the first picture to pixels of the second; `points` are those of the second on which
    they agree, of so many `matches`."""

    matrix: Matrix
    points: Points
    matches: int

    @property
    def settled(self) -> bool:
        """Whether no other map can be better."""
        return len(self.points) >= max(PLENTY, MAJORITY * self.matches)

    @property
    def mirrored(self) -> bool:
        """Whether the one is a mirror image of the other."""
        return bool(np.linalg.det(self.linear) < 0)

    @property
    def linear(self) -> Matrix:
        """(2, 2): the map without its shift, and without its perspective but in the middle of the points."""
        x, y = (np.linalg.inv(self.matrix) @ [*self.points.mean(0), 1.0])[:2]
        u, v, w = self.matrix @ [x, y, 1.0]
        rows = self.matrix[:2, :2] * w - np.outer([u, v], self.matrix[2, :2])
        return np.asarray(rows / w**2, np.float64)


def align(first: LocalFeatures, second: LocalFeatures) -> Alignment | None:
    """The map of the first picture onto the second that most features agree on, mirrored or not; None if too few do."""
    found = _estimate(*_matches(first, first.descriptors, second))
    if found is not None and found.settled:
        return found
    mirrored = _estimate(*_matches(first, first.mirrored, second))
    if found is None or (mirrored is not None and len(mirrored.points) > len(found.points)):
        return mirrored
    return found


def _matches(first: LocalFeatures, descriptors: NDArray[np.float32], second: LocalFeatures) -> tuple[Points, Points]:
    """The points of each that are each other's best match, clearly better than any other place."""
    if min(len(first.points), len(second.points)) < FEWEST:
        return first.points[:0], second.points[:0]
    likeness = descriptors @ second.descriptors.T
    rows = np.arange(len(likeness))
    best = likeness.argmax(1)
    mutual = np.nonzero((likeness.argmax(0)[best] == rows) & (likeness[rows, best] > LEAST))[0]
    rows, best, likeness = mutual, best[mutual], likeness[mutual]
    nearest = likeness[np.arange(len(rows)), best]
    apart = np.abs(second.points[best][:, None] - second.points[None]).max(2) >= SAME_PLACE
    other = np.where(apart, likeness, -1).max(1)
    clear = 1 - nearest < RATIO**2 * (1 - other)  # squared distances of unit vectors are 2 - 2 cosine
    return first.points[rows[clear]], second.points[best[clear]]


def _estimate(sources: Points, targets: Points) -> Alignment | None:
    """An affine map, or one with perspective if that fits better, by MAGSAC++ (Barath et al. 2020)."""
    if len(sources) < FEWEST:
        return None
    affine, kept = cv2.estimateAffine2D(
        sources, targets, method=cv2.USAC_MAGSAC, ransacReprojThreshold=TOLERANCE, maxIters=2000, confidence=0.999
    )
    if affine is None or int(kept.sum()) < FEWEST:
        return None
    matrix = np.vstack([affine, [0.0, 0.0, 1.0]])
    if int(kept.sum()) >= PERSPECTIVE:
        bent, more = cv2.findHomography(sources, targets, cv2.USAC_MAGSAC, TOLERANCE, maxIters=1000, confidence=0.999)
        if bent is not None and int(more.sum()) >= BETTER * int(kept.sum()):
            matrix, kept = bent, more
    found = Alignment(np.asarray(matrix, np.float64), targets[kept.ravel() > 0], len(sources))
    if abs(np.linalg.det(found.matrix)) < 1e-9:
        return None
    stretches = np.linalg.svd(found.linear, compute_uv=False)
    if stretches[0] > MAX_SCALE or stretches[1] < 1 / MAX_SCALE or stretches[0] > MAX_STRETCH * stretches[1]:
        return None
    return found
