"""The part of a picture that counts."""

from __future__ import annotations

import math

import pytest
from PIL import Image

from core.errors import PictureError
from core.media.crop import CropBox, checked_box, crop_image


def test_a_box_is_four_floats() -> None:
    assert checked_box([0, 0.25, 1, 0.5]) == (0.0, 0.25, 1.0, 0.5)
    assert all(type(side) is float for side in checked_box([0, 0, 1, 1]))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([], "A crop is four numbers"),
        ([0, 0, 1], "A crop is four numbers"),
        ([0, 0, 1, 1, 1], "A crop is four numbers"),
        ([0, 0, 1, "1"], "A crop is four numbers"),
        ("0011", "A crop is four numbers"),
        ([0, 0, 1, None], "A crop is four numbers"),
        ([False, False, True, True], "A crop is four numbers"),
        ([0, 0, 1, math.nan], "A crop is four numbers"),
        ([0, 0, math.inf, 1], "The crop reaches beyond the picture."),
        ([0, 0, 10**400, 1], "The crop reaches beyond the picture."),
        ([-0.001, 0, 1, 1], "The crop reaches beyond the picture."),
        ([0, 0, 1, 1.001], "The crop reaches beyond the picture."),
        ([0.5, 0, 0.5, 1], "The crop has no area."),
        ([0, 0.6, 1, 0.5], "The crop has no area."),
    ],
)
def test_what_is_no_box_is_refused_with_a_sentence(values: list[object], sentence: str) -> None:
    with pytest.raises(PictureError, match=f"^{sentence}"):
        checked_box(values)


@pytest.mark.parametrize(
    ("box", "size", "corner"),
    [
        ((0.0, 0.0, 1.0, 1.0), (40, 20), (0, 0)),
        ((0.5, 0.25, 1.0, 0.75), (20, 10), (20, 5)),
        ((0.26, 0.0, 0.49, 0.01), (10, 1), (10, 0)),
        ((0.99999999, 0.99999999, 1.0, 1.0), (1, 1), (39, 19)),
    ],
)
def test_what_the_box_touches_is_cut_out(box: CropBox, size: tuple[int, int], corner: tuple[int, int]) -> None:
    image = Image.new("RGB", (40, 20))
    image.putdata([(x, y, 0) for y in range(20) for x in range(40)])
    part = crop_image(image, box)
    assert part.size == size
    assert part.getpixel((0, 0)) == (*corner, 0)
