"""A model's own preprocessing of pictures, by open_clip's settings for it but a little faster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from core.media.decode import PixelBox

Prepare = Callable[["Image.Image", "PixelBox"], "torch.Tensor"]
Normalise = Callable[["torch.Tensor"], "torch.Tensor"]
Resize = Callable[["Image.Image", "PixelBox"], "Image.Image"]


def split(settings: Mapping[str, Any]) -> tuple[Prepare, Normalise]:
    """A model's preprocessing, split into the part for each picture and the part for a whole batch.

    `settings` are those that `open_clip.get_model_preprocess_cfg` returns for a model. The first part turns a box of
    an RGB picture into a tensor of shape (3, height, width) whose pixels are still bytes.
    """
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from torchvision.transforms import Compose, Normalize, PILToTensor

    config = PreprocessCfg(**settings)
    *steps, _, last = image_transform_v2(config, is_train=False).transforms  # …, to numbers from 0 to 1, normalised
    mean, std = ([255 * channel for channel in channels] for channels in (last.mean, last.std))
    normalise = Normalize(mean, std, inplace=True)
    resize = _resizing(config)
    if resize is None:
        rest = Compose([*steps, PILToTensor()])
        return lambda image, box: rest(image), lambda batch: normalise(batch.float())
    to_tensor = PILToTensor()
    return lambda image, box: to_tensor(resize(image, box)), lambda batch: normalise(batch.float())


def _resizing(config: Any) -> Resize | None:
    """open_clip's resizing for a PreprocessCfg, as one step that reads a box; None where it keeps more than the box.

    Rows first, then columns, as in resizing the whole picture, so that intermediate values are clipped alike.
    """
    from PIL.Image import Resampling

    height, width = (config.size, config.size) if isinstance(config.size, int) else config.size
    how = Resampling.BILINEAR if config.interpolation == "bilinear" else Resampling.BICUBIC
    if config.resize_mode == "squash":
        return lambda image, box: image.resize((width, height), how, box)
    if config.resize_mode != "shortest" or width != height:
        return None

    def resize(image: Image.Image, box: PixelBox) -> Image.Image:
        left, top, right, bottom = _centre(box, width, width, height)
        rows = image.resize((width, image.height), how, (left, 0, right, image.height))
        return rows.resize((width, height), how, (0, top, width, bottom))

    return resize


def _centre(box: PixelBox, short: int, width: int, height: int) -> PixelBox:
    """The central part of a box, `width` by `height` at a scale where the box's short side has `short` pixels.

    Rounded as by torchvision: the long side down, and the margins to the nearest whole pixel.
    """
    left, top, right, bottom = box
    scale = short / min(right - left, bottom - top)
    wide, high = (max(short, int(side * scale + 1e-6)) for side in (right - left, bottom - top))
    x, y = round((wide - width) / 2), round((high - height) / 2)
    across, down = (right - left) / wide, (bottom - top) / high
    return left + x * across, top + y * down, left + (x + width) * across, top + (y + height) * down
