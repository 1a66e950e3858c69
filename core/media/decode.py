"""Untrusted bytes -> a checked, upright RGB picture with its details, hashes and thumbnail, or the reason why not."""

from __future__ import annotations

import functools
import hashlib
import io
import math
import pickle
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import imagehash
import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageFile

from core.errors import PictureError, PictureTooLargeError
from core.media.file_types import NOT_PICTURES, kind_of
from core.media.formats.bounds import WEBP_BYTES, check_work, memory_needed, webp_size
from core.media.formats.documents import first_page, is_raw, raw_preview
from core.media.formats.frames import ANIMATED, eight_bits, first_shown, on_ground
from core.media.formats.hdr import as_sdr, transfer_of

MIMES = {
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "HEIF": "image/heif",
    "JPEG": "image/jpeg",
    "JPEG2000": "image/jp2",
    "JXL": "image/jxl",
    "PDF": "application/pdf",
    "PNG": "image/png",
    "RAW": "image/x-raw",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
}
"""The only Pillow decoders that untrusted bytes may reach, of more than forty; PDF, and camera RAW
other than DNG and its kin, which are TIFF."""

MIN_SIDE = 16
"""Pixels. Anything smaller is a tracking pixel or a bullet and means nothing to a model."""

MAX_ASPECT = 50
"""Long side to short side. Handscrolls reach 25; a model sees a square, so that little can be made out of more."""

WORKING_SIDE = 512
"""Pixels of the short side below which a picture is not reduced, unless it is long: models take 224 to 448."""

WORKING_AREA = 32
"""How many squares of the working side a reduced picture may have at most: the strip of a scroll stays that small."""

NO_LIMIT = 1 << 62
"""Bytes of memory: no limit."""

THUMBNAIL_SIDE = 256
THUMBNAIL_QUALITY = 80

MAX_PROFILE = 4_000_000
"""Bytes of a colour profile. Printer profiles reach two million."""

_EXIF_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# The caller sets the limit. Pillow's own must only be no lower than the highest allowed MAX_MEGAPIXELS.
Image.MAX_IMAGE_PIXELS = 1_000_000_000


PixelBox = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of an image."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded and checked picture.

    `image` is upright RGB, on white or, where that would hide it, on dark grey; its short side has at least the pixels
    asked for, or as many as the original's.
    `box` is the picture's area in it: an eighth of 4,477 pixels is 559.6, and the image is 560 wide.
    `sha256` is that of the file (32 bytes), `phash` the 64-bit perceptual hash of imagehash as a signed integer;
    `width` and `height` are the upright original's in pixels, `size` the file's bytes; `thumbnail` is a JPEG with
    a short side of THUMBNAIL_SIDE pixels or the original's.
    """

    thumbnail_mime: ClassVar[str] = "image/jpeg"  # WebP is a quarter smaller but takes six times as long to encode

    image: Image.Image
    box: PixelBox
    sha256: bytes
    phash: int
    width: int
    height: int
    size: int
    mime: str
    thumbnail: bytes


@dataclass(frozen=True, slots=True)
class PackedPicture:
    """A picture on its way from a reader process: its RGB pixels, row by row, and all else."""

    picture: Picture
    size: tuple[int, int]
    pixels: Any


def read_packed(data: bytes, **limits: int) -> PackedPicture:
    """`read_picture` for a reader process. Raises PictureError."""
    picture = read_picture(data, **limits)
    pixels = pickle.PickleBuffer(picture.image.tobytes())
    return PackedPicture(replace(picture, image=_NO_IMAGE), picture.image.size, pixels)


def unpacked(packed: PackedPicture) -> Picture:
    """The picture that a reader process has packed."""
    return replace(packed.picture, image=Image.frombytes("RGB", packed.size, packed.pixels))


_NO_IMAGE = Image.new("RGB", (1, 1))


def read_picture(
    data: bytes, *, max_bytes: int, max_pixels: int, max_memory: int = NO_LIMIT, side: int = WORKING_SIDE
) -> Picture:
    """Decode a file of any supported format, detected from its content alone. Files that others made are read by
    `core.media.isolation.pool.read_picture`, which calls this in a process with limits on memory and time.

    Of an animation, the first frame that is not blank is read, as `core.media.formats.frames` says; of a document, the
    first page; of a camera RAW, its full-size preview. `side` is the short side in pixels that the picture may be
    reduced to. Raises PictureError with a
    sentence (PictureTooLargeError, a subclass, when a limit is exceeded), or MemoryError, which it also raises
    when decoding would take more than `max_memory` bytes.
    """
    if len(data) > max_bytes:
        raise PictureTooLargeError(
            f"The file has {len(data) / 1e6:,.1f} MB, and MAX_FILE_MB allows {max_bytes / 1e6:,.4g}: make it smaller."
        )
    kind = kind_of(data)
    if kind in NOT_PICTURES:
        raise PictureError(f"This is {NOT_PICTURES[kind]}")
    try:
        return _read(data, kind, max_pixels, max_memory, side)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(max_pixels) from None
    except Exception as error:  # noqa: BLE001  decoders raise anything on malicious bytes
        if is_out_of_memory(error):
            raise MemoryError from None
        if "truncated" in str(error).lower() or isinstance(error, EOFError):
            raise PictureError("The picture's file is truncated. Save or download it again.") from None
        raise PictureError("The picture is damaged and cannot be read. Save or download it again.") from None


def _read(data: bytes, kind: str, max_pixels: int, max_memory: int, side: int) -> Picture:
    shown = _Shown(data, kind, side, max_pixels, max_memory)
    try:
        frame, full, box, orientation, profile = shown.read()
    except OSError as error:
        if kind != "JPEG" or "truncated" not in str(error):
            raise
        frame, full, box, orientation, profile = shown.completed()
    small, box = _reduced(frame, box, side)
    image = _srgb(small, profile)
    if kind in ("AVIF", "HEIF") and (transfer := transfer_of(data)):
        image = as_sdr(image, transfer)
    if orientation in _EXIF_TURNS:
        box = _turned(box, image.size, orientation)
        image = image.transpose(_EXIF_TURNS[orientation])
    width, height = reversed(full) if orientation >= 5 else full
    thumbnail = _thumbnail(image, box)
    return Picture(
        image=image,
        box=box,
        sha256=hashlib.sha256(data).digest(),
        phash=_phash(thumbnail),
        width=width,
        height=height,
        size=len(data),
        mime=MIMES[kind],
        thumbnail=_jpeg(thumbnail),
    )


_OUT_OF_MEMORY = ("out of memory", "memory allocation", "cannot allocate", "bad_alloc", "malloc", "security limit")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a decoder failed because it got no memory: many raise something else than MemoryError."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


_Decoded = tuple[Image.Image, tuple[int, int], PixelBox, int, bytes | None]
"""A frame on its ground, the size of the whole, its area in the frame, its orientation and colour profile."""


@dataclass(frozen=True)
class _Shown:
    """The frame of a file that is shown."""

    data: bytes
    kind: str
    side: int
    max_pixels: int
    max_memory: int

    def read(self, padding: bytes = b"") -> _Decoded:
        """The frame; `padding` follows the file."""
        if self.kind == "PDF":
            page = first_page(self.data)
            _check_size(*page.size, self.max_pixels)
            return page, page.size, (0.0, 0.0, *page.size), 1, None
        if self.kind == "RAW":
            return replace(self, data=raw_preview(self.data), kind="JPEG").read()
        _register(self.kind)
        if self.kind == "WEBP" and all(size := webp_size(self.data)):
            _check_size(*size, self.max_pixels)
            if math.prod(size) * WEBP_BYTES > self.max_memory:
                raise MemoryError
        with Image.open(io.BytesIO(self.data + padding), formats=[self.kind]) as file:
            if self.kind == "TIFF" and is_raw(file, self.data):
                return replace(self, kind="RAW").read()
            full = file.size
            _check_size(*full, self.max_pixels)
            check_work(file, self.data)
            # to 1/2, 1/4 or 1/8, never below that side
            drafted = file.draft(None, (self.side, self.side)) if self.kind == "JPEG" else None
            if memory_needed(file, full) > self.max_memory:
                raise MemoryError
            file.load()
            box: PixelBox = drafted[1] if drafted else (0.0, 0.0, *file.size)
            orientation, profile = _orientation(file), file.info.get("icc_profile")
            frame = on_ground(eight_bits(file))
            if self.kind in ANIMATED:
                frame = first_shown(file, frame, self.max_pixels)
            return frame, full, box, orientation, profile

    def completed(self) -> _Decoded:
        """The frame of a JPEG that lacks only its end. Raises OSError when it lacks any of its picture.

        Where something is missing, a decoder takes what follows for it; so whatever follows, the picture is the same
        only if nothing is.
        """
        whole = replace(self, data=self.data.rstrip(b"\xff"))
        one, other = (whole.read(byte * PADDING + END_OF_IMAGE) for byte in (b"\x00", b"\x5a"))
        if ImageChops.difference(one[0].convert("RGB"), other[0].convert("RGB")).getbbox():
            raise OSError("image file is truncated")
        return one


PADDING, END_OF_IMAGE = 65_536, b"\xff\xd9"


def _check_size(width: int, height: int, max_pixels: int) -> None:
    short, long = sorted((width, height))
    if width * height > max_pixels:
        raise _too_many_pixels(max_pixels)
    if short < MIN_SIDE:
        raise PictureError(
            f"The picture is too small ({width:,} × {height:,} pixels): it needs {MIN_SIDE} on each side."
        )
    if long > MAX_ASPECT * short:
        raise PictureError(
            f"The picture is too narrow ({width:,} × {height:,} pixels): "
            f"its long side may be {MAX_ASPECT} times its short one. Crop it."
        )


def _too_many_pixels(max_pixels: int) -> PictureTooLargeError:
    return PictureTooLargeError(
        f"The picture has more than the {max_pixels / 1e6:,.4g} million pixels that MAX_MEGAPIXELS allows: "
        "make it smaller."
    )


def _orientation(file: ImageFile.ImageFile) -> int:
    """The EXIF orientation still to be applied, 1 to 8; some decoders apply it themselves and report 1."""
    try:
        value = file.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  a picture with broken EXIF is still a picture
        return 1
    return value if value in range(1, 9) else 1


def _reduced(image: Image.Image, box: PixelBox, side: int) -> tuple[Image.Image, PixelBox]:
    factor = max(min(image.size) // side, math.isqrt((math.prod(image.size) - 1) // (WORKING_AREA * side * side)) + 1)
    if factor <= 1:
        return image, box
    left, top, right, bottom = box
    return image.reduce(factor), (left / factor, top / factor, right / factor, bottom / factor)


def _turned(box: PixelBox, size: tuple[int, int], orientation: int) -> PixelBox:
    """A box in an image of that size after the transposition in `_EXIF_TURNS`."""
    left, top, right, bottom = box
    width, height = size
    if orientation in (2, 3, 7, 8):
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):
        top, bottom = height - bottom, height - top
    return (left, top, right, bottom) if orientation < 5 else (top, left, bottom, right)


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB as a browser shows it; a colour profile that is broken or for another colour space is ignored."""
    transform = _transform(profile, image.mode) if profile and len(profile) <= MAX_PROFILE else None
    if transform is not None:
        return ImageCms.applyTransform(image, transform) or image
    return image.convert("RGB")


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a colour profile to sRGB; None when none is needed or possible."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # noqa: BLE001  a picture with a broken profile is still a picture
        return None


def _thumbnail(image: Image.Image, box: PixelBox) -> Image.Image:
    left, top, right, bottom = box
    scale = THUMBNAIL_SIDE / min(right - left, bottom - top)
    if scale >= 1:
        return image
    size = round((right - left) * scale), round((bottom - top) * scale)
    return image.resize(size, Image.Resampling.HAMMING, box)


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY, icc_profile=None, exif=b"")
    return buffer.getvalue()


def _phash(image: Image.Image) -> int:
    bits = np.packbits(imagehash.phash(image).hash)
    return int.from_bytes(bits.tobytes(), "big", signed=True)


@functools.cache
def _register(kind: str) -> None:
    """Load the plug-in for a kind that Pillow does not know by itself."""
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    elif kind == "JXL":
        from pillow_jxl import JpegXLImagePlugin

        JpegXLImagePlugin.DECODE_THREADS = 0  # as many as processes are enough
