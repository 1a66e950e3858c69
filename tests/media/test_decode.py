from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import imagehash
import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageDraw, ImageOps, ImageStat

from bench.support.data import some_photos
from core.errors import PictureError, PictureTooLargeError
from core.media.decode import MIMES, Picture, read_picture
from core.media.file_types import NOT_PICTURES, kind_of
from core.media.formats.frames import MAX_FRAMES

pillow_heif.register_heif_opener()

MAX_BYTES, MAX_PIXELS = 20_000_000, 50_000_000
PHOTO = some_photos(1)[0]
DAMAGED = "The picture is damaged and cannot be read. Save or download it again."
CUT_OFF = "The picture's file is truncated. Save or download it again."


def read(data: bytes) -> Picture:
    return read_picture(data, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def plain(mode: str = "RGB", color: Any = (200, 30, 60), size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new(mode, size, color)


def pixel(data: bytes, at: tuple[int, int] = (20, 20)) -> tuple[int, int, int]:
    found = read(data).image.getpixel(at)
    assert isinstance(found, tuple)
    red, green, blue = found
    return red, green, blue


def close(found: tuple[int, ...], expected: tuple[int, ...], within: int = 4) -> bool:
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= within


def photo(width: int = 300, height: int = 200) -> Image.Image:
    with Image.open(PHOTO) as image:
        return image.convert("RGB").resize((width, height))


FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "HEIF": "image/heif",
}


@pytest.mark.parametrize(("format", "mime"), FORMATS.items())
def test_every_kind_is_read(format: str, mime: str) -> None:
    data = saved(photo(), format)
    picture = read(data)
    assert (picture.mime, picture.size, picture.width, picture.height) == (mime, len(data), 300, 200)
    assert picture.image.mode == "RGB"
    assert picture.image.size == (300, 200)
    difference = np.abs(np.asarray(picture.image, float) - np.asarray(photo(), float)).mean()
    assert difference < (14 if format == "GIF" else 8)


def test_a_picture_that_says_it_holds_several_is_its_first() -> None:
    two = saved(plain(), "MPO", save_all=True, append_images=[plain(color="blue")])
    assert read(two).mime == "image/jpeg"
    assert close(pixel(two), (200, 30, 60))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_an_animation_the_first_picture_counts(format: str) -> None:
    frames = [plain(color="red"), plain(color="blue"), plain(color="green")]
    assert close(pixel(saved(frames[0], format, save_all=True, append_images=frames[1:])), (255, 0, 0), 6)


def animated(format: str, *frames: Image.Image) -> bytes:
    return saved(frames[0], format, save_all=True, append_images=frames[1:], duration=90)


@pytest.mark.parametrize("colour", ["black", "white", None], ids=["black", "white", "transparent"])
@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_a_blank_start_of_an_animation_is_passed_over(format: str, colour: str | None) -> None:
    blank = Image.new("RGBA", (300, 200), colour or (0, 0, 0, 0))
    faint = Image.blend(blank.convert("RGB"), photo(), 0.02)
    data = animated(format, blank, faint.convert("RGBA"), photo().convert("RGBA"))
    difference = np.abs(np.asarray(read(data).image, float) - np.asarray(photo(), float)).mean()
    assert difference < (14 if format == "GIF" else 8)


def test_a_first_frame_that_shows_something_counts() -> None:
    """However little: a light dot on black is what the animation is about."""
    dot = plain(color="black", size=(300, 200))
    dot.paste("white", (100, 100, 130, 130))
    assert np.array_equal(np.asarray(read(animated("PNG", dot, photo())).image), np.asarray(dot))


def test_of_frames_that_are_all_blank_the_one_that_shows_most_counts() -> None:
    frames = [plain(color="black", size=(300, 200)) for _ in range(4)]
    frames[2].paste("white", (0, 0, 10, 10))
    assert np.array_equal(np.asarray(read(animated("PNG", *frames)).image), np.asarray(frames[2]))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_frames_are_looked_at_within_the_limit_on_pixels(format: str) -> None:
    blank = [plain(color=colour, size=(300, 200)) for colour in ("black", "red", "blue")]
    data = animated(format, *blank, photo())
    found = [read_picture(data, max_bytes=MAX_BYTES, max_pixels=frames * 60_000).image for frames in (3, 4)]
    assert [max(ImageStat.Stat(image).stddev) > 10 for image in found] == [False, True]


def test_a_long_blank_start_ends_the_search() -> None:
    frames = [plain(color=(0, number % 8, number // 8), size=(32, 32)) for number in range(MAX_FRAMES)]
    late, just = (animated("PNG", *frames[:blank], photo(32, 32)) for blank in (MAX_FRAMES, MAX_FRAMES - 1))
    assert [max(ImageStat.Stat(read(data).image).stddev) > 10 for data in (late, just)] == [False, True]


@pytest.mark.parametrize("format", ["GIF", "PNG"])
def test_an_animation_that_breaks_off_is_what_came_before(format: str) -> None:
    data = animated(format, plain(color="white", size=(300, 200)), photo())
    assert close(pixel(data[: len(data) * 2 // 3]), (255, 255, 255))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(format: str, orientation: int) -> None:
    quarters = Image.new("RGB", (96, 64))
    for color, at in {"red": (0, 0), "lime": (48, 0), "blue": (0, 32), "white": (48, 32)}.items():
        quarters.paste(Image.new("RGB", (48, 32), color), at)
    # What a camera stores is the upright picture turned back.
    back = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = back
    turned = quarters.copy()
    turned.getexif().update(exif)
    stored = ImageOps.exif_transpose(turned)
    exif[ExifTags.Base.Orientation] = orientation
    picture = read(saved(stored, format, exif=exif.tobytes()))
    assert (picture.width, picture.height) == (96, 64)
    corners = [picture.image.getpixel(at) for at in [(20, 15), (76, 15), (20, 48), (76, 48)]]
    for found, expected in zip(corners, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], strict=True):
        assert isinstance(found, tuple)
        assert close(found, expected, 12)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_the_box_of_a_reduced_photo_is_where_the_whole_one_is(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = saved(photo(299, 443), format, exif=exif.tobytes())
    small, whole = (read_picture(data, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS, side=side) for side in (37, 999))
    assert min(small.image.size) < 70
    left, top, right, bottom = small.box
    assert (right - left) / (bottom - top) == pytest.approx(whole.image.width / whole.image.height)
    ours, all_of_it, true = (
        np.asarray(image.resize((20, 20), Image.Resampling.BICUBIC, box), np.float32)
        for image, box in ((small.image, small.box), (small.image, None), (whole.image, whole.box))
    )
    assert np.abs(ours - true).mean() < 0.6 * np.abs(all_of_it - true).mean()


def test_a_turned_large_photo_has_its_upright_size() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture = read(saved(photo(3000, 2000), "JPEG", exif=exif.tobytes()))
    assert (picture.width, picture.height) == (2000, 3000)
    assert picture.image.size == (500 * 2, 750 * 2)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0nonsense"]
)
def test_broken_exif_does_no_harm(exif: bytes) -> None:
    assert read(saved(plain(), "JPEG", exif=exif)).width == 64


def transparent(mode: str) -> Image.Image:
    """A picture whose every pixel is see-through and hides red, or black."""
    if mode == "P":
        image = plain("P", 0)
        image.putpalette([255, 0, 0, 0, 0, 255])
        image.info["transparency"] = 0
        return image
    return plain(mode, {"RGBA": (255, 0, 0, 0), "LA": (0, 0)}[mode])


@pytest.mark.parametrize(
    ("mode", "format"), [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"), ("RGBA", "AVIF")]
)
def test_what_is_transparent_is_white(mode: str, format: str) -> None:
    assert close(pixel(saved(transparent(mode), format)), (255, 255, 255))


def drawn(colour: tuple[int, int, int, int], size: int = 300) -> Image.Image:
    """A disc on nothing, smooth at its edge as a logo is."""
    mask = Image.new("L", (4 * size, 4 * size), 0)
    ImageDraw.Draw(mask).ellipse((size, size, 3 * size, 3 * size), fill=colour[3])
    image = Image.new("RGBA", (size, size), (*colour[:3], 0))
    image.putalpha(mask.resize((size, size), Image.Resampling.LANCZOS))
    return image


@pytest.mark.parametrize("format", ["PNG", "WEBP", "AVIF"])
def test_a_white_drawing_on_nothing_is_put_on_grey(format: str) -> None:
    data = saved(drawn((250, 255, 255, 255)), format)
    assert close(pixel(data, (150, 150)), (250, 255, 255), 6)
    assert close(pixel(data, (5, 5)), (64, 64, 64), 6)


@pytest.mark.parametrize("colour", [(0, 0, 0, 255), (200, 30, 60, 255), (128, 128, 128, 255), (0, 0, 0, 0)])
def test_any_other_drawing_on_nothing_is_put_on_white(colour: tuple[int, int, int, int]) -> None:
    assert pixel(saved(drawn(colour), "PNG"), (5, 5)) == (255, 255, 255)


def test_a_white_page_with_round_corners_stays_on_white() -> None:
    page = Image.new("RGBA", (300, 400), "white")
    page.paste((0, 0, 0, 0), (0, 0, 10, 10))
    assert pixel(saved(page, "PNG"), (5, 5)) == (255, 255, 255)


def test_a_drawing_white_only_in_part_stays_on_white() -> None:
    image = drawn((255, 255, 255, 255))
    image.paste((180, 0, 0, 255), (140, 140, 180, 180))
    assert pixel(saved(image, "PNG"), (5, 5)) == (255, 255, 255)


def test_half_transparent_red_is_pink() -> None:
    assert close(pixel(saved(plain("RGBA", (255, 0, 0, 128)), "PNG")), (255, 127, 127))


@pytest.mark.parametrize(
    ("values", "format", "expected"),
    [
        (np.full((48, 64), 40000, np.uint16), "PNG", 155),
        (np.full((48, 64), 200, np.uint16), "PNG", 0),
        (np.full((48, 64), 40000, np.uint16), "TIFF", 155),
        (np.full((48, 64), 40000, ">u2"), "TIFF", 155),
        (np.full((48, 64), 0.5, np.float32), "TIFF", 127),
        (np.full((48, 64), 128, np.int32), "TIFF", 128),
        (np.full((48, 64), 1 << 20, np.int32), "TIFF", 255),
    ],
)
def test_deep_grey_keeps_its_shade(values: np.ndarray[Any, Any], format: str, expected: int) -> None:
    assert close(pixel(saved(Image.fromarray(values), format)), (expected,) * 3, 1)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_simple_modes(mode: str) -> None:
    image = plain("L", 255).convert(mode)
    assert close(pixel(saved(image, "PNG")), (255, 255, 255))


def test_cmyk_is_red_where_it_is_red() -> None:
    assert close(pixel(saved(plain("CMYK", (0, 255, 255, 0)), "TIFF")), (255, 0, 0))


def test_adobe_cmyk_is_stored_inverted_and_read_right() -> None:
    data = saved(plain("CMYK", (0, 255, 255, 0)), "JPEG", quality=95)
    assert b"Adobe" in data[:100]
    assert close(pixel(data), (255, 0, 0), 8)


def swapped_profile() -> bytes:
    """sRGB with the tags of red and blue exchanged, so that applying it cannot be missed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_a_colour_profile_is_applied() -> None:
    red, _, blue = pixel(saved(plain(color=(255, 0, 0)), "PNG", icc_profile=swapped_profile()))
    assert blue > 200 > red


def test_a_profile_of_srgb_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert pixel(saved(plain(), "PNG", icc_profile=profile)) == (200, 30, 60)


@pytest.mark.parametrize(
    "profile",
    [b"no profile", swapped_profile()[:200], ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()],
)
def test_a_bad_profile_does_no_harm(profile: bytes) -> None:
    assert pixel(saved(plain(), "PNG", icc_profile=profile)) == (200, 30, 60)


def test_the_picture_is_reduced_but_never_below_what_a_model_needs() -> None:
    for format in ("JPEG", "PNG"):
        picture = read(saved(photo(4000, 3000), format))
        assert 512 <= min(picture.image.size) < 1024
        assert (picture.width, picture.height) == (4000, 3000)
    assert read(saved(photo(700, 600), "JPEG")).image.size == (700, 600)


def test_the_thumbnail_is_a_small_jpeg() -> None:
    picture = read(saved(photo(1200, 800), "PNG", icc_profile=swapped_profile()))
    assert picture.thumbnail_mime == "image/jpeg"
    with Image.open(io.BytesIO(picture.thumbnail)) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("JPEG", (384, 256))
        assert "icc_profile" not in thumbnail.info
    small = read(saved(photo(100, 60), "PNG"))
    with Image.open(io.BytesIO(small.thumbnail)) as thumbnail:
        assert thumbnail.size == (100, 60)


def test_hashes_are_those_of_the_libraries() -> None:
    picture = read(PHOTO.read_bytes())
    assert min(picture.image.size) < 256  # so that the thumbnail, which is hashed, has the same pixels
    assert f"{picture.phash & 0xFFFF_FFFF_FFFF_FFFF:016x}" == str(imagehash.phash(picture.image))
    assert picture.sha256.hex() == hashlib.sha256(PHOTO.read_bytes()).hexdigest()


def test_the_perceptual_hash_knows_copies_and_fits_a_bigint() -> None:
    pictures = [read(path.read_bytes()) for path in some_photos(40)]
    assert all(-(2**63) <= picture.phash < 2**63 for picture in pictures)
    assert any(picture.phash < 0 for picture in pictures)
    assert read(saved(plain(color="black"), "PNG")).phash == 0
    for picture in pictures:
        copy = read(saved(picture.image.resize((400, 300)), "JPEG", quality=70))
        nearest = min(pictures, key=lambda other: ((other.phash ^ copy.phash) & 0xFFFF_FFFF_FFFF_FFFF).bit_count())
        assert nearest is picture


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that declares a size, in 8-bit RGB."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), *chunks, (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


ZEROS = zlib.compress(bytes(300_000_000 // 3))
FTYP_MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42"
TOO_MANY = "The picture has more than the 50 million pixels that MAX_MEGAPIXELS allows: make it smaller."

HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "This is an empty file: there is no picture in it."),
    "page": (
        b"\n <!DOCTYPE html><html><body>404</body></html>",
        "This is a web page, not a picture. Use the URL of the picture itself.",
    ),
    "page with a drawing": (
        b"<html><body><svg></svg></body></html>",
        "This is a web page, not a picture. Use the URL of the picture itself.",
    ),
    "svg": (
        b'<?xml version="1.0"?><!-- made --><svg xmlns="http://www.w3.org/2000/svg"/>',
        "This is an SVG drawing, which cannot be searched. Export it as PNG.",
    ),
    "svg in utf-16": (
        '<svg xmlns="http://www.w3.org/2000/svg"/>'.encode("utf-16"),
        "This is an SVG drawing, which cannot be searched. Export it as PNG.",
    ),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "This is a text, not a picture."),
    "json": (b'{"error": "not found"}', "This is a text, not a picture."),
    "text": ("Größe: unbekannt\n".encode() * 99, "This is a text, not a picture."),
    "pdf": (b"%PDF-1.7\n...", "This PDF is damaged and cannot be read. Save or download it again."),
    "mp4": (FTYP_MP4, "This is a video, not a picture. Use a still of it."),
    "webm": (b"\x1a\x45\xdf\xa3\x01\0\0", "This is a video, not a picture. Use a still of it."),
    "photoshop": (
        b"8BPS\0\x01",
        "This is a Photoshop file, which cannot be read here. Save it as JPEG or PNG.",
    ),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", DAMAGED),
    "jpeg xl": (b"\xff\x0a" + bytes(99), DAMAGED),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "This is a text, not a picture."),
    "zip": (b"PK\x03\x04\x14\0", "This is a ZIP or office file, not a picture. Unpack it first."),
    "junk": (
        bytes(range(256)),
        "This is a file of an unsupported type. Use JPEG, PNG, WebP, GIF, AVIF, HEIC, TIFF or BMP.",
    ),
    "two bytes": (b"\xff\xd8", NOT_PICTURES["unknown"]),
    "jpeg head": (b"\xff\xd8\xff\xe0" + bytes(40), DAMAGED),
    "one pixel": (
        saved(plain(size=(1, 1)), "GIF"),
        "The picture is too small (1 × 1 pixels): it needs 16 on each side.",
    ),
    "thread": (
        saved(plain(size=(16, 900)), "PNG"),
        "The picture is too narrow (16 × 900 pixels): its long side may be 50 times its short one. Crop it.",
    ),
    "declared bomb": (png(12_000, 12_000, (b"IDAT", zlib.compress(b"\0"))), TOO_MANY),
    "real bomb": (png(6_000, 9_000, (b"IDAT", ZEROS)), TOO_MANY),
    "giant bomb": (png(60_000, 60_000, (b"IDAT", zlib.compress(b"\0"))), TOO_MANY),
    "gif canvas": (b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;", TOO_MANY),
    "text bomb": (png(64, 64, (b"zTXt", b"k\0\0" + ZEROS), (b"IDAT", zlib.compress(b"\0"))), DAMAGED),
    "no pixels": (png(64, 64, (b"IDAT", zlib.compress(b"\0" * 99))), CUT_OFF),
    "checksum": (saved(plain(), "PNG").replace(b"IHDR\0\0\0\x40", b"IHDR\0\0\0\x41"), DAMAGED),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_usable_picture_gets_one_sentence(name: str) -> None:
    data, sentence = HOSTILE[name]
    with pytest.raises(PictureError) as caught:
        read(data)
    assert sentence in str(caught.value)
    assert isinstance(caught.value, PictureTooLargeError) == (sentence == TOO_MANY)


def test_too_many_bytes() -> None:
    with pytest.raises(PictureTooLargeError) as caught:
        read_picture(bytes(2_500_000), max_bytes=2_000_000, max_pixels=MAX_PIXELS)
    assert str(caught.value) == "The file has 2.5 MB, and MAX_FILE_MB allows 2: make it smaller."


def test_a_bomb_is_refused_quietly_where_warnings_are_not_errors() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(PictureTooLargeError):
            read(HOSTILE["declared bomb"][0])
    assert not heard


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_half_a_picture_is_no_picture(format: str, share: float) -> None:
    data = saved(photo(), format)
    with pytest.raises(PictureError) as caught:
        read(data[: int(len(data) * share)])
    assert str(caught.value) in (CUT_OFF, DAMAGED)
    if format in ("JPEG", "PNG", "BMP", "GIF"):
        assert str(caught.value) == CUT_OFF


SEEDS: dict[str, Callable[[], bytes]] = {
    **{format: partial(lambda format: saved(photo(120, 90), format), format) for format in FORMATS},
    "progressive": lambda: saved(photo(120, 90), "JPEG", progressive=True),
    "palette": lambda: saved(photo(120, 90).convert("P"), "PNG", transparency=3),
    "lzw": lambda: saved(photo(120, 90), "TIFF", compression="tiff_lzw"),
    "jpeg in tiff": lambda: saved(photo(120, 90), "TIFF", compression="jpeg"),
    "profile": lambda: saved(photo(120, 90), "JPEG", icc_profile=swapped_profile()),
    "animation": lambda: saved(photo(60, 50), "GIF", save_all=True, append_images=[plain(size=(60, 50))]),
}


@pytest.fixture(scope="module")
def seeds() -> dict[str, bytes]:
    return {name: make() for name, make in SEEDS.items()}


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(choices=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=8))
def test_mutated_files_give_a_picture_or_a_picture_error(
    seeds: dict[str, bytes], name: str, choices: list[tuple[float, bytes]]
) -> None:
    data = bytearray(seeds[name])
    for where, new in choices:
        at = int(where**3 * (len(data) - 1))  # headers are where decoders can be fooled
        data[at : at + len(new)] = new
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow says of odd metadata does not concern this
        try:
            picture = read(bytes(data))
        except PictureError as error:
            assert str(error).endswith(".")
        else:
            assert picture.image.mode == "RGB"
            assert picture.width * picture.height <= MAX_PIXELS


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_any_bytes_have_a_kind(data: bytes) -> None:
    assert kind_of(data) in {*NOT_PICTURES, *MIMES}
