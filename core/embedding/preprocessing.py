"""A model's own preprocessing of pictures, read off open_clip's and done a little quicker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.embedding.checkpoint import Preprocess

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from core.media.decode import PixelBox

Prepare = Callable[["Image.Image", "PixelBox"], "torch.Tensor"]
Normalise = Callable[["torch.Tensor"], "torch.Tensor"]


def split(preprocess: Preprocess) -> tuple[Prepare, Normalise]:
    """A model's preprocessing as what is done to each picture, and what can be done to a batch of them as well.

    The first makes a tensor of shape (3, height, width) of what lies in a box of an RGB picture.
    """
    from torchvision.transforms import Compose, Normalize, PILToTensor, ToTensor

    match getattr(preprocess, "transforms", []):
        case [*steps, ToTensor(), Normalize(mean=mean, std=std)]:
            mean, std = ([255 * channel for channel in channels] for channels in (mean, std))
            normalise = Normalize(mean, std, inplace=True)
            resize, steps = _resizing(steps)
            rest = Compose([*steps, PILToTensor()])
            return lambda image, box: rest(resize(image, box)), lambda batch: normalise(batch.float())
    return lambda image, box: preprocess(image), lambda batch: batch


def _resizing(steps: list[Any]) -> tuple[Callable[[Image.Image, PixelBox], Image.Image], list[Any]]:
    """The first of a model's steps, those that resize, as one that reads a box; and the other steps.

    Rows first, then columns, as in a resize of the whole: what is clipped in between is clipped alike. Steps of other
    kinds read the whole image instead of the box.
    """
    from PIL.Image import Resampling
    from torchvision.transforms import CenterCrop, Resize

    match steps:
        case [
            Resize(size=int(short), max_size=None, interpolation=how),
            CenterCrop(size=(int(height), int(width))),
            *rest,
        ] if max(height, width) <= short:

            def resize(image: Image.Image, box: PixelBox) -> Image.Image:
                left, top, right, bottom = _centre(box, short, width, height)
                rows = image.resize((width, image.height), Resampling[how.name], (left, 0, right, image.height))
                return rows.resize((width, height), Resampling[how.name], (0, top, width, bottom))

            return resize, rest
        case [Resize(size=(int(height), int(width)), interpolation=how), *rest]:
            return lambda image, box: image.resize((width, height), Resampling[how.name], box), rest
    return lambda image, box: image, steps


def _centre(box: PixelBox, short: int, width: int, height: int) -> PixelBox:
    """The part of a box that is `width` by `height` in the middle, were its short side `short` pixels.

    Rounded as torchvision does: the long side down, and the margins to the nearest whole pixel.
    """
    left, top, right, bottom = box
    scale = short / min(right - left, bottom - top)
    wide, high = (max(short, int(side * scale + 1e-6)) for side in (right - left, bottom - top))
    x, y = round((wide - width) / 2), round((high - height) / 2)
    across, down = (right - left) / wide, (bottom - top) / high
    return left + x * across, top + y * down, left + (x + width) * across, top + (y + height) * down
