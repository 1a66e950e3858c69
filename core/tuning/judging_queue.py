"""Which matches to judge next: some near the threshold, some across the whole scale, from varied queries."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from core.database.embedding_tables import Vector
from core.embedding.active_models import ActiveModel
from core.errors import LookalikeError
from core.search.nearest import Nearest
from core.search.query_parts import Kind, Part
from core.search.query_vector import QueryEncoder
from core.tuning.logistic_curve import Array
from core.tuning.verdicts import JudgedQuery, Verdicts, query_key

MATCHES = 30
"""Matches per query that count: about as many as a person looks through."""

QUERIES = 150
"""Queries in a pool. With 100,000 pictures each takes 35 ms, so the whole pool takes 5 s."""

RECENT = 50
"""Of these, recent searches, if pictures of the collection can fill the rest."""

KEPT_SECONDS = 600.0
"""How long a pool is kept, since pictures are added and removed."""

NEAR = 0.1
"""Half of the proposals are normally distributed around the threshold, with a standard deviation of this share of the
scale: two thirds of them are within a fifth of it."""

CHOICES = 8
"""One of this many pairs nearest to the wanted similarity is drawn, so that the choice among them is random."""

FIRST_QUANTILE, ALL_RIGHT_QUANTILE, ALL_WRONG_QUANTILE = 0.8, 0.3, 0.97
"""Where `usual_cut` looks, as a quantile of the candidates' similarities: before the first verdict, with only right
verdicts (so lower), and with only wrong ones (so higher). First guesses, not measured: they decide only which pairs
are judged first, and the estimates do not depend on that, see `core.tuning.precision_recall`."""


@dataclass(frozen=True)
class Candidates:
    """A query and its most similar pictures, which can be judged; `similarities` has shape (matches,).

    `thumbnail` is a JPEG of a query picture that is not in the collection; None for text.
    """

    query: JudgedQuery
    pictures: tuple[UUID, ...]
    similarities: Array
    thumbnail: bytes | None = None


@dataclass(frozen=True)
class Proposal:
    """A match to judge."""

    query: JudgedQuery
    picture: UUID
    similarity: float
    thumbnail: bytes | None = None

    @property
    def id(self) -> str:
        """Identifies the pair."""
        return f"{self.picture} {self.query.key}"


@dataclass
class Pool:
    """The queries whose matches can be judged. `waiting` are those not searched yet."""

    made: float
    waiting: list[tuple[JudgedQuery, Vector | None]]
    found: list[Candidates] = field(default_factory=list)


class JudgingQueue:
    """The pools of this process, one for each model and kind of query. Threads may share it."""

    def __init__(self, nearest: Nearest, composer: QueryEncoder, verdicts: Verdicts) -> None:
        self._nearest = nearest
        self._composer = composer
        self._verdicts = verdicts
        self._pools = dict[tuple[int, Kind], Pool]()
        self._lock = threading.Lock()

    def pool(self, in_use: ActiveModel, kind: Kind, seconds: float) -> list[Candidates]:
        """Queries drawn at random from the collection and from recent searches, with their matches.

        Searches for the matches of more queries for up to `seconds`, of at least one if any is left. Text queries come
        only from recent searches. Raises DatabaseError or EncoderError.
        """
        with self._lock:
            until = time.monotonic() + seconds
            pool = self._pools.get((in_use.model.id, kind))
            if pool is None or not (pool.found or pool.waiting) or time.monotonic() > pool.made + KEPT_SECONDS:
                pool = self._pools[in_use.model.id, kind] = Pool(time.monotonic(), self._draw(in_use, kind))
            while pool.waiting:
                found = self._look_up(in_use, *pool.waiting[-1])
                pool.waiting.pop()
                if found is not None:
                    pool.found.append(found)
                if time.monotonic() > until:
                    break
            return list(pool.found)

    def _draw(self, in_use: ActiveModel, kind: Kind) -> list[tuple[JudgedQuery, Vector | None]]:
        drawn: dict[str, tuple[JudgedQuery, Vector | None]] = {
            query.key: (query, None) for query in self._verdicts.recent(kind, RECENT if kind == "picture" else QUERIES)
        }
        if kind == "picture":
            for id, vector in zip(*self._nearest.members(in_use.model, QUERIES), strict=True):
                part = Part(picture=id)
                drawn.setdefault(query_key([part]), (JudgedQuery(query_key([part]), kind, "", (part,)), vector))
        waiting = list(drawn.values())[-QUERIES:]
        order = np.random.default_rng().permutation(len(waiting))
        return [waiting[place] for place in order]

    def _look_up(self, in_use: ActiveModel, judged: JudgedQuery, vector: Vector | None) -> Candidates | None:
        """A query's candidates; None if it can no longer be searched, or finds nothing."""
        thumbnail, members = None, [part.picture for part in judged.parts if part.picture]
        if vector is None:
            try:
                query = self._composer.compose(in_use, judged.parts)
            except LookalikeError:  # its picture is no longer stored, or was removed
                return None
            vector, members = query.vector, query.members
            thumbnail = next((encoded.thumbnail for encoded in query.encoded_parts if encoded.thumbnail), None)
        matches = self._nearest.search(in_use.model, vector, MATCHES, leave_out=members).matches
        if not matches:
            return None
        similarities = np.array([match.similarity for match in matches])
        return Candidates(judged, tuple(match.id for match in matches), similarities, thumbnail)


def usual_cut(pool: Sequence[Candidates], similarities: Sequence[float] = (), rights: Sequence[bool] = ()) -> float:
    """Where to look for the threshold while there are too few verdicts to estimate it.

    Halfway between the medians of the right and the wrong ones, else at a quantile of the candidates (see
    FIRST_QUANTILE). `pool` must not be empty.
    """
    right = [similarity for similarity, good in zip(similarities, rights, strict=True) if good]
    wrong = [similarity for similarity, good in zip(similarities, rights, strict=True) if not good]
    if right and wrong:
        return float(np.median(right) + np.median(wrong)) / 2
    quantile = FIRST_QUANTILE if not (right or wrong) else ALL_RIGHT_QUANTILE if right else ALL_WRONG_QUANTILE
    return float(np.quantile(np.concatenate([entry.similarities for entry in pool]), quantile))


def propose(
    pool: Sequence[Candidates],
    judged: Iterable[tuple[str, UUID]],
    passed: Collection[tuple[str, UUID]],
    cut: float,
    count: int,
    rng: np.random.Generator,
) -> list[Proposal]:
    """Up to `count` matches to judge next, none of them `judged` or skipped (`passed`), as (query key, picture) each.

    They are drawn alternately from the whole scale of similarity and from around `cut`, each from a query with the
    fewest verdicts. Given its similarity a pair is drawn at random, on which `core.tuning.precision_recall` relies.
    The scale ends at the 0.02 and 0.998 quantiles, since a few outliers would stretch it.
    """
    if not pool:
        return []
    done = set(judged)
    turns = Counter(key for key, _ in done)
    turn = len(done)
    sizes = [len(entry.pictures) for entry in pool]
    similarities = np.concatenate([entry.similarities for entry in pool])
    owners = np.repeat(np.arange(len(pool)), sizes)
    starts = np.cumsum([0, *sizes])
    closed = done | set(passed)
    open_ = np.array([(entry.query.key, id) not in closed for entry in pool for id in entry.pictures])
    given = np.array([turns[entry.query.key] for entry in pool])
    low, high = np.quantile(similarities, [0.02, 0.998])
    proposals = list[Proposal]()
    while len(proposals) < count and open_.any():
        wanted = rng.uniform(low, high) if (turn + len(proposals)) % 2 == 0 else rng.normal(cut, NEAR * (high - low))
        free = open_ & (given[owners] == given[owners[open_]].min())
        places = np.flatnonzero(free)
        order = np.argsort(np.abs(similarities[places] - np.clip(wanted, low, high)))
        place = int(rng.choice(places[order[:CHOICES]]))
        open_[place] = False
        given[owners[place]] += 1
        entry = pool[owners[place]]
        id = entry.pictures[place - int(starts[owners[place]])]
        proposals.append(Proposal(entry.query, id, float(similarities[place]), entry.thumbnail))
    return proposals
