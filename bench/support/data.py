"""Where the photos and the small model for the tests lie, outside the project."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image

DATA = Path(os.environ.get("LOOKALIKE_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
PHOTOS = DATA / "photos" / "caltech101"
MODEL = DATA / "models" / "mobilenetv2-imagenet-512"
MODEL_SETTING = f"local-dir:{MODEL}"


def some_photos(count: int) -> list[Path]:
    """`count` photos, the same every time, spread over all classes."""
    photos = sorted(path for folder in sorted(PHOTOS.iterdir()) for path in folder.glob("*.jpg"))
    step = max(1, len(photos) // count)
    return photos[::step][:count]


def many_files(count: int) -> list[bytes]:
    """`count` picture files with different bytes: photos, and past 400 the same photos with a trailer that no decoder
    reads. Such copies are costly, since each pair of them is proved."""
    photos = [path.read_bytes() for path in some_photos(min(count, 400))]
    return [photos[number % len(photos)] + b"%d" % number for number in range(count)]


def changed(path: Path) -> bytes:
    """A photo cropped to 90 % and compressed again."""
    image = Image.open(path).convert("RGB")
    w, h = image.size
    buffer = io.BytesIO()
    image.crop((w // 20, h // 20, w - w // 20, h - h // 20)).save(buffer, "JPEG", quality=60)
    return buffer.getvalue()
