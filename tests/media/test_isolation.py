"""Files that starve or crash whoever reads them: a sentence comes back, and the next file is read."""

from __future__ import annotations

import io
import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import pytest
from PIL import Image

from bench.support.data import some_photos
from core.errors import PictureError, PictureTooLargeError
from core.media.decode import read_picture as read_here
from core.media.isolation import pool
from core.media.isolation.dropped import find_pictures, read_files
from core.media.isolation.pool import LISTS, QUERIES, Subject, call, read_picture, stream
from core.settings import Settings

PHOTO = some_photos(1)[0].read_bytes()
SETTINGS = Settings(reader_mb=400, reader_seconds=1, max_file_mb=20)
ANY = Subject("This file", PictureTooLargeError, PictureError)
HERE = "tests.media.test_isolation"


def forever() -> None:
    while True:
        pass


def hungry(megabytes: int) -> int:
    return len(bytearray(megabytes * 1_000_000))


def dying() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def refusal(data: bytes, settings: Settings = SETTINGS) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(data, settings, QUERIES)
    return str(caught.value)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def tiff_with_tile(side: int) -> bytes:
    """A grey TIFF of 32 × 32 pixels in one tile of another size."""
    values = [
        (256, 32),
        (257, 32),
        (258, 8),
        (259, 1),
        (262, 1),
        (277, 1),
        (322, side),
        (323, side),
        (324, 8),
        (325, 4),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values)
    return struct.pack("<2sHI", b"II", 42, 12) + b"\0\0\0\0" + struct.pack("<H", len(values)) + entries + bytes(4)


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there many times."""
    file = io.BytesIO()
    Image.new("L", (64, 64), 128).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


def test_a_picture_is_the_same_from_a_reader_process() -> None:
    here, there = read_here(PHOTO, max_bytes=10**7, max_pixels=10**7), read_picture(PHOTO, SETTINGS, QUERIES)
    assert here.image.tobytes() == there.image.tobytes()
    assert (here.box, here.sha256, here.phash, here.thumbnail) == (
        there.box,
        there.sha256,
        there.phash,
        there.thumbnail,
    )


def test_what_takes_too_long_or_too_much_or_dies_gets_a_sentence_and_the_next_is_read() -> None:
    with pytest.raises(PictureTooLargeError, match="READER_SECONDS"):
        call(HERE, "forever", {}, SETTINGS, QUERIES, ANY)
    with pytest.raises(PictureTooLargeError, match="READER_MB"):
        call(HERE, "hungry", {"megabytes": 900}, SETTINGS, QUERIES, ANY)
    with pytest.raises(PictureError, match="damaged"):
        call(HERE, "dying", {}, SETTINGS, QUERIES, ANY)
    assert call(HERE, "hungry", {"megabytes": 100}, SETTINGS, QUERIES, ANY) == 100_000_000
    assert read_picture(PHOTO, SETTINGS, QUERIES).size == len(PHOTO)


def test_a_stream_can_be_left_early() -> None:
    values = stream(HERE, "numbers", {"count": 1_000}, SETTINGS, LISTS, ANY)
    assert [next(values), next(values)] == [0, 1]
    values.close()  # type: ignore[attr-defined]
    assert list(stream(HERE, "numbers", {"count": 3}, SETTINGS, LISTS, ANY)) == [0, 1, 2]


@pytest.mark.parametrize("side", [20_000, 65_000])
def test_a_tile_far_larger_than_its_picture_is_refused(side: int) -> None:
    assert "tiles" in refusal(tiff_with_tile(side))


def test_a_jpeg_of_very_many_scans_is_refused_at_once() -> None:
    assert read_picture(with_scans(5), SETTINGS, QUERIES).width == 64
    begun = time.process_time()
    assert "scans" in refusal(with_scans(300))
    assert time.process_time() - begun < 0.5


def test_large_flat_pictures_need_memory_and_name_its_setting() -> None:
    flat = png(Image.new("LA", (6000, 5000)))
    assert "READER_MB" in refusal(flat)
    before = psutil.Process().memory_info().rss
    assert read_picture(flat, Settings(reader_mb=1000), QUERIES).width == 6000
    assert psutil.Process().memory_info().rss - before < 50_000_000


def test_idle_processes_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read_picture(PHOTO, SETTINGS, QUERIES)
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.3)
    fresh = pool._Pool()
    monkeypatch.setattr(pool, "_pool", fresh)
    read_picture(PHOTO, SETTINGS, QUERIES)
    (process,) = fresh._idle[QUERIES]
    deadline = time.monotonic() + 10
    while process._child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process._child.poll() is not None


def test_dropped_files_are_read_from_disk_and_from_memory(tmp_path: Path) -> None:
    paths = some_photos(3)
    with paths[0].open("rb") as first:
        files: list[IO[bytes]] = [first, io.BytesIO(paths[1].read_bytes()), io.BytesIO(b"no picture")]
        names = ["one.jpg", "two.jpg", "three.jpg"]
        found = find_pictures(names, files, SETTINGS)
        assert ([file.name for file in found.pictures], [file.name for file in found.refused]) == (names[:2], names[2:])
        read = list(read_files(names, files, found.pictures, SETTINGS))
    assert [file.data for file in read] == [path.read_bytes() for path in paths[:2]]


def test_sixteen_bits_and_noise_come_back_as_they_are() -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (500, 400, 3), dtype=np.uint8))
    assert read_picture(png(noise), SETTINGS, QUERIES).image.tobytes() == noise.tobytes()


@pytest.mark.parametrize(("mode", "lossless"), [("RGB", True), ("RGB", False), ("RGBA", False)])
def test_a_large_webp_gets_the_memory_that_it_needs_and_is_not_called_damaged(mode: str, lossless: bool) -> None:
    file = io.BytesIO()
    Image.new(mode, (6000, 5500), (9, 99, 199, 150)[: len(mode)]).save(file, "WEBP", lossless=lossless, method=0)
    picture = read_picture(file.getvalue(), Settings(_env_file=None), QUERIES)
    assert (picture.width, picture.height) == (6000, 5500)
    assert "READER_MB" in refusal(file.getvalue(), Settings(_env_file=None, reader_mb=100))
