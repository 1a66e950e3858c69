from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from bench.support.data import some_photos
from core.media.sample_images import drawings, jpeg
from core.verification.local_features import LocalFeatures, local_features
from core.verification.proof import Proof, prove
from core.verification.relation import relation

PHOTOS = some_photos(6)

COLOURS = ["#c0392b", "#2e5aac", "#2f8f4e", "#d4a017", "#151515", "#0f7c7c", "#6b2d5c"]
SHIRT = [(80, 48), (105, 38), (150, 38), (176, 48), (218, 83), (198, 109), (179, 93), (179, 218), (77, 218), (77, 93)]


def photo(number: int = 0) -> Image.Image:
    return Image.open(PHOTOS[number]).convert("RGB")


def features(image: Image.Image) -> LocalFeatures:
    return local_features(np.asarray(image.convert("RGB")))


def proof(query: Image.Image, picture: Image.Image) -> Proof:
    found = prove(features(query), features(picture))
    assert found is not None
    return found


def half(image: Image.Image) -> Image.Image:
    """The left half."""
    return image.crop((0, 0, image.width // 2, image.height))


def pasted(image: Image.Image) -> Image.Image:
    """On a larger page, at half its size."""
    page = Image.new("RGB", (500, 400), "white")
    page.paste(image.resize((image.width // 2, image.height // 2)), (60, 90))
    return page


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda image: image, "The whole picture"),
        (lambda image: image.resize((200, 200)), "The whole picture"),
        (ImageOps.grayscale, "The whole picture"),
        (ImageOps.mirror, "Mirrored"),
        (ImageOps.flip, "Upside down in a mirror"),
        (lambda image: image.transpose(Image.Transpose.ROTATE_270), "Turned 90°"),
        (lambda image: image.rotate(180), "Turned 180°"),
        (half, "A part: 50\u202f% of it"),
        (lambda image: half(ImageOps.mirror(image)), "Mirrored, a part: 50\u202f% of it"),
        (pasted, "Your picture contains it"),
    ],
)
def test_a_copy_is_proved_and_its_edit_named(edit: Callable[[Image.Image], Image.Image], words: str) -> None:
    for number in range(len(PHOTOS)):
        found = prove(features(edit(photo(number))), features(photo(number)))
        assert found is not None, PHOTOS[number]
        assert relation(found) == words


def test_the_outlines_are_where_the_pictures_lie() -> None:
    found = proof(half(photo()), photo())
    assert np.allclose(found.first_in_second, [(0, 0), (0.5, 0), (0.5, 1), (0, 1)], atol=0.02)
    assert np.allclose(found.second_in_first, [(0, 0), (2, 0), (2, 1), (0, 1)], atol=0.04)
    assert found.first_share > 0.97
    assert found.second_share == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "turns", [Image.Transpose.ROTATE_90, Image.Transpose.TRANSPOSE, Image.Transpose.FLIP_LEFT_RIGHT]
)
def test_swapped_is_the_proof_of_the_other_order(turns: Image.Transpose) -> None:
    one, other = photo().transpose(turns), photo()
    there, back = proof(one, other), proof(other, one).swapped
    assert there.mirrored == back.mirrored
    assert np.cos(np.radians(there.turned - back.turned)) > 0.99
    assert np.allclose(there.first_in_second, back.first_in_second, atol=0.03)
    assert there.first_share == pytest.approx(back.first_share, abs=0.03)


def test_other_photos_are_not_the_same() -> None:
    known = [features(Image.open(path)) for path in some_photos(12)]
    for number, first in enumerate(known):
        for second in known[:number]:
            assert prove(first, second) is None


def test_a_mirror_changes_descriptors_as_computed() -> None:
    one, mirrored = features(photo()), features(ImageOps.mirror(photo()))
    likeness = (one.mirrored @ mirrored.descriptors.T).max(1)
    assert np.median(likeness) > 0.95


def test_swatches_and_shirts_in_other_colours_prove_nothing() -> None:
    drawn = []
    for colour in COLOURS:
        shirt = Image.new("RGB", (256, 256), "white")
        ImageDraw.Draw(shirt).polygon(SHIRT, fill=colour)
        drawn.append([features(shirt), features(Image.new("RGB", (256, 256), colour))])
    assert prove(drawn[0][0], drawn[0][0]) is not None
    assert prove(drawn[0][1], drawn[0][1]) is None
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            assert all(prove(a, b) is None for a, b in zip(one, other, strict=True))


def test_a_photo_of_a_thing_in_another_colour_is_another_picture() -> None:
    hue, saturation, value = photo(1).convert("HSV").split()
    turned = hue.point(lambda level: (level + 85) % 256)
    recoloured = Image.merge("HSV", (turned, saturation.point(lambda level: min(255, 2 * level)), value)).convert("RGB")
    assert prove(features(recoloured), features(photo(1))) is None


def test_a_plain_drawing_made_smaller_is_the_same() -> None:
    for _, drawing in drawings(10):
        smaller = Image.open(io.BytesIO(jpeg(drawing.reduce(3), 60)))
        drawing.thumbnail((300, 300))
        assert prove(features(smaller), features(drawing)) is not None
