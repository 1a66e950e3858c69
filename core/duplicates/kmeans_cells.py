"""Points in space, in cells: which lie together, and which are near enough to look into each cell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CELL = 256
"""Points in a cell on average, up to MOST cells. Half as many, or twice as many, take longer at 100,000 points."""

MOST = 2_000
"""Cells: the distances between them take 16 MB."""

SAMPLED, ROUNDS = 32, 4
"""Points in the sample for each cell, and rounds of k-means on it."""

BLOCK = 2_048
"""Points that are assigned at a time."""

Points = NDArray[np.float32]
Places = NDArray[np.int64]


class Cells:
    """The cells of k-means (S. Lloyd, "Least squares quantization in PCM", 1982), and who looks into them.

    A point looks into its own cell and into each whose border with that is no farther from it than `reach`, a length
    (pruning by generalised hyperplanes: S. Brin, "Near Neighbor Search in Large Metric Spaces", VLDB 1995). That is a
    bit for each point and cell. `visits` counts them. `tell` hears 0 now and then, and may raise.
    """

    def __init__(self, points: Points, reach: float, tell: Callable[[float], None]) -> None:
        self._count = len(points)
        self._tell = tell
        self._centres = self._find_centres(points, min(MOST, max(1, len(points) // CELL)))
        self._own = np.empty(len(points), np.int64)
        self._bits = np.empty((-(-len(points) // 8), len(self._centres)), np.uint8)  # eight points to a byte
        self.visits = 0
        lengths = np.einsum("ij,ij->i", self._centres, self._centres)
        squares = lengths[:, None] + lengths[None] - 2 * self._centres @ self._centres.T
        apart = np.sqrt(np.maximum(squares, 1e-9))
        for start in range(0, len(points), BLOCK):
            far = lengths - 2 * points[start : start + BLOCK] @ self._centres.T
            own = far.argmin(1)
            rows = np.arange(len(own))
            far -= far[rows, own][:, None]
            near = far <= 2 * reach * apart[own]  # half the difference over that is how far the border is
            near[rows, own] = True
            self._own[start : start + BLOCK] = own
            self._bits[start // 8 : (start + BLOCK) // 8] = np.packbits(near, axis=0)
            self.visits += int(np.count_nonzero(near))
            tell(0.0)

        self._order = np.argsort(self._own, kind="stable")
        self._bounds = np.searchsorted(self._own[self._order], np.arange(len(self) + 1))

    def __len__(self) -> int:
        return len(self._centres)

    def __getitem__(self, cell: int) -> tuple[Places, Places]:
        """The points in that cell, and all that look into it, both in ascending order."""
        looking = np.unpackbits(np.ascontiguousarray(self._bits[:, cell]), count=self._count)
        return self._order[self._bounds[cell] : self._bounds[cell + 1]], np.flatnonzero(looking)

    def visited(self, points: Places, others: Places) -> NDArray[np.bool_]:
        """Whether each of these points looks into the cell of the other at its place."""
        bits: NDArray[np.uint8] = self._bits[points >> 3, self._own[others]] >> (7 - (points & 7)) & 1
        return bits.astype(np.bool_)

    def _find_centres(self, points: Points, count: int) -> Points:
        chance = np.random.default_rng(0)
        size = min(len(points), SAMPLED * count)
        sample = points[np.sort(chance.choice(len(points), size, replace=False))]
        centres = sample[chance.choice(size, count, replace=False)]
        for _ in range(ROUNDS):
            lengths = np.einsum("ij,ij->i", centres, centres)
            nearest = np.empty(size, np.int64)
            for start in range(0, size, BLOCK):
                nearest[start : start + BLOCK] = (lengths - 2 * sample[start : start + BLOCK] @ centres.T).argmin(1)
                self._tell(0.0)
            order = np.argsort(nearest, kind="stable")
            filled, starts = np.unique(nearest[order], return_index=True)
            sums = np.add.reduceat(sample[order], starts, axis=0)
            centres[filled] = sums / np.diff(np.append(starts, size))[:, None]
        return centres
