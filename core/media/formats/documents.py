"""What is no picture itself but has one: camera RAW its full-size preview, a PDF its first page."""

from __future__ import annotations

import io

from PIL import Image, ImageFile

from core.errors import PictureError

PDF_SIDE = 1600
"""Pixels of the short side that a page is drawn with, as if scanned at some 190 dpi."""

FULL_SIZE = 0.5
"""The share of the RAW's side that its preview must have to stand for it."""

_DNG_VERSION, _SUBFILE_TYPE, _SUB_IFDS, _COMPRESSION = 50706, 254, 330, 259
_RAW_COMPRESSIONS = {32767, 32769, 32770, 34713, 34892, 65535}  # of Sony, Epson, Samsung, Nikon, DNG, Pentax

RAW_ALONE = "This is a camera RAW without a preview in full size, which cannot be read here. Export it as JPEG or TIFF."


def is_raw(file: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether a TIFF is a camera RAW: what it shows first is then only a small preview."""
    tags = getattr(file, "tag_v2", {})
    preview_first = tags.get(_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags
    return _DNG_VERSION in tags or data[8:10] == b"CR" or preview_first or tags.get(_COMPRESSION) in _RAW_COMPRESSIONS


def raw_preview(data: bytes) -> bytes:
    """The JPEG of a camera RAW that is as large as the RAW, or nearly so. Raises PictureError."""
    import rawpy

    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            preview, side = raw.extract_thumb(), max(raw.sizes.width, raw.sizes.height)
    except (rawpy.LibRawError, ValueError):
        raise PictureError(RAW_ALONE) from None
    if preview.format != rawpy.ThumbFormat.JPEG:
        raise PictureError(RAW_ALONE)
    found = bytes(preview.data)
    with Image.open(io.BytesIO(found), formats=["JPEG"]) as image:
        if max(image.size) < FULL_SIZE * side:
            raise PictureError(RAW_ALONE)
    return found


def first_page(data: bytes) -> Image.Image:
    """The first page of a PDF, drawn on white. Raises PictureError."""
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(data) as document:
            if not len(document):
                raise PictureError("This PDF has no page.")
            page = document[0]
            short, long = sorted(page.get_size())
            if short <= 0 or long > 100 * short:
                raise PictureError("The first page of this PDF has no usable size.")
            drawn: Image.Image = page.render(scale=PDF_SIDE / short, may_draw_forms=False).to_pil()
            return drawn.convert("RGB")
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise PictureError("This PDF is protected by a password. Save it without one.") from None
        raise PictureError("This PDF is damaged and cannot be read. Save or download it again.") from None
