"""The last layer, computed once the rest is trained: whatever differs between views of a photo gets least weight."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import interpolate

from training.augment import Augment
from training.lessons import Lessons

PHOTOS, VIEWS = 400, 3
"""How many photos, and views of each, the covariance is taken from."""

SHRINK = 0.3
"""Of the mean variance, added to each: more is nearer to leaving the features as they are."""

SLICE = 16


@torch.inference_mode()
def whiten(module: Any, lessons: Lessons, side: int, mean: torch.Tensor, std: torch.Tensor, seed: int) -> None:
    """Set the projection of an open_clip `module` with a timm trunk: centred features, whitened within photos.

    Features x of the trunk become (Σ + s·tr(Σ)/d)^(−½) (x − μ), where Σ is the covariance of the differences between
    views of a photo and the photo itself, d their length, μ the mean of photos and s is SHRINK; then they are turned
    into the model's dimensions, which leaves their cosines as they are. `mean` and `std` are those of its pictures.
    """
    chosen = torch.linspace(0, len(lessons.pixels) - 1, min(PHOTOS, len(lessons.pixels))).long()
    pixels, ratios, boxes = lessons.pixels[chosen].float() / 255, lessons.ratios[chosen], lessons.boxes[0, chosen]
    trunk, projection = module.visual.trunk.eval(), module.visual.head.proj

    def features(images: torch.Tensor) -> torch.Tensor:
        device = projection.weight.device
        slices = (((images.to(device) - mean) / std) for images in torch.split(images, SLICE))
        return torch.cat([trunk(one.to(memory_format=torch.channels_last)).double() for one in slices])

    whole = interpolate(pixels, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
    photos, maker = features(whole), Augment(side, seed)
    moved = torch.cat([features(maker.view(pixels, ratios, boxes)) - photos for _ in range(VIEWS)])
    covariance = moved.T @ moved / len(moved)
    values, vectors = torch.linalg.eigh(covariance)
    values = values.clamp(min=0) + SHRINK * values.mean()
    whitening = vectors @ torch.diag(values**-0.5) @ vectors.T
    drawn = torch.randn(len(projection.weight), len(whitening), generator=torch.Generator().manual_seed(seed))
    turn = torch.linalg.qr(drawn.double().to(whitening.device)).Q
    weight = turn @ whitening
    weight /= weight.abs().max()  # to lie well within float16
    projection.weight.copy_(weight)
    projection.bias.copy_(-weight @ photos.mean(0))
