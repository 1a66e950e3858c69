"""A query -> its matches, and what their similarities mean."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from core.verification.proof import Proof

DEFAULT_THRESHOLD, BUILTIN_THRESHOLD = 0.9, 0.6
"""The guide's 90 % as a cosine, and its equivalent for the built-in encoder, whose similarities are lower (its model
card has them)."""

OWN_MODEL = "local-dir:"
"""Prefix of the names of models in a local folder, whose cosines may lie anywhere. CLIP keeps the guide's default until
it is measured."""

RANKED = BEYOND + 1
"""Matches fetched at least, for the suggested thresholds."""

DEFAULT_TOP_K, MAX_TOP_K = 100, 1000
"""Matches fetched by default, and at most: pgvector's index returns no more than 1000."""

RANKED_FROM = 20
"""Pictures below which no "closer than 95 % of the collection" is shown: with fewer, not even the best match is closer
than 95 %, and its rank says more."""


def default_threshold(model: str, calibration: Calibration | None = None) -> float:
    """The default threshold (a cosine) of POST /api/query, by the name of the model that serves searches.

    With the built-in encoder or a model in a local folder, it is where unrelated pictures of the collection end.
    """
    builtin = model.startswith(f"{BUILTIN}@")
    if calibration is not None and (builtin or model.startswith(OWN_MODEL)):
        return calibration.threshold
    return BUILTIN_THRESHOLD if builtin else DEFAULT_THRESHOLD


@dataclass(frozen=True)
class Matches:
    """The pictures most similar to a query, best first, of the `total` compared: those that pass the filter, without
    those left out.

    `cuts` are the thresholds suggested for the query; `copies` maps each match that is a copy of a better match to
    that match; `notes` has, for each match, what its similarity means, or "". `approximate` is True when an index was
    searched, whose recall by the last probe is `recall`. `seconds` is the duration of the search. `saved_threshold` is
    the one saved for such queries, and `default` the one used when neither a threshold nor the cuts are used.

    `where`, `exact` and `left_out` are as the search was asked for. Once `verified` by `core.search.same_pictures`,
    `same` has the proof for each match that is the same picture as the query's, which comes first in the proof.
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
    where: Filter = field(default_factory=Filter)
    exact: bool = False
    left_out: frozenset[UUID] = frozenset()
    same: Mapping[UUID, Proof] = field(default_factory=dict)
    verified: bool = False

    @property
    def model(self) -> str:
        """The name of the model that found them."""
        return self.query.model.name

    def reaching(self, threshold: float) -> list[Match]:
        """The same pictures, best first, and then the other matches with a similarity of at least `threshold` (a
        cosine)."""
        same = [match for match in self.found if match.id in self.same]
        return same + [match for match in self.found if match.id not in self.same and match.similarity >= threshold]


class Matcher:
    """Finds the matches of queries. Thread-safe."""

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
        """The pictures most similar to a query. `top_k` is clamped to 1 to MAX_TOP_K.

        `where` filters the pictures, `exact` forces a full scan, and `leave_out` are pictures to omit. Raises
        DatabaseError.
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
            where=where,
            exact=exact,
            left_out=frozenset(leave_out),
        )

    def join(self, matches: Matches, joining: Sequence[Match]) -> Matches:
        """The matches with others that the search had not found, by similarity. Raises DatabaseError."""
        if not joining:
            return matches
        notes = dict(zip((match.id for match in matches.found), matches.notes, strict=True))
        found = sorted([*matches.found, *joining], key=lambda match: -match.similarity)
        return replace(
            matches,
            found=found,
            copies=_copies(self._store, found),
            notes=[notes.get(match.id, "") for match in found],
        )


def _suggest(
    store: Store, sample: Sample, query: Query, found: list[Match], left_out: Collection[UUID]
) -> SuggestedThresholds | None:
    """The cuts for a query, with evidence for its best match only when the query is a single picture, as the sample's
    are."""
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
    """The embedding of a picture, from the sample if it is there."""
    row = sample.places.get(picture)
    return store.embedding(query.model, picture) if row is None else sample.vectors[row]


def _copies(store: Store, matches: list[Match]) -> dict[UUID, UUID]:
    """Maps each match that is a copy of a better match, which is itself no copy, to that match."""
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
    """The share of the collection that each match is closer than, rounded down."""
    if total < RANKED_FROM:
        return [""] * len(matches)
    shares = [floor(1000 * (total - place) / total) / 10 for place in range(1, len(matches) + 1)]
    return [f"Closer than {share:g}\u202f% of the collection" for share in shares]
