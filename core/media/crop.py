"""Cropping: the part of a picture to search with."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, isnan

from PIL import Image

from core.errors import PictureError

CropBox = tuple[float, float, float, float]
"""Left, top, right and bottom of a rectangle as fractions (0 to 1) of the upright picture's sides."""


def checked_box(values: Sequence[object]) -> CropBox:
    """Four values as a box inside the picture with an area above 0. Raises PictureError."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(values) != 4 or len(numbers) != 4 or any(isinstance(number, float) and isnan(number) for number in numbers):
        raise PictureError("A crop is four numbers from 0 to 1: left, top, right and bottom. Draw it again.")
    left, top, right, bottom = numbers
    if not all(0 <= number <= 1 for number in numbers):
        raise PictureError("The crop reaches beyond the picture. Draw it inside the picture.")
    if left >= right or top >= bottom:
        raise PictureError("The crop has no area. Draw a larger one.")
    return float(left), float(top), float(right), float(bottom)


def crop_image(image: Image.Image, box: CropBox) -> Image.Image:
    """That part of an upright picture: every pixel the box touches, so at least 1 × 1."""
    left, top, right, bottom = box
    return image.crop(
        (
            floor(left * image.width),
            floor(top * image.height),
            ceil(right * image.width),
            ceil(bottom * image.height),
        )
    )
