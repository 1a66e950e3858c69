"""Which matches are worth judging next: near the present cut and all over the scale, from varied queries."""

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
"""Matches of each query that count: what a person looks through before giving up."""

QUERIES = 150
"""Queries in a pool. At 100,000 pictures each takes 35 ms."""

RECENT = 50
"""Recent searches among them, where pictures can be queries too."""

KEPT_SECONDS = 600.0
"""How long a pool is kept: pictures come and go."""

NEAR = 0.1
"""Half of the proposals lie around the cut, normally distributed with this share of the scale."""

CHOICES = 8
"""Pairs nearest to the wanted similarity of which one is drawn."""


@dataclass(frozen=True)
class Candidates:
    """A query and its most similar pictures, which could be judged; `similarities` has shape (matches,).

    `thumbnail` is a JPEG of a query that is no picture of the collection, None for words.
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
        """What tells the pair from all others."""
        return f"{self.picture} {self.query.key}"


@dataclass
class Pool:
    """The queries whose matches can be judged. `waiting` are those not looked up yet."""

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

        Looks up more of them for up to `seconds`, one at least while there are some. Words come from recent searches
        alone. Raises DatabaseError or EncoderError.
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
            asked.key: (asked, None) for asked in self._verdicts.recent(kind, RECENT if kind == "picture" else QUERIES)
        }
        if kind == "picture":
            for id, vector in zip(*self._nearest.members(in_use.model, QUERIES), strict=True):
                part = Part(picture=id)
                drawn.setdefault(query_key([part]), (JudgedQuery(query_key([part]), kind, "", (part,)), vector))
        waiting = list(drawn.values())[-QUERIES:]
        order = np.random.default_rng().permutation(len(waiting))
        return [waiting[place] for place in order]

    def _look_up(self, in_use: ActiveModel, asked: JudgedQuery, vector: Vector | None) -> Candidates | None:
        """A query's candidates; None when it can no longer be asked, or finds nothing."""
        thumbnail, members = None, [part.picture for part in asked.parts if part.picture]
        if vector is None:
            try:
                query = self._composer.compose(in_use, asked.parts)
            except LookalikeError:  # its picture is no longer kept, or was removed
                return None
            vector, members = query.vector, query.members
            thumbnail = next((encoded.thumbnail for encoded in query.encoded_parts if encoded.thumbnail), None)
        matches = self._nearest.search(in_use.model, vector, MATCHES, leave_out=members).matches
        if not matches:
            return None
        similarities = np.array([match.similarity for match in matches])
        return Candidates(asked, tuple(match.id for match in matches), similarities, thumbnail)


def usual_cut(pool: Sequence[Candidates], similarities: Sequence[float] = (), rights: Sequence[bool] = ()) -> float:
    """Where to look for the cut while verdicts are too few to say.

    Halfway between the right and the wrong ones; where only one kind is known, where the other may be; at first, one
    candidate of five reaches it.
    """
    right = [similarity for similarity, good in zip(similarities, rights, strict=True) if good]
    wrong = [similarity for similarity, good in zip(similarities, rights, strict=True) if not good]
    if right and wrong:
        return float(np.median(right) + np.median(wrong)) / 2
    reached = 0.8 if not (right or wrong) else 0.3 if right else 0.97
    return float(np.quantile(np.concatenate([entry.similarities for entry in pool]), reached))


def propose(
    pool: Sequence[Candidates],
    judged: Iterable[tuple[str, UUID]],
    passed: Collection[tuple[str, UUID]],
    cut: float,
    count: int,
    rng: np.random.Generator,
) -> list[Proposal]:
    """Up to `count` matches to judge next, none of which was judged or `passed` over, each as (query key, picture).

    By turns one is drawn evenly over the scale of similarity, and one around the cut; each from a query with the
    fewest verdicts. Given its similarity a pair is drawn at random, which `core.tuning.precision_recall` builds on.
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
