"""The photos that the copy encoder learns from, and those that are kept back for its evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""Height × width × 3, red, green, blue."""

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

CALTECH, MORE = Path("photos") / "caltech101", Path("photos-more")
"""Where the two sets lie in the data folder: one folder a class, and one folder a source."""

CLUTTER = "BACKGROUND_Google"
"""The folder of Caltech-101 that is no class."""


@dataclass(frozen=True)
class Split:
    """Files in order of name: what is learnt from, and what never is: photos of Caltech's classes, and of the rest."""

    seen: tuple[Path, ...]
    unseen_classes: tuple[Path, ...]
    unseen_others: tuple[Path, ...]


def split(data: Path) -> Split:
    """The same split every time.

    Of Caltech-101's classes the third of every five is kept back, 20 in all; they are those that the encoder of
    `models` never sees either. Of its clutter every fifth photo is kept back, of any other source every tenth.
    """
    seen: list[Path] = []
    classes: list[Path] = []
    others: list[Path] = []
    for number, folder in enumerate(_folders(data / CALTECH)):
        (classes if number % 5 == 2 else seen).extend(_files(folder))
    for number, path in enumerate(_files(data / CALTECH / CLUTTER)):
        (seen if number % 5 else others).append(path)
    for folder in _folders(data / MORE):
        for number, path in enumerate(_files(folder)):
            (seen if number % 10 else others).append(path)
    return Split(tuple(seen), tuple(classes), tuple(others))


def _folders(folder: Path) -> list[Path]:
    return (
        sorted(path for path in folder.iterdir() if path.is_dir() and path.name != CLUTTER) if folder.is_dir() else []
    )


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jpg"))


def decode(content: bytes) -> Picture:
    """The picture in a file's bytes."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise ValueError("no picture that OpenCV reads")
    return np.asarray(pixels, np.uint8)


def read(path: Path) -> Picture:
    """The picture in a file."""
    return decode(path.read_bytes())
