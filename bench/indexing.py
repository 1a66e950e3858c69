"""The speed of indexing, compared with that of the bare model and of a plain loop."""

from __future__ import annotations

import statistics
import time

import torch
from PIL import Image

from bench.parts import index, random_vit, running_engine
from bench.plain import pictures_per_second, plain_loop
from bench.profile import Profile
from bench.report import Report
from bench.site import Site
from bench.support.data import MODEL_SETTING, some_photos
from core.embedding.encoder import ClipEncoder
from core.indexing.pipeline import BATCH

BARE = 4 * BATCH
"""Pictures in one measurement of the bare forward; one is taken before and after every import."""

PLAIN = 64
"""Pictures in one measurement of the plain loop, which follows every import."""


def run(report: Report) -> None:
    """The rows of both models."""
    with Site() as site, random_vit() as vit:
        _model(report, site, "ViT-B-32", vit, photos=1_000, rounds=2)
        _model(report, site, "small model", MODEL_SETTING, photos=1_000, rounds=3)


def _model(report: Report, site: Site, name: str, clip_model: str, photos: int, rounds: int) -> None:
    bare, ours, loop, ratios, gains = list[float](), list[float](), list[float](), list[float](), list[float]()
    with running_engine(clip_model) as engine, plain_loop(clip_model) as plain:
        encoder = engine.model_selection.loader.get()
        assert isinstance(encoder, ClipEncoder)
        batches = _batches(encoder)
        index(engine, site.urls(0, BATCH))  # connections, caches and threads are there from now on
        first = BATCH
        bare.append(_bare(encoder, batches))
        with Profile(engine) as profile:
            for _ in range(rounds):
                begun = profile.start()
                seconds, entry = index(engine, site.urls(first, photos))
                profile.stop(begun)
                assert entry.indexed == photos, entry
                first += photos
                ours.append(photos / seconds)
                bare.append(_bare(encoder, batches))
                ratios.append(ours[-1] / statistics.mean(bare[-2:]))
                urls = site.urls(first, PLAIN)
                loop.append(plain.submit(pictures_per_second, engine.database.conninfo, urls).result())
                first += PLAIN
                gains.append(ours[-1] / loop[-1])
    row = f"{name}, {encoder.precision}: bare forward in batches of {encoder.slice}"
    report.note(row, statistics.median(bare), "images/s")
    report.note(f"{name}: {photos:,} photos indexed end to end", statistics.median(ours), "images/s")
    report.note(f"{name}: plain loop", statistics.median(loop), "images/s")
    ratio, row = statistics.median(ratios), f"{name}: indexing {photos:,} photos, of the bare forward's speed"
    if clip_model == MODEL_SETTING:
        report.note(row, ratio, "×")  # no promise: the profile shows the bottleneck
    else:
        report.at_least(row, ratio, 0.90)
    report.at_least(f"{name}: indexing against a plain loop", statistics.median(gains), 4)
    for stage, seconds in profile.seconds.items():
        report.note(f"{name}: core time of {stage}", seconds * 1e3 / (photos * rounds), "ms/image")


def _batches(encoder: ClipEncoder) -> list[torch.Tensor]:
    """BARE prepared photos as the model takes them, in batches of its own size and precision."""
    prepared = [encoder.prepare(Image.open(path).convert("RGB")) for path in some_photos(BARE)]
    return [encoder.batch(prepared[start : start + encoder.slice]) for start in range(0, BARE, encoder.slice)]


def _bare(encoder: ClipEncoder, batches: list[torch.Tensor]) -> float:
    """Pictures a second of the model alone, with nothing around it."""
    begun = time.perf_counter()
    with torch.inference_mode():
        for batch in batches:
            encoder.module.encode_image(batch)
    return BARE / (time.perf_counter() - begun)
