"""The training data: the photos in memory, and the teacher's vectors for several crops and blends of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import affine_grid, grid_sample

from core.embedding.encoder import Encoder, load_encoder
from training.photos import read

SIDE = 192
"""Pixels: photos are stored squashed to a square of this side, large enough for a crop of two thirds at 128."""

CROPS, BLENDS = 4, 4
"""Looks at each photo besides the whole: crops of it, and crops of a blend with another photo. The teacher encodes each
look as a picture of its own, so there are that many more pictures to learn from than photos (function matching: Beyer
et al. 2022; blends: Zhang et al. 2018)."""

SLICE = 32


@dataclass(frozen=True)
class Lessons:
    """The photos: `pixels` (n, 3, SIDE, SIDE) uint8 and `ratios` (n,), widths by heights. The looks at each, the first
    at the whole photo: `boxes` (looks, n, 4), centre and half size, −1 to 1; `others` (looks, n), photos blended in;
    `shares` (looks, n) of the photo itself; `targets` (looks, n, dim), the teacher's unit vectors."""

    pixels: torch.Tensor
    ratios: torch.Tensor
    boxes: torch.Tensor
    others: torch.Tensor
    shares: torch.Tensor
    targets: torch.Tensor

    def blended(self, looks: torch.Tensor, photos: torch.Tensor) -> torch.Tensor:
        """The squares, (m, 3, SIDE, SIDE) float32 0 to 1, that these looks, (m,), at these photos are parts of."""
        shares = self.shares[looks, photos].view(-1, 1, 1, 1) / 255
        other = self.pixels[self.others[looks, photos]]
        return self.pixels[photos] * shares + other * (1 / 255 - shares)

    def cropped(self, looks: torch.Tensor, photos: torch.Tensor) -> torch.Tensor:
        """The crops themselves, (m, 3, SIDE, SIDE) float32 0 to 1, as input for the teacher."""
        boxes = self.boxes[looks, photos]
        grid = affine_grid(
            torch.cat([torch.diag_embed(boxes[:, 2:]), boxes[:, :2, None]], -1),
            [len(boxes), 3, SIDE, SIDE],
            align_corners=False,
        )
        return grid_sample(self.blended(looks, photos), grid, mode="bicubic", align_corners=False).clamp(0, 1)


def prepare(paths: Sequence[Path], teacher: Path, cache: Path, seed: int) -> Lessons:
    """Decode the photos and encode them with the teacher, some ten minutes on two cores; results in `cache` are reused.

    Raises EncoderError when `teacher` is not the folder of an open_clip model.
    """
    encoder = load_encoder(f"local-dir:{teacher}")
    key = f"{encoder.name} {seed} {SIDE} {CROPS} {BLENDS} {len(paths)} {paths[0].name} {paths[-1].name}"
    if cache.is_file():
        kept = torch.load(cache, weights_only=True)
        if kept.pop("key") == key:
            return Lessons(**kept)
    lessons = Lessons(*_photos(paths), *_looks(len(paths), seed), torch.empty(1 + CROPS + BLENDS, len(paths), 0))
    targets = torch.stack([_answers(encoder, lessons, look) for look in range(1 + CROPS + BLENDS)])
    lessons = Lessons(**{**vars(lessons), "targets": targets})
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"key": key, **vars(lessons)}, cache)
    return lessons


def _photos(paths: Sequence[Path]) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, ratios = torch.empty(len(paths), 3, SIDE, SIDE, dtype=torch.uint8), torch.empty(len(paths))
    for number, path in enumerate(paths):
        image = read(path)
        ratios[number] = image.width / image.height
        small = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
        pixels[number] = torch.from_numpy(np.array(small)).permute(2, 0, 1)
    return pixels, ratios


def _looks(photos: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes, others and shares."""
    generator = torch.Generator().manual_seed(seed)
    looks = 1 + CROPS + BLENDS

    def drawn(*shape: int) -> torch.Tensor:
        return torch.rand(looks, photos, *shape, generator=generator)

    size = 0.55 + 0.4 * drawn(1)
    sizes = (size * (1 + 0.1 * (2 * drawn(2) - 1))).clamp(max=1)
    boxes = torch.cat([(2 * drawn(2) - 1) * (1 - sizes), sizes], -1)
    boxes[0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    others = torch.randint(photos, (looks, photos), generator=generator)
    shares = 0.4 + 0.4 * drawn()
    shares[: 1 + CROPS] = 1
    return boxes, others, shares


def _answers(encoder: Encoder, lessons: Lessons, look: int) -> torch.Tensor:
    """The teacher's vectors for one look at each photo, (n, dim)."""
    answers = []
    for photos in torch.split(torch.arange(len(lessons.pixels)), SLICE):
        parts = (lessons.cropped(torch.full_like(photos, look), photos) * 255).round().to(torch.uint8)
        answers.append(encoder.encode_pictures([Image.fromarray(part.permute(1, 2, 0).numpy()) for part in parts]))
    print(f"teacher: look {look + 1} of {1 + CROPS + BLENDS} at {len(lessons.pixels):,} photos", flush=True)
    return torch.from_numpy(np.concatenate(answers))
