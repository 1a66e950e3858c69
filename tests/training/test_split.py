import random
from pathlib import Path

import cv2
import pytest

from tests.training.pictures import picture
from training.copy_encoder.edits import noise, tone
from training.copy_encoder.photos import decode, read, split
from training.copy_encoder.sample import copies, sample


def test_every_fifth_class_and_a_tenth_of_every_source_are_kept_back(tmp_path: Path) -> None:
    for folder, count in [*((f"photos/caltech101/c{number}", 2) for number in range(10)), ("photos-more/a", 21)]:
        (tmp_path / folder).mkdir(parents=True)
        for number in range(count):
            (tmp_path / folder / f"{number:02}.jpg").touch()
    clutter = tmp_path / "photos/caltech101/BACKGROUND_Google"
    clutter.mkdir()
    for number in range(10):
        (clutter / f"{number:02}.jpg").touch()
    found = split(tmp_path)
    assert {path.parent.name for path in found.unseen_classes} == {"c2", "c7"}
    assert [path.name for path in found.unseen_others if path.parent.name == "a"] == ["00.jpg", "10.jpg", "20.jpg"]
    assert [path.name for path in found.unseen_others if path.parent == clutter] == ["00.jpg", "05.jpg"]
    everything = [*found.seen, *found.unseen_classes, *found.unseen_others]
    assert len(everything) == len(set(everything)) == 20 + 10 + 21


def test_pictures_are_read_as_red_green_blue(tmp_path: Path) -> None:
    image = picture(1)
    image[:] = (250, 10, 10)
    cv2.imwrite(str(tmp_path / "red.png"), image[..., ::-1])
    assert read(tmp_path / "red.png")[0, 0].tolist() == [250, 10, 10]
    with pytest.raises(ValueError, match="OpenCV"):
        decode(b"no picture")


def test_copies_of_earlier_pictures_are_not_measured_on() -> None:
    image, other = picture(1), picture(2)
    again = noise(tone(image, 1.1), 3, random.Random(1))
    assert copies([image, other, again]).tolist() == [False, False, True]


def test_originals_are_of_both_kinds_and_what_is_left_is_in_no_index(tmp_path: Path) -> None:
    number = 0
    for folder, count in [*((f"photos/caltech101/c{name}", 12) for name in range(5)), ("photos-more/a", 100)]:
        (tmp_path / folder).mkdir(parents=True)
        for _ in range(count):
            number += 1
            cv2.imwrite(str(tmp_path / folder / f"{number:03}.jpg"), picture(number))
    given = sample(tmp_path, 8, 10)
    assert given.originals == 8
    assert len(given.index) == 18
    assert len(given.left) == 12 + 10 - 18
    assert len(set(given.folders[:4])) == len(set(given.folders[4:8])) == 1
    assert given.folders[0] != given.folders[4]
