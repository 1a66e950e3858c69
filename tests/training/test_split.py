from pathlib import Path

import cv2
import pytest

from tests.training.pictures import picture
from training.copy_encoder.photos import decode, read, split


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
