from __future__ import annotations

from collections import Counter
from uuid import UUID, uuid4

import numpy as np
import pytest

from bench.support.collection import fill, unit_vectors
from bench.support.data import some_photos
from core.engine import Engine
from core.search.query_parts import Part
from core.tuning.judging_queue import MATCHES, Candidates, propose, usual_cut
from core.tuning.verdicts import JudgedQuery, query_key


def pool(queries: int = 40, matches: int = 20) -> list[Candidates]:
    rng = np.random.default_rng(1)
    entries = []
    for _ in range(queries):
        part = Part(picture=uuid4())
        pictures = tuple(UUID(int=int(number)) for number in rng.integers(1, 2**62, matches))
        similarities = np.sort(rng.beta(2, 6, matches))[::-1]
        entries.append(Candidates(JudgedQuery(query_key([part]), "picture", "", (part,)), pictures, similarities))
    return entries


def test_proposals_come_from_varied_queries_and_never_twice() -> None:
    candidates, rng = pool(), np.random.default_rng(2)
    judged: list[tuple[str, UUID]] = []
    passed = set[tuple[str, UUID]]()
    while len(judged) < 80:
        for proposal in propose(candidates, judged, passed, 0.5, 7, rng):
            pair = proposal.query.key, proposal.picture
            assert pair not in passed
            assert pair not in judged
            judged.append(pair)
        passed |= {(one.query.key, one.picture) for one in propose(candidates, judged, passed, 0.5, 2, rng)}
    turns = Counter(key for key, _ in judged)
    assert len(turns) == 40
    assert max(turns.values()) - min(turns.values()) <= 1


def test_half_of_them_lie_near_the_cut_and_the_rest_everywhere() -> None:
    candidates, rng = pool(200), np.random.default_rng(3)
    cut = usual_cut(candidates)
    found = np.array([one.similarity for one in propose(candidates, [], (), cut, 100, rng)])
    everything = np.concatenate([entry.similarities for entry in candidates])
    assert np.mean(np.abs(found - cut) < 0.12) > 0.5
    assert found.min() < np.quantile(everything, 0.15)
    assert found.max() > np.quantile(everything, 0.98)


def test_the_cut_is_looked_for_where_right_and_wrong_part() -> None:
    candidates = pool()
    everything = np.concatenate([entry.similarities for entry in candidates])
    assert usual_cut(candidates, [0.7, 0.3], [True, False]) == pytest.approx(0.5)
    assert usual_cut(candidates, [0.7], [True]) < np.median(everything) < usual_cut(candidates)
    assert usual_cut(candidates) < usual_cut(candidates, [0.7], [False])


def test_when_all_is_judged_nothing_is_proposed() -> None:
    candidates = pool(2, 3)
    everything = [(entry.query.key, id) for entry in candidates for id in entry.pictures]
    rng = np.random.default_rng(4)
    assert propose(candidates, everything, (), 0.5, 5, rng) == []
    assert len(propose(candidates, everything[1:], (), 0.5, 5, rng)) == 1
    assert propose([], [], (), 0.5, 5, rng) == []


@pytest.fixture(scope="module")
def ids(engine: Engine) -> list[UUID]:
    return fill(engine.database, engine.model(), unit_vectors(60, engine.model().dim))


def test_the_pool_is_drawn_from_the_collection_and_from_recent_searches(engine: Engine, ids: list[UUID]) -> None:
    part, other = (engine.query_encoder.keep("mine.jpg", photo.read_bytes()) for photo in some_photos(2))
    gone = Part(upload=uuid4())
    for parts in ((part,), (gone,), (part, other)):
        engine.verdicts.remember(JudgedQuery(query_key(parts), "picture", "told", parts))
    found = {entry.query.key: entry for entry in engine.judging_queue.pool(engine.serving(), "picture", 60)}
    assert len(found) == 62
    assert query_key([gone]) not in found
    upload = found[query_key([part])]
    assert upload.thumbnail is not None
    assert upload.query.label == "told"
    assert found[query_key([other, part])].query.parts == (part, other)
    for entry in found.values():
        assert len(entry.pictures) == MATCHES
        assert list(entry.similarities) == sorted(entry.similarities, reverse=True)
    assert ids[7] not in found[query_key([Part(picture=ids[7])])].pictures


def test_words_come_from_searches_alone(engine: Engine, ids: list[UUID]) -> None:
    assert engine.judging_queue.pool(engine.serving(), "words", 60) == []
