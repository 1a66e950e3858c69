from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from core.search.unrelated_scores import Background, read_background

TOTAL = 5_000


def scores(kind: str, seed: int, count: int) -> NDArray[np.float64]:
    """Similarities of unrelated pictures, of the shapes that embeddings give."""
    rng = np.random.default_rng(seed)
    if kind == "normal":
        return rng.normal(0.2, 0.05, count)
    if kind == "skewed":
        return rng.beta(4, 12, count)
    vectors = rng.standard_normal((count + 1, 60))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors[1:] @ vectors[0])


@pytest.mark.parametrize("kind", ["normal", "skewed", "sphere"])
@pytest.mark.parametrize("sampled", [1_000, TOTAL])
def test_some_unrelated_pictures_lie_above_the_end_and_never_many(kind: str, sampled: int) -> None:
    above = list[int]()
    for seed in range(80):
        everything = scores(kind, seed, TOTAL)
        above.append(int((everything >= read_background(everything[:sampled]).level(TOTAL)).sum()))
    assert 0.01 < np.mean(above) < 2


def test_a_few_matches_do_not_move_the_end() -> None:
    pure = scores("normal", 1, 1_000)
    mixed = np.append(pure[:-10], np.full(10, 0.9))
    assert read_background(mixed).level(TOTAL) == pytest.approx(read_background(pure).level(TOTAL), abs=0.01)


def test_a_twentieth_of_related_pictures_in_the_sample_is_left_out() -> None:
    pure = scores("normal", 1, 1_000)
    mixed = np.append(pure, np.random.default_rng(4).normal(0.7, 0.06, 50))
    assert read_background(mixed).level(1_050) == pytest.approx(read_background(pure).level(1_050), abs=0.01)


def test_a_query_among_hubs_has_its_unrelated_pictures_end_higher() -> None:
    lone, hub = scores("normal", 1, 1_000), 0.1 + 1.5 * scores("normal", 2, 1_000)
    assert read_background(hub).level(TOTAL) > read_background(lone).level(TOTAL) + 0.1


@settings(deadline=None)
@given(
    arrays(np.float64, st.integers(1, 80), elements=st.floats(-1, 1, width=32)),
    st.floats(0.1, 50),
    st.floats(1.01, 10),
    st.integers(1, 10**7),
)
def test_the_level_falls_with_how_many_may_lie_above_and_rises_with_the_total(
    similarities: NDArray[np.float64], above: float, more: float, total: int
) -> None:
    background = read_background(similarities)
    assert background.low <= background.start
    assert background.level(total, above * more) <= background.level(total, above)
    assert background.level(2 * total, above) >= background.level(total, above)


def test_pictures_that_are_all_alike_end_where_they_are() -> None:
    assert read_background(np.ones(50)) == Background(1.0, 1.0)
    assert read_background(np.ones(1)).level(1) == 1.0


@pytest.mark.parametrize("related", [0.05, 0.15, 0.2, 0.3])
def test_in_a_collection_of_few_kinds_a_fifth_of_it_may_be_related(related: float) -> None:
    rng = np.random.default_rng(3)
    unrelated = rng.normal(0.3, 0.06, 120)
    kind = rng.uniform(0.65, 0.9, round(120 * related))
    background = read_background(np.append(unrelated, kind))
    assert 0.35 < background.level(120) < 0.65


def test_no_end_is_above_the_highest_cosine() -> None:
    rng = np.random.default_rng(4)
    halves = np.append(rng.normal(0.2, 0.02, 60), rng.uniform(0.5, 0.95, 50))
    assert read_background(halves).level(1_000_000) <= 1
