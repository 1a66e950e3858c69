"""Whether tuned thresholds deliver what they state: simulated curators who judge by class, and unjudged queries."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import numpy as np

from bench.report import Report
from bench.support.data import MODEL_SETTING, PHOTOS
from core.embedding.loader import EncoderLoader
from core.media.decode import read_picture
from core.search.query_parts import Part
from core.tuning.judging_queue import MATCHES, QUERIES, Candidates, propose, usual_cut
from core.tuning.precision_recall import Reading, Tuning, missing
from core.tuning.verdicts import JudgedQuery, query_key

PHOTOS_EACH, CLASSES = 10, 100
VERDICTS = 60
SEEDS = 200
BATCH = 32
CLUTTER = "BACKGROUND_Google"
"""Not a class: its photos show anything."""


@dataclass(frozen=True)
class World:
    """Every photo as a query: its matches' places and similarities, best first, and whether they are right; each of
    shape (photos, MATCHES)."""

    places: np.ndarray
    similarities: np.ndarray
    right: np.ndarray


def run(report: Report) -> None:
    """A promise for each suggested threshold, and how wide its intervals are."""
    world = classes()
    curators = [judge(world, seed) for seed in range(SEEDS)]
    for name, target in (("best F1", None), ("precision 80 %", 0.8), ("precision 95 %", 0.95)):
        results = [check(world, *curator, target) for curator in curators]
        row = f"{name}, {VERDICTS} verdicts"
        for what in ("precision", "recall"):
            parts = [getattr(reading, what) for reading, *_ in results]
            report.note(f"{row}: {what}, mean", float(np.mean([part.value for part in parts])), "")
            report.note(f"{row}: {what}, width", float(np.mean([part.high - part.low for part in parts])), "")
        report.note(f"{row}: precision as stated", float(np.mean([precise for _, precise, _ in results])), "")
        report.note(f"{row}: recall as stated", float(np.mean([complete for *_, complete in results])), "")
        both = float(np.mean([precise and complete for _, precise, complete in results]))
        report.at_least(f"{row}: both as stated, of {SEEDS} curators", both, 0.9, "")


def classes() -> World:
    """A thousand photos of a hundred classes through the small model."""
    folders = [folder for folder in sorted(PHOTOS.iterdir()) if folder.name != CLUTTER][:CLASSES]
    photos = [photo for folder in folders for photo in sorted(folder.glob("*.jpg"))[:PHOTOS_EACH]]
    loader = EncoderLoader(MODEL_SETTING)
    loader.start()
    encoder = loader.get(120)
    vectors = []
    for start in range(0, len(photos), BATCH):
        batch = [photo.read_bytes() for photo in photos[start : start + BATCH]]
        images = [read_picture(data, max_bytes=10**7, max_pixels=10**7).image for data in batch]
        vectors.append(encoder.encode_pictures(images))
    loader.close()
    return world_of(np.concatenate(vectors), np.array([photo.parent.name for photo in photos]))


def world_of(vectors: np.ndarray, names: np.ndarray) -> World:
    """The world of unit vectors of shape (n, dim) and the classes of their photos, of shape (n,)."""
    similarities = (vectors @ vectors.T).astype(float)
    np.fill_diagonal(similarities, -2)
    places = np.argsort(-similarities, axis=1)[:, :MATCHES]
    return World(places, np.take_along_axis(similarities, places, axis=1), names[places] == names[:, None])


def judge(world: World, seed: int) -> tuple[Tuning, set[str]]:
    """One curator: what the verdicts say, and the keys of the queries that were judged."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(world.places), QUERIES, replace=False)
    pool = [_candidates(world, int(query)) for query in drawn]
    right = {
        (entry.query.key, picture): bool(world.right[query, rank])
        for query, entry in zip(drawn, pool, strict=True)
        for rank, picture in enumerate(entry.pictures)
    }
    judged = dict[tuple[str, UUID], tuple[float, bool]]()
    tuning, cut = None, usual_cut(pool)
    while len(judged) < VERDICTS:
        for proposal in propose(pool, judged, (), cut, 6, rng):
            pair = proposal.query.key, proposal.picture
            judged[pair] = proposal.similarity, right[pair]
        keys, answers = [key for key, _ in judged], [answer for _, answer in judged.values()]
        similarities = np.array([similarity for similarity, _ in judged.values()])
        cut = usual_cut(pool, list(similarities), answers)
        if not missing(keys, answers):
            tuning = Tuning(keys, similarities, answers, [entry.similarities for entry in pool])
            cut = tuning.best
    if tuning is None:
        raise AssertionError("sixty verdicts were too few")
    return tuning, {key for key, _ in judged}


def check(world: World, tuning: Tuning, judged: set[str], target: float | None) -> tuple[Reading, bool, bool]:
    """What the suggested threshold promises, and whether precision and recall on the queries that were not judged are
    as promised."""
    threshold = tuning.best if target is None else tuning.for_precision(target)
    reading = tuning.at(tuning.span[1] if threshold is None else threshold)
    rest = [place for place in range(len(world.places)) if query_key([Part(picture=UUID(int=place))]) not in judged]
    shown = world.similarities[rest] >= reading.threshold
    hits = float((shown & world.right[rest]).sum())
    precision = hits / shown.sum() if shown.any() else 1.0
    recall = hits / world.right[rest].sum()
    return (
        reading,
        reading.precision.low <= precision <= reading.precision.high,
        reading.recall.low <= recall <= reading.recall.high,
    )


def _candidates(world: World, query: int) -> Candidates:
    part = Part(picture=UUID(int=query))
    pictures = tuple(UUID(int=int(place)) for place in world.places[query])
    return Candidates(JudgedQuery(query_key([part]), "picture", "", (part,)), pictures, world.similarities[query])
