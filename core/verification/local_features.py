"""Local features of a picture: points that can be found again after it was cropped, turned, scaled or recoloured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""Height × width × 3, red, green, blue."""

MOST, MOST_OF_QUERY = 600, 2000
"""Points of a picture, the strongest ones. A query may be a collage, and needs enough for each of its pictures."""

CONTRAST = 0.02
"""OpenCV's default, 0.04, leaves too few points in soft pictures."""

MIRRORED_BINS = [0, 7, 6, 5, 4, 3, 2, 1]
"""Which of the eight directions of a SIFT histogram is which in a mirror."""


@dataclass(frozen=True)
class LocalFeatures:
    """A picture's `points` (n, 2), x and y in pixels, with `descriptors` (n, 128) of unit length, and its `pixels`."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]
    pixels: Pixels

    @cached_property
    def mirrored(self) -> NDArray[np.float32]:
        """The descriptors that the same points have in a mirror.

        A SIFT descriptor is 4 × 4 histograms of 8 directions along the point's own direction (Lowe 2004): a mirror
        reverses their rows and the sense of the directions.
        """
        grid = self.descriptors.reshape(-1, 4, 4, 8)[:, ::-1][..., MIRRORED_BINS]
        return np.ascontiguousarray(grid.reshape(-1, 128))


def local_features(pixels: Pixels, most: int = MOST) -> LocalFeatures:
    """SIFT's `most` strongest points (Lowe 2004), their descriptors as RootSIFT (Arandjelović and Zisserman 2012).
    Thread-safe."""
    detector: Any = cv2.SIFT.create(nfeatures=most, contrastThreshold=CONTRAST, enable_precise_upscale=True)
    found, given = detector.detectAndCompute(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None)
    points = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    rows = np.zeros((0, 128), np.float32) if given is None else np.asarray(given, np.float32)
    rows = np.sqrt(rows / np.maximum(rows.sum(1, keepdims=True), 1e-6))
    return LocalFeatures(points[:most], rows[:most], pixels)
