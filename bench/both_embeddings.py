"""How much longer indexing takes with both embeddings of a picture than with CLIP's alone."""

from __future__ import annotations

import statistics
import time

from bench.parts import index, random_vit, running_engine
from bench.report import Report
from bench.site import Site
from core.embedding.active_models import ActiveModel
from core.embedding.checkpoint import BUILTIN
from core.engine import Engine
from core.indexing.pipeline import BATCH

ROUNDS = 4
"""Imports with and without the copy model, by turns, so that what else the machine does slows both alike."""

LOAD_SECONDS = 60.0


def run(report: Report) -> None:
    """The rows of both models."""
    with Site() as site, random_vit() as vit:
        _model(report, site, "ViT-B-32", vit, photos=4 * BATCH, goal=1.25)
        _model(report, site, "built-in encoder", BUILTIN, photos=16 * BATCH, goal=2.0)


def _model(report: Report, site: Site, name: str, clip_model: str, photos: int, goal: float) -> None:
    with running_engine(clip_model) as alone, running_engine(clip_model, BUILTIN) as both:
        copies = _copy_model(both)
        seconds: dict[Engine, list[float]] = {alone: [], both: []}
        for round in range(ROUNDS + 1):
            for engine, taken in seconds.items():
                took, entry = index(engine, site.urls(round * photos, photos))
                assert entry.indexed == photos, entry
                taken.append(took)
        ratios = [mine / one for mine, one in list(zip(seconds[both], seconds[alone], strict=True))[1:]]
        assert both.store.missing(copies.model) == 0
        size = _bytes(both, copies) / both.store.count()
    report.note(f"{name}: indexing with its embedding alone", photos / statistics.median(seconds[alone]), "images/s")
    report.note(f"{name}: indexing with both embeddings", photos / statistics.median(seconds[both]), "images/s")
    report.at_most(f"{name}: time with both embeddings, of that with its own alone", statistics.median(ratios), goal)
    report.note(f"{name}: a copy embedding with its index entries", size / 1e3, "kB")


def _copy_model(engine: Engine) -> ActiveModel:
    """The copy model, which loads after the other one."""
    until = time.monotonic() + LOAD_SECONDS
    while time.monotonic() < until:
        if found := engine.copy_model():
            return found
        time.sleep(0.05)
    raise AssertionError(engine.copy_model_state)


def _bytes(engine: Engine, copies: ActiveModel) -> int:
    with engine.database.connection() as connection:
        ((size,),) = connection.execute("SELECT pg_total_relation_size(%s)", (f"embeddings_{copies.model.id}",))
        return int(size)
