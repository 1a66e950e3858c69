import random

import numpy as np
import pytest

from tests.training.pictures import picture
from training.copy_encoder import edits, scenes, views
from training.copy_encoder.benchmark import EDITS, FIVE, PARTS, edited
from training.copy_encoder.photos import Picture


def mean_difference(one: Picture, other: Picture) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


@pytest.mark.parametrize("name", EDITS | PARTS)
def test_every_edit_makes_a_picture_changes_nothing_in_place_and_always_makes_the_same(name: str) -> None:
    image, others = picture(1), [picture(number) for number in range(2, 9)]
    before = image.copy()
    made = edited(name, image, 5, others)
    assert made.dtype == np.uint8
    assert made.ndim == 3
    assert made.shape[2] == 3
    assert min(made.shape[:2]) >= 20
    assert (image == before).all()
    assert (edited(name, image, 5, others) == made).all()


def test_the_pairs_are_of_twenty_edits_and_five_of_them() -> None:
    assert len(EDITS) == 20
    assert set(FIVE) < set(EDITS)


def test_a_crop_has_its_share_of_the_area_and_lies_in_its_corner() -> None:
    image = picture(1, 200, 100)
    cut = edits.crop(image, 0.25, 1, 0)
    assert cut.shape == (50, 100, 3)
    assert (cut == image[:50, 100:]).all()


def test_a_turn_keeps_the_whole_picture_on_a_larger_canvas() -> None:
    white = np.full((100, 200, 3), 255, np.uint8)
    turned = edits.turn(white, 25)
    assert turned.shape[0] > 160
    assert turned.shape[1] > 215
    assert turned.sum() == pytest.approx(white.sum(), rel=0.02)
    assert edits.turn(white, 25, whole=False).shape == white.shape


def test_grey_has_no_colours_and_a_tint_shifts_them() -> None:
    grey = edits.grey(picture(1))
    assert (grey[..., 0] == grey[..., 2]).all()
    warm = edits.tone(grey, tint=(1.0, 1.0, 0.5))
    assert warm[..., 2].mean() == pytest.approx(grey[..., 2].mean() / 2, abs=1)


@pytest.mark.parametrize("seed", range(5))
def test_a_page_holds_the_picture_in_its_share_of_the_area(seed: int) -> None:
    magenta = np.full((100, 150, 3), (255, 0, 255), np.uint8)
    page = scenes.page(magenta, random.Random(seed), 0.2)
    held = (page == (255, 0, 255)).all(-1).mean()
    assert held == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("count", range(2, 10))
def test_a_collage_holds_a_good_part_of_each_picture(count: int) -> None:
    plain = [np.full((90, 120, 3), (20 * number + 40, 0, 255 - 20 * number), np.uint8) for number in range(count)]
    made = scenes.collage(plain, random.Random(count))
    for image in plain:
        assert (np.abs(made.astype(int) - image[0, 0]).max(-1) < 3).mean() > 0.3 / count


def test_a_screenshot_and_a_print_show_the_picture_and_something_around_it() -> None:
    magenta = np.full((100, 150, 3), (255, 0, 255), np.uint8)
    shot = scenes.screenshot(magenta, random.Random(1), 0.3)
    assert 0.1 < (shot == (255, 0, 255)).all(-1).mean() < 0.35
    printed = scenes.photographed(magenta, random.Random(1), 0.1, 0.1).astype(int)
    assert 0.3 < ((printed[..., 0] > 120) & (printed[..., 1] < 80)).mean() < 0.9


def test_views_are_of_the_side_asked_for_and_differ() -> None:
    chance, image = random.Random(1), picture(1)
    made = [views.indexed(image, chance, 64) for _ in range(20)] + [views.asked(image, chance, 64) for _ in range(60)]
    made.append(views.collage([picture(2), image], chance, 64))
    assert {view.shape for view in made} == {(64, 64, 3)}
    assert len({view.tobytes() for view in made}) > 60


def test_a_view_of_a_tiny_picture_is_possible() -> None:
    tiny, chance = picture(1, 9, 12), random.Random(3)
    for _ in range(100):
        assert views.asked(tiny, chance, 64).shape == (64, 64, 3)


def test_recompression_changes_little() -> None:
    image = picture(4)
    assert 0 < mean_difference(edits.recompress(image, 30), image) < 6
