"""Augmentation of a whole batch of pictures at once: crops, rotations, borders, colour, blur, JPEG, text.

All pictures here are float32 (n, 3, side, side), 0 to 1; every draw comes from the generator that is handed in.
"""

from __future__ import annotations

import io
import random
import string

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch.nn.functional import affine_grid, grid_sample, interpolate

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""

TEXTS = 256


class Augment:
    """Makes views of pictures, always the same for one seed."""

    def __init__(self, side: int, seed: int) -> None:
        self._side = side
        self._generator = torch.Generator().manual_seed(seed)
        self._texts = _texts(side, seed)

    def view(self, pixels: torch.Tensor, ratios: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """A changed view of each picture.

        `pixels` (n, 3, h, w) float32, 0 to 1, are whole photos squashed to a square, `ratios` (n,) their widths by
        heights, `boxes` (n, 4) the picture in each photo as centre and half size, −1 to 1. A view is cut out at a
        random place, or framed, or turned, or whole; half of them are mirrored; then come colour, text, blur and JPEG.
        """
        image = self._move(pixels, ratios, boxes)
        image = self._colour(image)
        image = self._write(image)
        image = self._blur(image)
        return self._compress(image)

    def _draw(self, count: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return torch.empty(count).uniform_(low, high, generator=self._generator)

    def _some(self, count: int, share: float) -> torch.Tensor:
        return self._draw(count) < share

    def _move(self, pixels: torch.Tensor, ratios: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        count = len(pixels)
        way = self._draw(count)
        cut, framed, turned = way < 0.45, (way >= 0.45) & (way < 0.6), (way >= 0.6) & (way < 0.78)
        scale = torch.where(cut, self._draw(count, 0.35, 0.9), torch.ones(count))
        scale = torch.where(framed, self._draw(count, 1.05, 1.5), scale)
        stretch = torch.where(cut, self._draw(count, -0.12, 0.12), torch.zeros(count)).exp()
        wide, high = scale * stretch, scale / stretch
        wide, high = (torch.where(cut, side.clamp(max=1), side) for side in (wide, high))
        x, y = self._draw(count, -1, 1) * (1 - wide).abs(), self._draw(count, -1, 1) * (1 - high).abs()
        angle = torch.where(turned, self._draw(count, -0.3, 0.3), torch.zeros(count))
        mirror = torch.where(self._some(count, 0.5), -1.0, 1.0)
        # In the picture's own coordinates, -1 to 1; a turn is one of true pixels, so it feels the photo's shape.
        own = torch.stack(
            [
                torch.stack([mirror * wide * angle.cos(), -high * angle.sin() / ratios, x], 1),
                torch.stack([mirror * wide * angle.sin() * ratios, high * angle.cos(), y], 1),
            ],
            1,
        )
        grid = affine_grid(own, [count, 3, self._side, self._side], align_corners=False)
        inside = (grid.abs() <= 1).all(-1)[:, None]
        place = grid * boxes[:, None, None, 2:] + boxes[:, None, None, :2]
        image = grid_sample(pixels, place, padding_mode="border", align_corners=False)
        colour = self._draw(count * 3).view(count, 3, 1, 1)
        plain = self._some(count, 0.7).view(count, 1, 1, 1)
        black_or_white = self._some(count, 0.5).float().view(count, 1, 1, 1)
        return torch.where(inside, image, torch.where(plain, black_or_white, colour))

    def _colour(self, image: torch.Tensor) -> torch.Tensor:
        count = len(image)

        def gains(share: float, low: float, high: float, channels: int = 1) -> torch.Tensor:
            chosen = self._some(count, share).view(count, 1, 1, 1)
            drawn = self._draw(count * channels, low, high).view(count, channels, 1, 1)
            return torch.where(chosen, drawn, torch.ones(count, channels, 1, 1))

        image = image * gains(0.5, 0.6, 1.5) * gains(0.25, 0.8, 1.2, 3)
        mean = image.mean((1, 2, 3), keepdim=True)
        image = mean + (image - mean) * gains(0.3, 0.6, 1.5)
        grey = (image * torch.tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
        saturation = torch.where(self._some(count, 0.3).view(count, 1, 1, 1), 0.0, gains(0.3, 0.3, 1.6))
        return (grey + (image - grey) * saturation).clamp(0, 1)

    def _write(self, image: torch.Tensor) -> torch.Tensor:
        chosen = self._some(len(image), 0.15).nonzero()[:, 0]
        which = torch.randint(TEXTS, (len(chosen),), generator=self._generator)
        cover = self._texts[which][:, None]
        colour = self._draw(len(chosen) * 3).view(-1, 3, 1, 1).round()
        image[chosen] = image[chosen] * (1 - cover) + colour * cover
        return image

    def _blur(self, image: torch.Tensor) -> torch.Tensor:
        """A quarter are made small, all by one factor, and large again."""
        chosen = self._some(len(image), 0.25).nonzero()[:, 0]
        side = int(self._side * float(self._draw(1, 0.3, 0.8)))
        small = interpolate(image[chosen], (side, side), mode="bilinear", antialias=True)
        image[chosen] = interpolate(small, (self._side, self._side), mode="bicubic").clamp(0, 1)
        return image

    def _compress(self, image: torch.Tensor) -> torch.Tensor:
        for number in self._some(len(image), 0.25).nonzero()[:, 0].tolist():
            quality = int(self._draw(1, 20, 75))
            buffer = io.BytesIO()
            pixels = (image[number] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
            packed = torch.from_numpy(np.array(Image.open(buffer)))
            image[number] = packed.permute(2, 0, 1).float() / 255
        return image


def _texts(side: int, seed: int) -> torch.Tensor:
    """How much each pixel is covered by writing, (TEXTS, side, side), 0 to 1."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    covers = torch.empty(TEXTS, side, side)
    for number in range(TEXTS):
        cover = Image.new("L", (side, side))
        font = ImageFont.load_default(chance.uniform(0.08, 0.25) * side)
        for _ in range(chance.randint(1, 2)):
            words = "".join(chance.choices(string.ascii_letters + string.digits + "  ", k=chance.randint(4, 16)))
            place = (chance.uniform(-0.1, 0.5) * side, chance.uniform(0, 0.85) * side)
            ImageDraw.Draw(cover).text(place, words, fill=chance.randint(140, 255), font=font)
        covers[number] = torch.frombuffer(bytearray(cover.tobytes()), dtype=torch.uint8).view(side, side) / 255
    return covers
