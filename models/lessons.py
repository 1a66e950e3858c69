"""What the student learns from: the photos in memory, and what the teacher says of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from core.encoder import load_encoder
from models.photos import read

SIDE = 192
"""Pixels: photos are kept squashed to a square of this side, large enough for a crop of two thirds at 128."""

CROPS = 1
"""Crops of each photo, of 60 to 90 % of each side, that the teacher sees as pictures of their own."""


@dataclass(frozen=True)
class Lessons:
    """`pixels` (n, 3, SIDE, SIDE) uint8; `ratios` (n,) widths by heights; `boxes` (1 + CROPS, n, 4) centre and half
    size of each crop, −1 to 1, the first the whole photo; `targets` (1 + CROPS, n, dim) the teacher's unit vectors."""

    pixels: torch.Tensor
    ratios: torch.Tensor
    boxes: torch.Tensor
    targets: torch.Tensor


def prepare(paths: Sequence[Path], teacher: Path, cache: Path, seed: int) -> Lessons:
    """Decode the photos and ask the teacher, some minutes on two cores; what is in `cache` for these is taken from it.

    Raises EncoderError when `teacher` is no folder of an open_clip model.
    """
    encoder = load_encoder(f"local-dir:{teacher}")
    key = f"{encoder.name} {seed} {SIDE} {CROPS} {len(paths)} {paths[0].name} {paths[-1].name}"
    if cache.is_file():
        kept = torch.load(cache, weights_only=True)
        if kept.pop("key") == key:
            return Lessons(**kept)
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    pixels, ratios = torch.empty(len(paths), 3, SIDE, SIDE, dtype=torch.uint8), torch.empty(len(paths))
    boxes = torch.empty(1 + CROPS, len(paths), 4)
    targets = torch.empty(1 + CROPS, len(paths), encoder.dim)
    for number, path in enumerate(paths):
        image = read(path)
        ratios[number] = image.width / image.height
        small = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
        pixels[number] = torch.from_numpy(np.array(small)).permute(2, 0, 1)
        views = [image]
        boxes[0, number] = torch.tensor([0.0, 0.0, 1.0, 1.0])
        for crop in range(1, 1 + CROPS):
            size = chance.uniform(0.6, 0.9)
            x, y = chance.uniform(size - 1, 1 - size), chance.uniform(size - 1, 1 - size)
            boxes[crop, number] = torch.tensor([x, y, size, size])
            left, top = (x - size + 1) / 2 * image.width, (y - size + 1) / 2 * image.height
            views.append(image.crop((round(left), round(top), *_end(left, top, size, image))))
        targets[:, number] = torch.from_numpy(encoder.encode_pictures(views))
        if number % 200 == 0:
            print(f"teacher: {number:,} of {len(paths):,} photos", flush=True)
    lessons = Lessons(pixels, ratios, boxes, targets)
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"key": key, **vars(lessons)}, cache)
    return lessons


def _end(left: float, top: float, size: float, image: Image.Image) -> tuple[int, int]:
    return round(left + size * image.width), round(top + size * image.height)
