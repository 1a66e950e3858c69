"""All pairs of vectors that are alike: each vector is compared with those in the cells near it, not with all."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

CELL = 512
"""Vectors in a cell on average. Smaller cells mean fewer comparisons and more of them in vain; see REACH."""

REACH = 0.22
"""Of the distance that a look-alike may have, the share by which a cell may be beyond the border and still be looked
into. With 1 every pair is found: a point can only lie across a border that is no farther than it is. But in a space
of hundreds of dimensions hardly any pair lies square to a border. `bench/duplicates.py` measures what is lost."""

SAMPLED, ROUNDS = 32, 4
"""Vectors in the sample for each cell, and rounds of k-means on it."""

MAX_ALIKE = 50
"""Look-alikes that one vector brings with it at most, the nearest first: ten thousand blank pages must not make fifty
million pairs. Whoever groups by them reaches more of them once the first are dealt with."""

ROWS, COLUMNS = 2_048, 4_096
"""Of one block: 34 MB of similarities, made in about 50 ms on two cores."""

HELD = 4_000_000
"""Finds after which only the best of each vector are kept."""

WEIGHTS = (0.1, 0.2)
"""The share of the work that has passed once the cells are made, and once each vector has its cells."""

Half = NDArray[np.float16]


class Pairs(NamedTuple):
    """Pairs of places first < second, and their similarities (cosines), each of shape (n,)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: NDArray[np.float32]


def find_pairs(vectors: Half, threshold: float, tell: Callable[[float], None]) -> Pairs:
    """The pairs of vectors, of shape (n, dim) and any length, whose cosine is at least `threshold`.

    Near 99 % of them or more, and all when there are fewer than 2 * CELL vectors; of one vector at most MAX_ALIKE
    unless others bring more. `tell` hears every few dozen milliseconds what share is done; what it raises ends the
    work. The vectors may lie in a file: they are read block by block. Beyond one block it takes some 16 bytes for
    each vector and cell that it looks into, and up to 16 * MAX_ALIKE for each vector.

    Cells are those of k-means, looked into beside a vector's own by the distance to the border between the two (as
    S. Brin prunes in "Near Neighbor Search in Large Metric Spaces", VLDB 1995, by generalised hyperplanes; many small
    blocks against near cells are the inverted file of J. Sivic and A. Zisserman, "Video Google", ICCV 2003).
    """
    if len(vectors) < 2:
        return _together([], len(vectors))
    return _Comparison(vectors, threshold, tell).run()


class _Comparison:
    def __init__(self, vectors: Half, threshold: float, tell: Callable[[float], None]) -> None:
        self._vectors = vectors
        self._threshold = threshold
        self._tell = tell
        self._finds = list[Pairs]()
        self._held = 0

    def run(self) -> Pairs:
        """See `find_pairs`."""
        count = len(self._vectors)
        centres = self._centres(max(1, count // CELL))
        self._tell(WEIGHTS[0])
        cells, visits = self._assign(centres)
        order = np.argsort(cells, kind="stable")
        bounds = np.searchsorted(cells[order], np.arange(len(centres) + 1))
        done, whole = 0, len(visits)
        visits = visits[np.argsort(visits[:, 1], kind="stable")]
        starts = np.searchsorted(visits[:, 1], np.arange(len(centres) + 1))
        for cell in range(len(centres)):
            members = order[bounds[cell] : bounds[cell + 1]]
            visitors = visits[starts[cell] : starts[cell + 1], 0]
            for start in range(0, len(visitors), ROWS):
                rows = visitors[start : start + ROWS]
                self._compare(rows, members, WEIGHTS[1] + (1 - WEIGHTS[1]) * done / whole)
                done += len(rows)
        return _together(self._finds, count)

    def _rows(self, places: NDArray[np.int64] | slice) -> torch.Tensor:
        """Those vectors at unit length, in single precision."""
        rows = torch.from_numpy(self._vectors[places].astype(np.float32))
        return torch.nn.functional.normalize(rows)

    def _centres(self, count: int) -> torch.Tensor:
        """The centres of k-means (S. Lloyd, "Least squares quantization in PCM", 1982) on a random sample."""
        chance = np.random.default_rng(0)
        chosen = np.sort(chance.choice(len(self._vectors), min(len(self._vectors), SAMPLED * count), replace=False))
        sample = self._rows(chosen)
        centres = sample[torch.from_numpy(chance.choice(len(sample), count, replace=False))].clone()
        for turn in range(ROUNDS if count > 1 else 0):
            nearest = torch.cat([_far(rows, centres).argmin(1) for rows in sample.split(ROWS)])
            sums = torch.zeros_like(centres).index_add_(0, nearest, sample)
            found = torch.bincount(nearest, minlength=count)[:, None]
            centres = torch.where(found > 0, sums / found.clamp(min=1), centres)
            self._tell(WEIGHTS[0] * (turn + 1) / ROUNDS)
        return centres

    def _assign(self, centres: torch.Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The cell of each vector, of shape (n,), and all (vector, cell) that must be compared, of shape (m, 2)."""
        apart = _far(centres, centres) + (centres * centres).sum(1)[:, None]  # squared distances
        apart = apart.clamp(min=1e-9).sqrt()
        reach = REACH * max(0.0, 2 - 2 * self._threshold) ** 0.5
        cells, visits = list[torch.Tensor](), list[torch.Tensor]()
        for start in range(0, len(self._vectors), ROWS):
            far = _far(self._rows(slice(start, start + ROWS)), centres)
            least, own = far.min(1)
            beyond = (far - least[:, None]) / (2 * apart[own])  # from the vector to the border with each cell
            beyond.scatter_(1, own[:, None], 0)
            found = torch.nonzero(beyond <= reach)
            found[:, 0] += start
            cells.append(own)
            visits.append(found)
            self._tell(WEIGHTS[0] + (WEIGHTS[1] - WEIGHTS[0]) * start / len(self._vectors))
        return torch.cat(cells).numpy(), torch.cat(visits).numpy()

    def _compare(self, rows: NDArray[np.int64], members: NDArray[np.int64], share: float) -> None:
        """Keep the members of a cell that are alike to each of these rows; both are in ascending order."""
        mine = self._rows(rows)
        found = list[Pairs]()
        for start in range(0, len(members), COLUMNS):
            columns = members[start : start + COLUMNS]
            similarity = mine @ self._rows(columns).T
            _, here, there = np.intersect1d(rows, columns, assume_unique=True, return_indices=True)
            similarity[torch.from_numpy(here), torch.from_numpy(there)] = -2  # nobody is alike to itself
            found.append(self._alike(similarity, rows, columns))
            self._tell(share)
        self._finds.append(_best(found))
        self._held += len(self._finds[-1].first)
        if self._held > HELD:
            self._finds = [_best(self._finds)]
            self._held = len(self._finds[0].first)

    def _alike(self, similarity: torch.Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pairs:
        """The places of a block that reach the threshold, in each row no more than MAX_ALIKE."""
        reaching = similarity >= self._threshold
        if int(reaching.sum(1).max()) > MAX_ALIKE:
            best = similarity.topk(MAX_ALIKE, 1).indices
            reaching &= torch.zeros_like(reaching).scatter_(1, best, True)
        at = torch.nonzero(reaching)
        values = similarity[at[:, 0], at[:, 1]].numpy()
        return Pairs(rows[at[:, 0].numpy()], columns[at[:, 1].numpy()], values)


def _far(rows: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Squared distances to the centres, less the rows' own squared lengths."""
    return torch.addmm((centres * centres).sum(1)[None], rows, centres.T, alpha=-2)


def _best(finds: list[Pairs]) -> Pairs:
    """The MAX_ALIKE best finds of each first place."""
    first, second, similarity = (np.concatenate(column) for column in zip(*finds, strict=True))
    order = np.lexsort((-similarity, first))
    first, second, similarity = first[order], second[order], similarity[order]
    rank = np.arange(len(first)) - np.searchsorted(first, first)
    kept = rank < MAX_ALIKE
    return Pairs(first[kept], second[kept], similarity[kept])


def _together(finds: list[Pairs], count: int) -> Pairs:
    """The best finds of all, each pair once and the lower place first."""
    if not finds:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    best = _best(finds)
    low, high = np.minimum(best.first, best.second), np.maximum(best.first, best.second)
    _, kept = np.unique(low * count + high, return_index=True)
    return Pairs(low[kept], high[kept], best.similarity[kept])
