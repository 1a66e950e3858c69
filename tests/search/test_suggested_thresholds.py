from __future__ import annotations

import numpy as np
import pytest

from core.search.suggested_thresholds import cautious_level, chance_level, steepest_gap, suggest_thresholds, unrelated

TOTAL = 5000


@pytest.fixture
def background() -> np.ndarray:
    """Similarities of unrelated pictures: normal around 0.2."""
    return np.random.default_rng(1).normal(0.2, 0.05, 1000)


def ranking(background: np.ndarray, *related: float) -> np.ndarray:
    """The best hundred of a collection of unrelated pictures and some related ones."""
    unrelated = np.random.default_rng(2).normal(0.2, 0.05, TOTAL - len(related))
    return np.sort(np.append(unrelated, related))[::-1][:100]


def test_the_chance_level_is_that_of_the_best_of_so_many(background: np.ndarray) -> None:
    best = [np.random.default_rng(seed).normal(0.2, 0.05, TOTAL).max() for seed in range(20)]
    assert chance_level(background, TOTAL) == pytest.approx(np.median(best), abs=0.02)
    assert chance_level(background, 10**6) > chance_level(background, TOTAL)


def test_a_few_related_pictures_in_the_sample_do_not_move_the_chance_level(background: np.ndarray) -> None:
    mixed = np.append(background[:-20], np.full(20, 0.9))
    assert chance_level(mixed, TOTAL) == pytest.approx(chance_level(background, TOTAL), abs=0.01)


def test_a_fifth_of_related_pictures_in_the_sample_is_left_out(background: np.ndarray) -> None:
    mixed = np.append(background, np.random.default_rng(4).normal(0.7, 0.06, len(background) // 4))
    kept = unrelated(mixed)
    assert len(kept) == pytest.approx(len(background), rel=0.01)
    cuts, pure = (suggest_thresholds(np.sort(mixed)[::-1], sample, len(mixed)) for sample in (mixed, background))
    assert cuts is not None
    assert pure is not None
    assert cuts.wide == pytest.approx(pure.wide, abs=0.01)
    assert cuts.balanced == pytest.approx(pure.balanced, abs=0.01)
    assert "may be chance" not in cuts.reason


def test_chance_explains_a_sample_of_unrelated_pictures(background: np.ndarray) -> None:
    assert len(unrelated(background)) >= len(background) - 5
    assert len(unrelated(np.ones(50))) == 50
    assert len(unrelated(np.append(np.zeros(49), np.ones(51)))) >= 50


def test_a_long_tail_makes_the_cautious_level_higher() -> None:
    long = np.random.default_rng(3).exponential(0.1, 1000)
    assert cautious_level(long, TOTAL) == pytest.approx(0.1 * np.log(TOTAL), rel=0.15)
    assert cautious_level(long, TOTAL) > chance_level(long, TOTAL)


def test_the_cuts_lie_between_the_related_and_the_rest(background: np.ndarray) -> None:
    related = np.linspace(0.9, 0.7, 12)
    cuts = suggest_thresholds(ranking(background, *related), background, TOTAL)
    assert cuts is not None
    assert not cuts.nothing
    assert 0.4 < cuts.balanced < 0.7
    assert cuts.strict >= cuts.balanced >= cuts.wide > 0.3
    assert "Suggested" in cuts.reason


def test_a_copy_alone_stands_out(background: np.ndarray) -> None:
    cuts = suggest_thresholds(ranking(background, 0.97), background, TOTAL)
    assert cuts is not None
    assert 0.4 < cuts.balanced < 0.97


def test_chance_alone_is_told(background: np.ndarray) -> None:
    scores = ranking(background)
    cuts = suggest_thresholds(scores[scores < 0.36], background, TOTAL)
    assert cuts is not None
    assert cuts.nothing
    assert "Probably nothing like it here" in cuts.reason
    assert f"{TOTAL:,} unrelated pictures" in cuts.reason


def test_a_gap_counts_for_its_rank() -> None:
    scores = np.array([0.90, 0.80, 0.79, 0.78, 0.77, 0.70, 0.69])
    assert steepest_gap(scores) == pytest.approx(0.735)  # 5 x 0.07, though the first gap is 0.10


@pytest.mark.parametrize(("matches", "sample"), [(0, 100), (10, 29)])
def test_too_little_says_nothing(matches: int, sample: int) -> None:
    assert suggest_thresholds(np.linspace(0.9, 0.5, matches), np.linspace(0, 0.3, sample), 100) is None


def test_pictures_that_are_all_alike_do_not_break_it() -> None:
    cuts = suggest_thresholds(np.ones(50), np.ones(100), 100)
    assert cuts is not None
    assert cuts.strict >= cuts.balanced >= cuts.wide
