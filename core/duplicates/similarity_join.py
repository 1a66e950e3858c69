"""The similarity join: all pairs of vectors with a cosine at or above a threshold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from core.duplicates.kmeans_cells import CELL, Cells
from core.process import BATCHES, take_a_share

SAMPLE = 4_096
"""Random vectors from which the projection is computed: eight times as many as CLIP has dimensions."""

EXACT = 20_000
"""Vectors up to which all pairs are compared."""

REACH = 0.23
"""How far beyond the border with a vector's own cell another cell may lie and still be visited, as a share of the
greatest distance of look-alikes. With 1 no pair would be missed, because vectors across a border are at least that far
apart; but in many dimensions hardly any pair lies perpendicular to a border. `bench/duplicates.py` measures the
recall."""

STEP = 32
"""Step in dimensions in which projections are tried."""

VERIFY = 20_000
"""Cost of verifying one candidate in full, in dimensions of a blockwise comparison that take as long."""

MAX_ALIKE = 50
"""Look-alikes kept for one vector at most, the nearest first: ten thousand blank pages must not make fifty million
pairs. The others follow once the first are dealt with."""

ROWS, COLUMNS = 512, 2_048
"""Size of one block: 4 MB of distances, which stay in the processor's cache, computed in 1 to 2 ms on two cores."""

VISITORS = ROWS * COLUMNS // CELL
"""Vectors compared with a cell at a time, for blocks of the same size."""

GATHERED = 8_192
"""Candidates verified in full at a time: 34 MB at 512 dimensions."""

ALONE = 32_767
"""Numbers that torch converts at a time on the calling thread alone (one less than its grain size, 32,768)."""

HELD = 2_000_000
"""New pairs after which only the best of each vector are kept, in a task and overall: some 40 MB."""

Half = NDArray[np.float16]
Single = NDArray[np.float32]
Places = NDArray[np.int64]


class Pairs(NamedTuple):
    """Pairs of indices, first < second, and their similarities (cosines), each of shape (n,)."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: NDArray[np.float32]


class _Found:
    """Pairs found so far; after every HELD new ones, only the best of each vector are kept."""

    def __init__(self) -> None:
        self.parts = list[Pairs]()
        self._fresh = 0

    def add(self, parts: Iterable[Pairs]) -> None:
        """Add more pairs."""
        for pairs in parts:
            self.parts.append(pairs)
            self._fresh += len(pairs.first)
        if self._fresh > HELD:
            self.parts = [_best(self.parts)]
            self._fresh = 0


Part = tuple[_Found, float]
"""What a task found, and the amount of work it did."""


def find_pairs(vectors: Half, threshold: float, on_progress: Callable[[float], None]) -> Pairs:
    """The pairs of vectors, of shape (n, dim) and any length, whose cosine is at least `threshold`.

    All of them up to EXACT vectors, and some 99 % beyond; but a pair must be among the MAX_ALIKE best of one of its
    vectors. `on_progress` is called every few dozen milliseconds with the share done (0 to 1); whatever it raises
    aborts the work. The vectors may be memory-mapped: they are read block by block, and some 400 bytes of each are
    held in memory.

    Unit vectors are compared in their few principal dimensions first, and only candidates near there are compared in
    full. A projection never lengthens a distance, so this loses nothing (the lower bound of C. Faloutsos,
    M. Ranganathan and Y. Manolopoulos, "Fast Subsequence Matching in Time-Series Databases", SIGMOD 1994, with
    principal components). Beyond EXACT, vectors are compared only with those in nearby cells.
    """
    if len(vectors) < 2:
        return _NONE
    return _Comparison(vectors, threshold, on_progress).run()


_NONE = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


class _Comparison:
    """Uses numpy except for the large matrix products: torch computes those with threads of the caller's priority, but
    on a busy machine its other operations wait for their threads longer than they take."""

    def __init__(self, vectors: Half, threshold: float, on_progress: Callable[[float], None]) -> None:
        self._vectors = vectors
        self._lengths = np.empty(len(vectors), np.float32)
        self._threshold = threshold
        self._on_progress = on_progress
        self._found = _Found()
        self._mine = threading.local()

    def run(self) -> Pairs:
        """See `find_pairs`."""
        points, halves = self._project()
        # Half the squared distance is at most 1 - threshold; rounding may add a little to it.
        limits = halves - np.float32(1 - self._threshold + 1e-5)
        count = len(points)
        if count <= EXACT:
            whole = count * (count + ROWS) / 2
            self._work(lambda start: self._with_those_after(points, limits, start), range(0, count, ROWS), whole)
        else:
            reach = REACH * max(0.0, 2 - 2 * self._threshold) ** 0.5
            cells = Cells(points[:, :-1], reach, self._on_progress)
            self._work(lambda cell: self._in_cell(points, limits, cells, cell), range(len(cells)), cells.visits)
        return _best(self._found.parts) if self._found.parts else _NONE

    def _work(self, task: Callable[[int], Part], tasks: range, whole: float) -> None:
        """Run the tasks, as many at a time as a model's batches, and keep what they find."""
        done = 0.0
        with ThreadPoolExecutor(BATCHES, "pairs", self._begin) as threads:
            try:
                for found, share in threads.map(task, tasks):
                    self._found.add(found.parts)
                    done += share
                    self._on_progress(min(done / whole, 1.0))
            finally:
                threads.shutdown(cancel_futures=True)

    def _begin(self) -> None:
        take_a_share()
        self._mine.block = torch.empty(ROWS * COLUMNS)

    def _with_those_after(self, points: Single, limits: Single, start: int) -> Part:
        """Compare some points with each other and with all later ones."""
        found, done = _Found(), 0
        past = torch.ones(ROWS, ROWS, dtype=torch.bool).tril()
        rows = points[start : start + ROWS].copy()
        rows[:, -1] = -1
        for other in range(start, len(points), COLUMNS):
            products = _product(rows, points[other : other + COLUMNS], self._mine.block)
            if other == start:  # skip each point itself, and one of the two orders of a pair
                products[:, : len(rows)].masked_fill_(past[: len(rows), : len(rows)], -9)
            row, column = _reaching(products.numpy(), limits[start : start + ROWS])
            found.add(self._alike(row + start, column + other))
            done += products.numel()
        return found, done

    def _in_cell(self, points: Single, limits: Single, cells: Cells, cell: int) -> Part:
        """Compare the points in a cell with those that visit it."""
        found = _Found()
        members, visitors = cells[cell]
        for other in range(0, len(members), CELL):
            columns = points[members[other : other + CELL]]
            for start in range(0, len(visitors), VISITORS):
                who = visitors[start : start + VISITORS]
                rows = points[who]
                rows[:, -1] = -1
                row, column = _reaching(_product(rows, columns, self._mine.block).numpy(), limits[who])
                first, second = who[row], members[other + column]
                once = (first < second) | ((first > second) & ~cells.visited(second, first))
                found.add(self._alike(first[once], second[once]))
        return found, len(visitors)

    def _rows(self, places: Places | slice) -> Single:
        """Those vectors, scaled to unit length."""
        rows = _floats(self._vectors[places])
        self._lengths[places] = np.maximum(np.sqrt(np.einsum("ij,ij->i", rows, rows)), 1e-9)
        rows /= self._lengths[places, None]
        return rows

    def _project(self) -> tuple[Single, Single]:
        """The centred vectors in their principal dimensions, and half their squared lengths there, (n,).

        That half is appended to each, so that one matrix product gives distances.
        """
        count, chance = len(self._vectors), np.random.default_rng(0)
        sample = self._rows(np.sort(chance.choice(count, min(count, SAMPLE), replace=False)))
        mean = sample.mean(0)
        axes = np.linalg.eigh((sample - mean).T @ (sample - mean)).eigenvectors[:, ::-1]
        axes = np.ascontiguousarray(axes[:, : self._dimensions((sample - mean) @ axes)])
        points = np.empty((count, axes.shape[1] + 1), np.float32)
        for start in range(0, count, COLUMNS):
            block = points[start : start + COLUMNS]
            block[:, :-1] = (self._rows(slice(start, start + COLUMNS)) - mean) @ axes
            block[:, -1] = np.einsum("ij,ij->i", block[:, :-1], block[:, :-1]) / 2
            self._on_progress(0.0)
        return points, points[:, -1].copy()

    def _dimensions(self, sample: Single) -> int:
        """The cheapest number of dimensions to compare in: fewer leave more candidates to verify in full."""
        dim, half = sample.shape[1], len(sample) // 2
        distances = np.zeros((half, len(sample) - half), np.float32)
        cheapest, least = dim, float("inf")
        for tried in range(STEP, dim, STEP):
            part = sample[:, tried - STEP : tried]
            squares = np.einsum("ij,ij->i", part, part)
            distances += squares[:half, None] + squares[None, half:] - 2 * part[:half] @ part[half:].T
            cost = tried + VERIFY * float(np.mean(distances <= 2 - 2 * self._threshold))
            if cost < least:
                cheapest, least = tried, cost
        return cheapest if least < dim else int(dim)

    def _alike(self, first: Places, second: Places) -> list[Pairs]:
        """Those candidates whose full cosine reaches the threshold."""
        found = list[Pairs]()
        for begin in range(0, len(first), GATHERED):
            one, two = first[begin : begin + GATHERED], second[begin : begin + GATHERED]
            some, others = (_floats(self._vectors[places]) for places in (one, two))
            similarity = np.einsum("ij,ij->i", some, others) / (self._lengths[one] * self._lengths[two])
            alike = similarity >= self._threshold
            low, high = np.minimum(one, two), np.maximum(one, two)
            found.append(Pairs(low[alike], high[alike], similarity[alike]))
        return found


def _floats(halves: Half) -> Single:
    """The same numbers as float32, converted by torch, which uses the processor's instruction for it and takes a sixth
    of numpy's time."""
    made = np.empty(halves.shape, np.float32)
    given, taken = torch.from_numpy(halves), torch.from_numpy(made)
    step = max(1, ALONE // halves.shape[1])
    for start in range(0, len(halves), step):
        taken[start : start + step] = given[start : start + step]
    return made


def _product(rows: Single, columns: Single, block: torch.Tensor) -> torch.Tensor:
    """The matrix product, of shape (rows, columns), in the memory of `block`."""
    out = block[: len(rows) * len(columns)].view(len(rows), len(columns))
    return torch.mm(torch.from_numpy(rows), torch.from_numpy(columns).T, out=out)


def _reaching(products: Single, limits: Single) -> tuple[Places, Places]:
    """The rows and columns of a block where the row's limit is reached: at most 2 * MAX_ALIKE of each row, the
    nearest."""
    hot = np.flatnonzero(products.max(1) >= limits)
    some = products[hot]
    reaching = some >= limits[hot, None]
    if len(hot) and np.count_nonzero(reaching, axis=1).max() > 2 * MAX_ALIKE:
        cut = np.partition(some, -2 * MAX_ALIKE, axis=1)[:, -2 * MAX_ALIKE]
        reaching &= some >= cut[:, None]
        reaching &= np.cumsum(reaching, axis=1) <= 2 * MAX_ALIKE  # many may be equally near
    row, column = np.nonzero(reaching)
    return hot[row], column


def _best(found: list[Pairs]) -> Pairs:
    """The pairs that are among the MAX_ALIKE best of one of their vectors."""
    first, second, similarity = (np.concatenate(column) for column in zip(*found, strict=True))
    kept = np.zeros(len(first), bool)
    for end in (first, second):
        order = np.lexsort((-similarity, end))
        rank = np.arange(len(end)) - np.searchsorted(end[order], end[order])
        kept[order[rank < MAX_ALIKE]] = True
    return Pairs(first[kept], second[kept], similarity[kept])
