"""A whole query over HTTP, from a picture's bytes to its matches, compared with its two unavoidable parts."""

from __future__ import annotations

import statistics
from functools import partial

import httpx2
from PIL import Image

from bench.report import Report
from bench.search import timed
from bench.support.app import App
from bench.support.collection import fill, spread_like_clip
from bench.support.data import MODEL_SETTING, some_photos
from core.collection.store import Store
from core.database.connection import Database
from core.embedding.encoder import load_encoder
from core.search.nearest import Nearest
from core.settings import Settings

SIZE = 100_000
QUERIES = 40
LIMIT = 100

OF_ITS_PARTS = 1.6
"""How many times as long as the bare forward of one picture and the exact scan together it may take."""


def run(report: Report) -> None:
    """One promise, with what it compares. The model is the small one: beside a larger one the rest weighs less."""
    encoder = load_encoder(MODEL_SETTING)
    photos = some_photos(QUERIES)
    with App() as app, httpx2.Client(base_url=app.url, timeout=60) as client:
        database = Database(Settings(_env_file=None, data_dir=app.folder / "data"))
        database.open()
        try:
            model = Store(database).use_model(encoder.name, encoder.dim)
            fill(database, model, spread_like_clip(SIZE))
            with database.connect() as connection:
                connection.execute("VACUUM ANALYZE")
            nearest = Nearest(database)
            forward, scan, whole = list[float](), list[float](), list[float]()
            for path in [photos[0], *photos]:  # the first is not counted: caches are there from then on
                with Image.open(path) as image:
                    prepared = encoder.prepare(image.convert("RGB"))
                seconds, vectors = timed(partial(encoder.encode_prepared, [prepared]))
                forward.append(seconds)
                scan.append(timed(partial(nearest.search, model, vectors[0], LIMIT, exact=True))[0])
                seconds, answer = timed(
                    partial(client.post, "/api/search", files={"file": path.read_bytes()}, data={"top_k": LIMIT})
                )
                assert len(answer.json()["matches"]) == LIMIT, answer.text
                whole.append(seconds)
        finally:
            database.close()
    bare, scanned, took = (statistics.median(times[1:]) for times in (forward, scan, whole))
    report.note("bare forward of one picture, small model", bare, "ms")
    report.note(f"exact scan of {SIZE:,} pictures, {LIMIT} matches", scanned, "ms")
    report.note("whole query over HTTP", took, "ms")
    report.at_most("whole query over HTTP, of forward and scan", took / (bare + scanned), OF_ITS_PARTS)
