"""The pictures of the evaluation: originals, others that they stand among, and some for collages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.copy_encoder.photos import Picture, read, split

ORIGINALS, OTHERS = 300, 1_151
"""As in the measurements that the goals come from."""

SMALL, ALIKE = 24, 0.96
"""Photos are copies whose brightness, at so many pixels a side, correlates by more; by eye, those below are not."""


@dataclass(frozen=True)
class Sample:
    """Pictures to measure on: the originals come first in `index`; `left` are in no index, for collages. `folders`
    tells which of `index` lie in one folder: they are of one class or source."""

    index: list[Picture]
    folders: NDArray[np.int64]
    left: list[Picture]
    originals: int


def sample(data: Path, originals: int, others: int = OTHERS) -> Sample:
    """The same pictures every time: originals half from either kind of what is kept back, evenly; no two are copies."""
    kept = split(data)
    first: list[tuple[Path, Picture]] = []
    rest: list[tuple[Path, Picture]] = []
    for paths in (kept.unseen_classes, kept.unseen_others):
        pictures = [read(path) for path in paths]
        single = [(paths[number], pictures[number]) for number in np.nonzero(~copies(pictures))[0]]
        chosen = set(np.linspace(0, len(single) - 1, originals // 2).astype(int).tolist())
        first += [pair for number, pair in enumerate(single) if number in chosen]
        rest += [pair for number, pair in enumerate(single) if number not in chosen]
    order = np.random.default_rng(0).permutation(len(rest))
    index = first + [rest[number] for number in order[:others]]
    folders = np.unique([path.parent.name for path, _ in index], return_inverse=True)[1].astype(np.int64)
    left = [rest[number][1] for number in order[others:]]
    return Sample([picture for _, picture in index], folders, left, len(first))


def copies(pictures: Sequence[Picture]) -> NDArray[np.bool_]:
    """Which of them are copies of an earlier one: some of Caltech-101's photos are there five times."""
    small = [cv2.resize(picture, (SMALL, SMALL), interpolation=cv2.INTER_AREA) for picture in pictures]
    rows = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).ravel() for picture in small]).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6
    return np.asarray((np.triu(rows @ rows.T, 1) > ALIKE).any(0))
