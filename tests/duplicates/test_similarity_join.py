from __future__ import annotations

import numpy as np
import pytest

from bench.support.collection import spread_like_clip, unit_vectors
from core.database.embedding_tables import Vector
from core.duplicates.similarity_join import MAX_ALIKE, find_pairs


def near(vectors: Vector, cosines: Vector, seed: int = 1) -> Vector:
    """For each unit vector another at that cosine."""
    away = np.random.default_rng(seed).standard_normal(vectors.shape, dtype=np.float32)
    away -= np.sum(away * vectors, axis=1, keepdims=True) * vectors
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    there = cosines[:, None] * vectors + np.sqrt(1 - cosines[:, None] ** 2) * away
    return there.astype(np.float32)


def heard(_: float) -> None:
    pass


@pytest.mark.parametrize("threshold", [0.82, 0.9])
def test_no_pair_is_missed_and_none_invented(threshold: float) -> None:
    """Against the comparison of each with each, among vectors with CLIP's spread."""
    vectors = spread_like_clip(2_500, seed=3)
    twins = near(vectors[:500], np.linspace(0.8, 1.0, 500, dtype=np.float32))
    halves = np.concatenate([vectors, twins]).astype(np.float16)
    whole = halves.astype(np.float32)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    products = np.triu(whole @ whole.T, 1)
    found = find_pairs(halves, threshold, heard)
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert len(pairs) == len(found.first)
    surely = set(zip(*(places.tolist() for places in np.nonzero(products >= threshold + 1e-5)), strict=True))
    maybe = set(zip(*(places.tolist() for places in np.nonzero(products >= threshold - 1e-5)), strict=True))
    assert surely <= pairs <= maybe
    assert len(surely) > 50
    assert np.allclose(found.similarity, products[found.first, found.second], atol=1e-5)


def test_the_model_may_have_any_dimension() -> None:
    vectors = unit_vectors(600, 20)
    halves = np.concatenate([vectors, near(vectors[:50], np.full(50, 0.99, np.float32))]).astype(np.float16)
    found = find_pairs(halves, 0.98, heard)
    assert {(number, 600 + number) for number in range(50)} <= set(
        zip(found.first.tolist(), found.second.tolist(), strict=True)
    )


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_vectors(count: int) -> None:
    assert len(find_pairs(np.ones((count, 8), np.float16), 0.9, heard).first) == (count == 2)


def test_a_flood_of_equal_vectors_stays_bounded() -> None:
    count = 1_200
    found = find_pairs(np.ones((count, 64), np.float16), 0.9, heard)
    assert MAX_ALIKE * count / 2 <= len(found.first) <= 2 * MAX_ALIKE * count
    assert set(found.first.tolist()) | set(found.second.tolist()) == set(range(count))


def test_what_hears_of_the_progress_may_end_it() -> None:
    shares = list[float]()

    def tell(share: float) -> None:
        shares.append(share)
        if share > 0.3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        find_pairs(unit_vectors(5_000, 32).astype(np.float16), 0.9, tell)
    assert shares == sorted(shares)
    assert shares[-1] < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.85, 0.92])
def test_by_cells_few_pairs_are_missed_and_none_invented(threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = spread_like_clip(3_000, seed=3)
    twins = near(vectors[:1_000], np.linspace(threshold + 0.001, 1.0, 1_000, dtype=np.float32))
    halves = np.concatenate([vectors, twins]).astype(np.float16)
    true = find_pairs(halves, threshold, heard)
    monkeypatch.setattr("core.duplicates.similarity_join.EXACT", 100)
    found = find_pairs(halves, threshold, heard)
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    expected = set(zip(true.first.tolist(), true.second.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) <= expected
    assert len(pairs) >= 0.99 * len(expected) > 900
