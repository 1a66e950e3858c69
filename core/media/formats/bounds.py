"""What a picture would take to decode, told by its header before anything is decoded."""

from __future__ import annotations

import math

from PIL import Image, ImageFile

from core.errors import PictureError

MAX_SCANS = 200
"""Scans of a progressive JPEG. Encoders write about ten, mozjpeg up to some thirty; each takes time for all blocks of
the picture, even if it has no data."""

MAX_TILE = 16
"""How many times the pixels of the picture a tile of a TIFF may have, or 1,024 by 1,024 pixels if that is more."""

_BYTES = {"1": 1, "L": 1, "P": 1, "LA": 4, "PA": 4, "La": 4}
"""Bytes of a pixel in Pillow's memory, by mode; all others have four. 16 bits are scaled as float32, in copies."""

_SOS = b"\xff\xda"
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF 6.0, section 15


def check_work(file: ImageFile.ImageFile, data: bytes) -> None:
    """Refuse what no encoder writes, and takes far more work than its size tells. Raises PictureError."""
    if file.format == "JPEG" and data.count(_SOS) > MAX_SCANS:
        raise PictureError(f"The picture has more than {MAX_SCANS} scans, as no program makes it. Save it again.")
    tags = getattr(file, "tag_v2", None)
    if tags is not None and _TILE_WIDTH in tags:
        tile = _number(tags.get(_TILE_WIDTH)) * _number(tags.get(_TILE_LENGTH))
        if tile > max(MAX_TILE * math.prod(file.size), 1 << 20):
            raise PictureError("The picture's tiles are far larger than the picture. Save it again.")


def memory_needed(file: ImageFile.ImageFile, full: tuple[int, int]) -> int:
    """About how many bytes of memory it takes to decode an opened picture, whose size before drafting was `full`.

    Progressive JPEGs keep all coefficients, two bytes each (libjpeg, jdcoefct.c); transparency and 16 bits are worked
    out in copies of the picture.
    """
    pixels = math.prod(file.size)
    if file.mode.startswith(("I", "F")):
        needed = pixels * 24
    elif file.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in file.info:
        needed = pixels * (_BYTES.get(file.mode, 4) + 16)
    else:
        needed = pixels * (_BYTES.get(file.mode, 4) + (0 if file.mode in ("RGB", "CMYK") else 4))
    if file.format == "JPEG2000":
        needed += pixels * 4 * Image.getmodebands(file.mode)  # openjpeg decodes to int32
    if file.info.get("progressive"):
        layers = getattr(file, "layer", ())
        widest = max((across * down for _, across, down, _ in layers), default=1)
        needed += int(math.prod(full) * 2 * sum(across * down for _, across, down, _ in layers) / widest)
    return needed


def webp_size(data: bytes) -> tuple[int, int]:
    """The width and height of a WebP in pixels, by its header (RFC 9649, 2.5 to 2.7); 0 of each where it has none.

    Its decoder takes memory for the whole picture when it is opened, and says only that it cannot be opened when there
    is not enough.
    """
    match data[12:16]:
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return 0, 0


WEBP_BYTES = 16
"""Of memory for each pixel of a WebP: two canvases, the decoded frame, and Pillow's own, four bytes each."""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
