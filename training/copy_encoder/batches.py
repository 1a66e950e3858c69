"""The batches that are learnt from: photos in memory as their files' bytes, and views of them made by threads."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from training.copy_encoder import views
from training.copy_encoder.photos import decode

SIZES = (2, 3, 4, 4, 5, 6, 6, 7, 8, 9)
"""Pictures in a collage, some numbers more often."""

THREADS, AHEAD = 2, 4
"""Threads that make views, and how many batches they make before they are asked for."""


@dataclass(frozen=True)
class Batch:
    """`pixels` (views, 3, side, side) uint8: first what a collection may hold of each photo, then what may be asked
    with, then collages. `photos` (n,) are their numbers; `holds` (views, n) says which of them each view holds, `pairs`
    (views, views) which are copies to be learnt."""

    pixels: torch.Tensor
    photos: torch.Tensor
    holds: torch.Tensor
    pairs: torch.Tensor


class Batches:
    """Always the same for one seed and step."""

    def __init__(self, paths: Sequence[Path], count: int, collages: int, seed: int) -> None:
        """A batch has `count` photos and so many `collages` of them."""
        self._files = [path.read_bytes() for path in paths]
        self._count, self._collages, self._seed = count, collages, seed

    def make(self, step: int, side: int) -> Batch:
        """The batch of one step, its views `side` pixels wide and high."""
        cv2.setNumThreads(1)
        chance = random.Random(f"{self._seed} {step}")  # noqa: S311 - nothing secret
        numbers = self._chosen(step)
        pictures = [decode(self._files[number]) for number in numbers]
        made = [views.indexed(picture, chance, side) for picture in pictures]
        made += [views.asked(picture, chance, side) for picture in pictures]
        count = len(numbers)
        holds = torch.zeros(2 * count + self._collages, count, dtype=torch.bool)
        holds[:count] = holds[count : 2 * count] = torch.eye(count, dtype=torch.bool)
        pairs = torch.zeros(len(holds), len(holds), dtype=torch.bool)
        pairs[:count, count : 2 * count] = torch.eye(count, dtype=torch.bool)
        for number in range(2 * count, len(holds)):
            parts = chance.sample(range(count), min(count, chance.choice(SIZES)))
            made.append(views.collage([pictures[part] for part in parts], chance, side))
            holds[number, parts] = True
            pairs[parts, number] = True
        pixels = torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2)
        return Batch(pixels, torch.tensor(numbers), holds, pairs | pairs.T)

    def _chosen(self, step: int) -> list[int]:
        """Every photo once an epoch, in an order of its own."""
        steps = len(self._files) // self._count
        epoch, number = divmod(step, steps)
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._files))
        return [int(photo) for photo in order[number * self._count : (number + 1) * self._count]]

    def ahead(self, step: int, side: int) -> Generator[Batch, None, None]:
        """The batches from `step` on, made while others are learnt from."""
        with ThreadPoolExecutor(THREADS, "views") as threads:
            waiting: deque[Future[Batch]] = deque()
            try:
                while True:
                    while len(waiting) < AHEAD:
                        waiting.append(threads.submit(self.make, step, side))
                        step += 1
                    yield waiting.popleft().result()
            finally:
                for batch in waiting:
                    batch.cancel()
