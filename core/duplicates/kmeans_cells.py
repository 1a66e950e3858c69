"""K-means cells: the points in each cell, and those near enough to be compared with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CELL = 256
"""Average points in a cell, up to MOST cells. Half or twice as many are slower at 100,000 points."""

MOST = 2_000
"""Cells: the distances between them take 16 MB."""

SAMPLED, ROUNDS = 32, 4
"""Sample points per cell, and rounds of k-means on the sample: the cells need not be optimal to be fast."""

BLOCK = 2_048
"""Points assigned at a time: with 2,000 cells, their distances take 16 MB."""

Points = NDArray[np.float32]
Places = NDArray[np.int64]


class Cells:
    """The cells of k-means (S. Lloyd, "Least squares quantization in PCM", 1982), and the points that visit each.

    A point visits its own cell and every cell whose border with its own is at most `reach` (a distance) away from it
    (pruning by generalised hyperplanes: S. Brin, "Near Neighbor Search in Large Metric Spaces", VLDB 1995). This is
    stored as one bit per point and cell; `visits` is their number. `on_progress` is called with 0 now and then, and
    may raise to abort.
    """

    def __init__(self, points: Points, reach: float, on_progress: Callable[[float], None]) -> None:
        self._count = len(points)
        self._on_progress = on_progress
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
            near = far <= 2 * reach * apart[own]  # the border's distance is far / (2 * apart)
            near[rows, own] = True
            self._own[start : start + BLOCK] = own
            self._bits[start // 8 : (start + BLOCK) // 8] = np.packbits(near, axis=0)
            self.visits += int(np.count_nonzero(near))
            on_progress(0.0)

        self._order = np.argsort(self._own, kind="stable")
        self._bounds = np.searchsorted(self._own[self._order], np.arange(len(self) + 1))

    def __len__(self) -> int:
        return len(self._centres)

    def __getitem__(self, cell: int) -> tuple[Places, Places]:
        """The indices of the points in that cell, and of all that visit it, both ascending."""
        visiting = np.unpackbits(np.ascontiguousarray(self._bits[:, cell]), count=self._count)
        return self._order[self._bounds[cell] : self._bounds[cell + 1]], np.flatnonzero(visiting)

    def visited(self, points: Places, others: Places) -> NDArray[np.bool_]:
        """Whether each point visits the cell of the other point at the same index; all of shape (n,)."""
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
                self._on_progress(0.0)
            order = np.argsort(nearest, kind="stable")
            filled, starts = np.unique(nearest[order], return_index=True)
            sums = np.add.reduceat(sample[order], starts, axis=0)
            centres[filled] = sums / np.diff(np.append(starts, size))[:, None]
        return centres
