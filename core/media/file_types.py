"""File types by content alone: names, extensions and Content-Type may be wrong."""

from __future__ import annotations

import codecs
import re

HEAD = 1024
"""Bytes from the start that are enough to detect the type."""

_USE_JPEG = "cannot be read here. Save it as JPEG or PNG."

NOT_PICTURES = {
    "empty": "an empty file: there is no picture in it.",
    "page": "a web page, not a picture. Use the URL of the picture itself.",
    "svg": "an SVG drawing, which cannot be searched. Export it as PNG.",
    "text": "a text, not a picture.",
    "video": "a video, not a picture. Use a still of it.",
    "photoshop": f"a Photoshop file, which {_USE_JPEG}",
    "zip": "a ZIP or office file, not a picture. Unpack it first.",
    "unknown": "a file of an unsupported type. Use JPEG, PNG, WebP, GIF, AVIF, HEIC, TIFF or BMP.",
}
"""For each type that is not a supported picture, what it is and what to do. Each text follows "This is" or
"example.com answered with"."""

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"%PDF-", "PDF"),
    (b"8BPS", "photoshop"),
    (b"\0\0\0\x0cjP  ", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\xff\x0a", "JXL"),
    (b"\0\0\0\x0cJXL ", "JXL"),
    (b"FUJIFILMCCD-RAW", "RAW"),
    (b"IIU\0", "RAW"),  # Panasonic
    (b"IIRO", "RAW"),  # Olympus
    (b"IIRS", "RAW"),
    (b"MMOR", "RAW"),
    (b"FOVb", "RAW"),  # Sigma
    (b"PK\x03\x04", "zip"),
    (b"\x1a\x45\xdf\xa3", "video"),  # Matroska and WebM
    (b"OggS", "video"),
    (b"FLV\x01", "video"),
    (b"\0\0\x01\xba", "video"),  # MPEG
)

_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}

_PAGE = re.compile(rb"<!doctype html|<(html|head|body|script|meta|title|iframe|div|p|h1)[\s>]", re.IGNORECASE)


def kind_of(data: bytes) -> str:
    """The type of a file by its first HEAD bytes.

    A Pillow format name (JPEG, PNG, GIF, BMP, TIFF, WEBP, AVIF, HEIF, JPEG2000 or JXL), PDF or RAW for a possible
    picture, else a key of NOT_PICTURES.
    """
    head = data[:HEAD]
    if not head:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"AVI "):
        return "WEBP" if head[8:12] == b"WEBP" else "video"
    if head[4:8] == b"ftyp":
        return _kind_of_iso_file(head)
    return _kind_of_text(head)


def _kind_of_iso_file(head: bytes) -> str:
    """AVIF, HEIF and MP4 share a container format whose first box lists the brands (ISO/IEC 14496-12, 4.3)."""
    size = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if b"crx " in brands:  # Canon's CR3
        return "RAW"
    return "HEIF" if brands & _HEIF else "video"


def _kind_of_text(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.decode("utf-16", "ignore").encode()
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if b"\0" in text:
        return "unknown"
    if text.startswith(b"<"):
        # The root element decides: pages may contain drawings, and drawings pages.
        drawing, page = text.lower().find(b"<svg"), _PAGE.search(text)
        if drawing >= 0 and (page is None or drawing < page.start()):
            return "svg"
        return "page" if page or b"<?xml" not in text[:5] else "text"
    printable = sum(byte >= 0x20 or byte in b"\t\r\n\f\x1b" for byte in text)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)  # the head may end inside a character
    except UnicodeDecodeError:
        return "unknown"
    return "text" if printable == len(text) else "unknown"
