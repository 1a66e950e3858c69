"""Formats of archives, cameras and screens, and what is refused of them."""

from __future__ import annotations

import io

import numpy as np
import pypdfium2
import pytest
from PIL import Image, TiffImagePlugin

from bench.support.data import some_photos
from core.errors import PictureError
from core.media.decode import Picture, read_picture
from core.media.formats.documents import RAW_ALONE
from core.media.formats.hdr import HLG, PQ, as_sdr

PHOTO = Image.open(io.BytesIO(some_photos(1)[0].read_bytes())).convert("RGB")


def read(data: bytes) -> Picture:
    return read_picture(data, max_bytes=10**8, max_pixels=5 * 10**8)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_may_lack_its_end_but_nothing_of_its_picture(progressive: bool) -> None:
    whole = saved(PHOTO, "JPEG", quality=90, progressive=progressive)
    expected = read(whole).image.tobytes()
    for cut in (1, 2):
        assert read(whole[:-cut]).image.tobytes() == expected
    for cut in (40, len(whole) // 3):
        with pytest.raises(PictureError, match="truncated"):
            read(whole[:-cut])


@pytest.mark.parametrize(("format", "mime"), [("JPEG2000", "image/jp2"), ("JXL", "image/jxl")])
def test_formats_of_archives(format: str, mime: str) -> None:
    read(saved(PHOTO.resize((32, 32)), "PNG"))
    import pillow_jxl  # noqa: F401  to save

    picture = read(saved(PHOTO, format))
    assert (picture.width, picture.height, picture.mime) == (*PHOTO.size, mime)
    difference = np.abs(np.asarray(picture.image, float) - np.asarray(PHOTO.reduce(1), float).clip(0, 255))
    assert picture.image.size == PHOTO.size
    assert difference.mean() < 8


def test_a_large_jpeg_is_decoded_reduced_and_a_scroll_kept() -> None:
    large = read(saved(Image.new("L", (16_000, 12_500), 99), "JPEG"))
    assert (large.width, large.height) == (16_000, 12_500)
    assert large.image.width * large.image.height < 8_000_000
    scroll = read(saved(Image.new("RGB", (25_000, 700), "teal"), "JPEG"))
    assert (scroll.width, scroll.height) == (25_000, 700)
    assert scroll.image.width * scroll.image.height < 10_000_000


def test_the_first_page_of_a_pdf_is_a_picture() -> None:
    document = pypdfium2.PdfDocument.new()
    document.new_page(300, 400)
    document.new_page(900, 200)
    file = io.BytesIO()
    document.save(file)
    document.close()
    picture = read(file.getvalue())
    assert (picture.mime, picture.width, picture.height) == ("application/pdf", 1600, 2134)
    assert picture.image.getpixel((9, 9)) == (255, 255, 255)
    with pytest.raises(PictureError, match="PDF is damaged"):
        read(file.getvalue()[:60])


def test_a_raw_is_never_taken_as_its_small_preview() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[50706] = b"\1\4\0\0"
    with pytest.raises(PictureError) as caught:
        read(saved(PHOTO.resize((160, 120)), "TIFF", tiffinfo=tags))
    assert str(caught.value) == RAW_ALONE
    for camera in (b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"):
        with pytest.raises(PictureError, match="camera RAW"):
            read(camera + bytes(500))


def test_a_high_dynamic_range_becomes_what_a_screen_shows() -> None:
    """Paper white is at 203 cd/m²: 58 % of PQ, 75 % of HLG (ITU-R BT.2408)."""
    for transfer, white in ((PQ, 0.58069), (HLG, 0.75)):
        ramp = Image.new("RGB", (32, 32), (round(white * 255),) * 3)
        shown = np.asarray(as_sdr(ramp, transfer), float)
        assert shown.min() > 246
        assert np.asarray(as_sdr(Image.new("RGB", (32, 32)), transfer)).max() == 0


def test_a_file_that_says_it_is_pq_is_mapped() -> None:
    plain = saved(Image.new("RGB", (64, 64), (148, 148, 148)), "AVIF", quality=95)
    at = plain.index(b"colrnclx")
    assert np.asarray(read(plain).image).mean() < 160
    pq = plain[: at + 10] + PQ.to_bytes(2, "big") + plain[at + 12 :]
    assert np.asarray(read(pq).image).mean() > 240
