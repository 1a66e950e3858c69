"""A query -> matches, and what their similarities mean."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from math import floor
from uuid import UUID

import numpy as np

from core.collection.filters import Filter
from core.collection.store import Match, Store
from core.database.embedding_tables import Vector
from core.embedding.checkpoint import BUILTIN
from core.search.match_evidence import BEYOND, Calibration, crowding
from core.search.nearest import Nearest, Sample
from core.search.query_vector import Query
from core.search.saved_thresholds import SavedThreshold, SavedThresholds
from core.search.suggested_thresholds import SuggestedThresholds, suggest_thresholds

DEFAULT_THRESHOLD, BUILTIN_THRESHOLD = 0.9, 0.6
"""The guide's 90 %, as a cosine, and what serves as well with the built-in encoder, whose similarities are lower (its
card has them)."""

OWN_MODEL = "local-dir:"
"""What the names of models begin with that were copied here: their cosines may lie anywhere. CLIP's default stays the
guide's until it is measured."""

RANKED = BEYOND + 1
"""Matches that are fetched at least, for the cuts."""

DEFAULT_TOP_K, MAX_TOP_K = 100, 1000
"""Matches that are fetched when nothing is said, and at most: pgvector's index gives no more than 1000."""

RANKED_FROM = 20
"""Pictures below which "closer than 95 % of the collection" says less than the picture's place does: with fewer, not
even the best match is closer than 95 %."""


def default_threshold(model: str, calibration: Calibration | None = None) -> float:
    """The threshold (a cosine) of POST /api/query when it is given none, by the name of the model that serves.

    With the built-in encoder, and with a model of one's own, it is where unrelated pictures of the collection end.
    """
    builtin = model.startswith(f"{BUILTIN}@")
    if calibration is not None and (builtin or model.startswith(OWN_MODEL)):
        return calibration.threshold
    return BUILTIN_THRESHOLD if builtin else DEFAULT_THRESHOLD


@dataclass(frozen=True)
class Matches:
    """The pictures most similar to a query, best first, of `total` that were compared: those a filter keeps, and
    none that was left out.

    `cuts` are the thresholds suggested for the query; `copies` maps each match that is a copy of a better one to
    that; `notes` says of each match what its similarity means, "" where there is nothing to say. `approximate`
    says that an index was searched, which by its last probe finds the share `recall` of the true matches. `seconds`
    is what the search took. `saved_threshold` is the one that was saved for such queries, and `default` the one for
    whoever gives none and looks at no cuts.
    """

    query: Query
    found: list[Match]
    total: int
    cuts: SuggestedThresholds | None
    copies: dict[UUID, UUID]
    notes: list[str]
    approximate: bool
    recall: float | None
    seconds: float
    saved_threshold: SavedThreshold | None
    default: float

    @property
    def model(self) -> str:
        """The name of the model they were found with."""
        return self.query.model.name

    def reaching(self, threshold: float) -> list[Match]:
        """Those whose similarity is at least `threshold` (a cosine)."""
        return [match for match in self.found if match.similarity >= threshold]


class Matcher:
    """Finds the matches of queries. Threads may share it."""

    def __init__(self, store: Store, nearest: Nearest, saved_thresholds: SavedThresholds) -> None:
        self._store = store
        self._nearest = nearest
        self._saved_thresholds = saved_thresholds

    def search(
        self,
        query: Query,
        top_k: int = DEFAULT_TOP_K,
        *,
        where: Filter | None = None,
        exact: bool = False,
        leave_out: Collection[UUID] = (),
    ) -> Matches:
        """The pictures most similar to a query. `top_k` is kept between 1 and MAX_TOP_K.

        `where` keeps to some pictures, `exact` to the full scan whatever it takes, and `leave_out` are pictures that
        are not wanted. Raises DatabaseError.
        """
        begun = time.perf_counter()
        top_k = max(1, min(top_k, MAX_TOP_K))
        where = where or Filter()
        fetched = max(top_k, RANKED + len(query.members))
        found = self._nearest.search(query.model, query.vector, fetched, where=where, exact=exact, leave_out=leave_out)
        seconds = time.perf_counter() - begun
        total = self._store.count() if where == Filter() else self._nearest.count(where)
        sample = self._nearest.sample(query.model, total, where)
        left_out = set(leave_out) if where == Filter() else self._nearest.kept(where, leave_out)
        matches = found.matches[:top_k]
        return Matches(
            query=query,
            found=matches,
            total=total - len(left_out),
            cuts=_suggest(self._store, sample, query, found.matches, left_out),
            copies=_copies(self._store, matches),
            notes=_notes(matches, total) if where == Filter() and not leave_out else [""] * len(matches),
            approximate=found.approximate,
            recall=found.recall,
            seconds=seconds,
            saved_threshold=self._saved_thresholds.current(query.model, query.kind),
            default=default_threshold(query.model.name, sample.calibration),
        )


def _suggest(
    store: Store, sample: Sample, query: Query, found: list[Match], left_out: Collection[UUID]
) -> SuggestedThresholds | None:
    """The cuts for a query; the evidence for its best match only where it is a picture alone, as the sample's are."""
    members = set(query.members)
    others = [match for match in found if match.id not in members]
    aside = members | set(left_out)
    alone = query.kind == "picture" and len(query.parts) == 1
    calibration = sample.calibration if others and alone else None
    vector = _vector(store, sample, query, others[0].id) if calibration else None
    return suggest_thresholds(
        np.array([match.similarity for match in others]),
        sample.others(query.vector, aside),
        sample.total - len(aside),
        calibration=None if vector is None else calibration,
        crowding=0.0 if vector is None else crowding(sample.others(vector, [others[0].id])),
        besides=bool(members),
    )


def _vector(store: Store, sample: Sample, query: Query, picture: UUID) -> Vector | None:
    """The embedding of a picture, from the sample where it is in it."""
    row = sample.places.get(picture)
    return store.embedding(query.model, picture) if row is None else sample.vectors[row]


def _copies(store: Store, matches: list[Match]) -> dict[UUID, UUID]:
    """Each match that is a copy of a better one that is no copy itself, mapped to that."""
    known = store.copies_of([match.id for match in matches])
    leaders, copies = set[UUID](), dict[UUID, UUID]()
    for match in matches:
        leader = next((other for other in known.get(match.id, []) if other in leaders), None)
        if leader is None:
            leaders.add(match.id)
        else:
            copies[match.id] = leader
    return copies


def _notes(matches: list[Match], total: int) -> list[str]:
    """What share of the collection each match is closer than, rounded down."""
    if total < RANKED_FROM:
        return [""] * len(matches)
    shares = [floor(1000 * (total - place) / total) / 10 for place in range(1, len(matches) + 1)]
    return [f"Closer than {share:g}\u202f% of the collection" for share in shares]
