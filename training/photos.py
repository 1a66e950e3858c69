"""The photos that the built-in encoder is trained on, and those held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

CLUTTER = "BACKGROUND_Google"
"""The folder of photos of nothing in particular: they belong to no class."""

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PHOTOS = DATA / "photos" / "caltech101"
TEACHER = DATA / "models" / "mobilenetv2-imagenet-512"


@dataclass(frozen=True)
class Split:
    """Folders of photos, one a class: every fifth class and every fifth photo of clutter is kept for evaluation."""

    seen: tuple[Path, ...]
    unseen: tuple[Path, ...]


def split(folder: Path) -> Split:
    """The photos in `folder`/CLASS/*.jpg, in order of name: the same split every time.

    With Caltech-101's 100 classes the third of every five is unseen: 20 classes.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and path.name != CLUTTER)
    clutter = sorted((folder / CLUTTER).glob("*.jpg"))
    unseen = [path for number, name in enumerate(classes) if number % 5 == 2 for path in sorted(name.glob("*.jpg"))]
    seen = [path for number, name in enumerate(classes) if number % 5 != 2 for path in sorted(name.glob("*.jpg"))]
    return Split((*seen, *(path for number, path in enumerate(clutter) if number % 5)), (*unseen, *clutter[::5]))


def read(path: Path) -> Image.Image:
    """A photo as RGB."""
    with Image.open(path) as image:
        return image.convert("RGB")
