"""What a descriptor is measured by: ranks, recall of pairs at a precision, the cut that few unrelated pairs pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

SLICE = 1024


def ranks(queries: Vectors, index: Vectors, right: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many rows of `index` are nearer to each query than its `right` one."""
    similarities = queries @ index.T
    own = similarities[np.arange(len(queries)), right]
    return np.asarray((similarities > own[:, None]).sum(1), np.int64)


def recall_at(vectors: Vectors, names: NDArray[np.int64], precision: float) -> tuple[float, float]:
    """The largest share of pairs of one name that a cut finds at this precision, and the cut.

    Pairs of rows with the same name are copies, all others are not. Ties at the cut count in full.
    """
    right, wrong = _pairs(vectors, names)
    if not len(right):
        return 0.0, 1.0
    right = np.sort(right)[::-1]
    wrong = np.sort(wrong)
    passed = len(wrong) - np.searchsorted(wrong, right, "left")
    found = np.searchsorted(-right, -right, "right")
    good = np.nonzero(found / (found + passed) >= precision)[0]
    if not len(good):
        return 0.0, 1.0
    return float(found[good[-1]] / len(right)), float(right[good[-1]])


def _pairs(vectors: Vectors, names: NDArray[np.int64]) -> tuple[Vectors, Vectors]:
    """Similarities of all pairs of one name, and the highest of the others: as many as there are of the former, and a
    few thousand, since more can never pass at a precision of a half or better."""
    right: list[Vectors] = []
    wrong = np.empty(0, np.float32)
    _, counts = np.unique(names, return_counts=True)
    limit = int((counts * (counts - 1) // 2).sum()) + 5000
    for start in range(0, len(vectors), SLICE):
        end = min(start + SLICE, len(vectors))
        similarities = vectors[start:end] @ vectors[start:].T
        upper = np.arange(start, end)[:, None] < np.arange(start, len(vectors))[None]
        same = names[start:end, None] == names[None, start:]
        right.append(similarities[upper & same])
        wrong = _highest(np.concatenate([wrong, similarities[upper & ~same]]), limit)
    return np.concatenate(right), wrong


def _highest(values: Vectors, count: int) -> Vectors:
    return values if len(values) <= count else np.partition(values, len(values) - count)[-count:]


def cut_for(similarities: NDArray[np.float32], rate: float) -> float:
    """The lowest similarity that at most `rate` of these pass: those above it are fewer than that share."""
    allowed = int(rate * len(similarities))
    highest = np.sort(_highest(similarities, allowed + 1))
    return float(highest[0])


def between(vectors: Vectors, groups: NDArray[np.int64]) -> NDArray[np.float32]:
    """Similarities of all pairs of rows of different groups."""
    upper = np.triu(np.ones((len(vectors), len(vectors)), bool), 1) & (groups[:, None] != groups[None])
    return np.asarray((vectors @ vectors.T)[upper], np.float32)
