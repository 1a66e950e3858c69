"""How long it takes to group duplicates, how that grows with the collection, and how many true ones are found."""

from __future__ import annotations

import io
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

import numpy as np
import psutil
from PIL import Image, ImageOps

from bench.parts import folder, running_engine
from bench.report import Report
from bench.support.collection import fill, spread_like_clip
from bench.support.data import some_photos
from core.collection.store import NewPicture, Store
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector
from core.duplicates.comparison_job import Comparisons
from core.duplicates.groups import Duplicates, KeepRule
from core.duplicates.near_copies import pair
from core.duplicates.similarity_join import find_pairs
from core.duplicates.star_grouping import Group
from core.engine import Engine
from core.media.decode import read_picture
from core.media.urls import key_of
from core.search.nearest import Nearest
from core.settings import Settings

SIZES = (10_000, 100_000)
TWINS = 0.05
"""Share of the pictures that have a copy or look-alike."""

THRESHOLD = 0.9
PHOTOS = 200

MOST_GROWTH = 12.0
SLOWER = 3.0
"""How many times as long a search may take while pictures are compared, at the median."""


def run(report: Report) -> None:
    """Quality on real photos, then time and growth on collections with CLIP's spread."""
    quality(report)
    recall(report)
    copies, lookalikes = zip(*(times(report, size) for size in SIZES), strict=True)
    report.note("copies: growth from 10,000 to 100,000 pictures", copies[1] / copies[0], "×")
    report.note("look-alikes: growth from 10,000 to 100,000 pictures", lookalikes[1] / lookalikes[0], "×")
    growth = (copies[1] + lookalikes[1]) / (copies[0] + lookalikes[0])
    report.at_most("grouping of both: growth from 10,000 to 100,000 pictures", growth, MOST_GROWTH)


def planted(count: int) -> Vector:
    """Vectors with CLIP's spread; TWINS of them have a near one in the second half, at a cosine of 0.9 to 0.999."""
    vectors, chance = spread_like_clip(count), np.random.default_rng(1)
    twins = int(count * TWINS)
    cosines = chance.uniform(0.9, 0.999, twins).astype(np.float32)[:, None]
    one, away = vectors[:twins], spread_like_clip(twins, seed=2)
    away -= away.mean(0)
    away -= np.sum(away * one, axis=1, keepdims=True) * one
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    vectors[count - twins :] = cosines * one + np.sqrt(1 - cosines**2) * away
    return vectors


def recall(report: Report) -> None:
    """Against the comparison of each with each in all dimensions."""
    halves = planted(SIZES[0]).astype(np.float16)
    whole = halves.astype(np.float32)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    begun = time.perf_counter()
    true = set(zip(*(places.tolist() for places in np.nonzero(np.triu(whole @ whole.T, 1) >= THRESHOLD)), strict=True))
    report.note(f"{SIZES[0]:,} pictures: each with each in all dimensions", time.perf_counter() - begun, "s")
    begun = time.perf_counter()
    found = find_pairs(halves, THRESHOLD, lambda _: None)
    report.note(f"{SIZES[0]:,} pictures: pairs of look-alikes", time.perf_counter() - begun, "s")
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    report.at_least(
        f"{SIZES[0]:,} pictures: recall of pairs from {THRESHOLD:.0%}", len(true & pairs) / len(true), 0.99, ""
    )


def times(report: Report, size: int) -> tuple[float, float]:
    """Seconds to group the copies, and to find and group the look-alikes, of a collection of that size."""
    vectors = planted(size)
    with folder() as path:
        database = Database(Settings(_env_file=None, data_dir=path))
        database.open()
        try:
            store, duplicates, comparisons = Store(database), Duplicates(database), Comparisons(database)
            model = store.use_model("bench/spread", vectors.shape[1])
            ids = fill(database, model, vectors)
            _hashes(database, ids)
            with database.connect() as connection:
                connection.execute("VACUUM ANALYZE")
            begun = time.perf_counter()
            while pair(database):
                pass
            each = (time.perf_counter() - begun) / size
            report.note(f"{size:,} pictures: to find a picture's copies, as it comes", 1e3 * each, "ms")
            begun = time.perf_counter()
            groups = len(duplicates.copies(KeepRule()))
            copies = time.perf_counter() - begun
            report.note(f"{size:,} pictures: {groups:,} groups of copies", copies, "s")
            nearest = Nearest(database)
            before = statistics.median(_searches(nearest, model, vectors, lambda count: count == 30))
            samples = list[int]()
            _record_memory(samples)
            comparisons.ask(model, THRESHOLD)
            begun = time.perf_counter()
            comparisons.run(model, partial(_record_memory, samples))
            groups = len(duplicates.lookalikes(model, THRESHOLD, KeepRule()))
            lookalikes = time.perf_counter() - begun
            report.note(f"{size:,} pictures: {groups:,} groups of look-alikes", lookalikes, "s")
            report.note(f"{size:,} pictures: memory that the comparison takes", (max(samples) - samples[0]) / 1e6, "MB")
            found = _pairs(database)
            twins = int(size * TWINS)
            cosines = np.sum(vectors[:twins] * vectors[size - twins :], axis=1)
            true = [frozenset((ids[at], ids[size - twins + at])) for at in np.flatnonzero(cosines > THRESHOLD + 1e-3)]
            report.at_least(f"{size:,} pictures: recall of planted pairs", len(found & set(true)) / len(true), 0.99, "")
            comparisons.ask(model, THRESHOLD)
            with _background(comparisons, model) as working:
                during = _searches(nearest, model, vectors, lambda _: not working())
            if len(during) > 10:
                report.at_most(
                    f"{size:,} pictures: a search beside the comparison, p50",
                    statistics.median(during) / before,
                    SLOWER,
                )
            return copies, lookalikes
        finally:
            database.close()


def _record_memory(samples: list[int]) -> bool:
    """Record this process's memory, and never stop the work."""
    samples.append(psutil.Process().memory_info().rss)
    return False


def _pairs(database: Database) -> set[frozenset[UUID]]:
    with database.connection() as connection:
        return {frozenset(row) for row in connection.execute("SELECT picture, other FROM lookalikes")}


def _hashes(database: Database, ids: list[UUID]) -> None:
    """Give pictures random perceptual hashes, and TWINS of them one near to another's; no look-alikes are copies."""
    chance = np.random.default_rng(3)
    hashes = chance.integers(-(2**63), 2**63, len(ids), np.int64)
    twins = int(len(ids) * TWINS)
    hashes[len(ids) - twins :] = hashes[:twins][::-1] ^ (1 << chance.integers(0, 62, twins))
    with database.connection() as connection:
        connection.execute(
            "UPDATE pictures SET phash = new.phash FROM unnest(%s::uuid[], %s::bigint[]) AS new (id, phash) "
            "WHERE pictures.id = new.id",
            (ids, hashes.tolist()),
        )
        connection.execute("INSERT INTO unpaired SELECT unnest(%s::uuid[])", (ids,))


@contextmanager
def _background(comparisons: Comparisons, model: Model) -> Iterator[Callable[[], bool]]:
    """Run the comparison as the app does, in a thread of low priority."""
    from core.process import step_aside

    def work() -> None:
        step_aside()
        comparisons.run(model, lambda: False)

    thread = threading.Thread(target=work)
    thread.start()
    yield thread.is_alive
    thread.join()


def _searches(nearest: Nearest, model: Model, vectors: Vector, enough: Callable[[int], bool]) -> list[float]:
    """The seconds of searches, one after the other until there are enough."""
    seconds = list[float]()
    while not enough(len(seconds)):
        begun = time.perf_counter()
        nearest.search(model, vectors[len(seconds) % len(vectors)], 100)
        seconds.append(time.perf_counter() - begun)
    return seconds


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed": lambda photo: photo,
    "resized": lambda photo: photo.resize(
        (max(32, photo.width // 2), max(32, photo.height // 2)), Image.Resampling.LANCZOS
    ),
    "cropped": lambda photo: ImageOps.crop(photo, photo.width // 12),
    "mirrored": ImageOps.mirror,
}
COPIES = ("recompressed", "resized")


def quality(report: Report) -> None:
    """Doubles planted among photos, as the two tabs show them."""
    with running_engine() as engine:
        planted_as = plant(engine, PHOTOS)
        groups = engine.duplicates.copies(KeepRule())
        precision, recalls = judge(groups, planted_as)
        report.at_least("copies: precision", precision, 0.98, "")
        for change in COPIES:
            report.at_least(f"copies: recall, {change}", recalls[change], 0.95, "")
        model = engine.model()
        for threshold in (0.95, 0.9, 0.85):
            engine.comparisons.ask(model, threshold)
            while engine.comparisons.read(model).wanted is not None:
                time.sleep(0.2)
            precision, recalls = judge(engine.duplicates.lookalikes(model, threshold, KeepRule()), planted_as)
            report.note(f"look-alikes from {threshold:.0%}: precision", precision, "")
            for change in CHANGES.keys() - COPIES:
                report.note(f"look-alikes from {threshold:.0%}: recall, {change}", recalls[change], "")


def plant(engine: Engine, count: int) -> dict[UUID, tuple[int, str]]:
    """Index photos and a double of each for every change; returns which photo each picture is made from, and how."""
    planted_as = dict[UUID, tuple[int, str]]()
    in_use = engine.serving()
    for number, path in enumerate(some_photos(count)):
        photo = Image.open(path).convert("RGB")
        files = {"": path.read_bytes(), **{name: _jpeg(change(photo)) for name, change in CHANGES.items()}}
        pictures = [read_picture(data, max_bytes=10**8, max_pixels=10**8) for data in files.values()]
        vectors = in_use.encoder.encode_pictures([picture.image for picture in pictures])
        new = list[NewPicture]()
        for name, picture, vector in zip(files, pictures, vectors, strict=True):
            url = f"https://a.example/{number}-{name.replace(' ', '-')}.jpg"
            new.append(NewPicture(key_of(url), url, picture, vector))
            planted_as[new[-1].id] = number, name
        with engine.database.connection() as connection:
            engine.store.add(connection, in_use.model, new)
    while pair(engine.database) or engine.duplicates.unpaired():
        pass
    return planted_as


def judge(groups: list[Group], planted_as: dict[UUID, tuple[int, str]]) -> tuple[float, dict[str, float]]:
    """The share of a group's members that are made from the same photo as its keeper, and for each change the share
    of doubles that are in a group with another picture of their photo."""
    right, found = list[bool](), dict[str, set[int]]()
    for group in groups:
        photo, how = planted_as[group.keeper]
        for member in group.members:
            same = planted_as[member.picture][0] == photo
            right.append(same)
            if same:
                found.setdefault(how, set()).add(photo)
                found.setdefault(planted_as[member.picture][1], set()).add(photo)
    photos = len({number for number, _ in planted_as.values()})
    return statistics.mean(right or [0]), {name: len(found.get(name, ())) / photos for name in CHANGES}


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return buffer.getvalue()
