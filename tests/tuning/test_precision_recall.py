from __future__ import annotations

import numpy as np
import pytest

from core.tuning.precision_recall import MIN_VERDICTS, Tuning, exact_interval, in_words, missing

RIGHT_FROM = 0.6


def world(seed: int, verdicts: int = 80, queries: int = 80) -> tuple[Tuning, np.ndarray, np.ndarray]:
    """Sixty queries with thirty matches each, right with a chance that rises with their similarity; and the truth:
    the similarities of many more, and whether they are right."""
    rng = np.random.default_rng(seed)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        similarities = np.sort(np.clip(rng.beta(3, 5, (count, 30)) + rng.normal(0, 0.05, (count, 1)), 0.01, 1))[:, ::-1]
        return similarities, rng.random((count, 30)) < 1 / (1 + np.exp(-(similarities - RIGHT_FROM) * 18))

    similarities, right = draw(queries)
    wanted = rng.uniform(0.15, 0.85, verdicts)
    chosen = [int(np.argmin(np.abs(similarities[place % queries] - at))) for place, at in enumerate(wanted)]
    owners = np.arange(verdicts) % queries
    tuning = Tuning(
        [f"q{owner}" for owner in owners],
        similarities[owners, chosen],
        list(right[owners, chosen]),
        list(similarities),
    )
    return tuning, *draw(2000)


def truth(similarities: np.ndarray, right: np.ndarray, threshold: float) -> tuple[float, float]:
    shown = similarities >= threshold
    return float(right[shown].mean()), float((shown & right).sum() / right.sum())


@pytest.mark.slow
def test_the_intervals_hold_on_queries_that_nobody_judged() -> None:
    held = 0
    for seed in range(40):
        tuning, similarities, right = world(seed)
        reading = tuning.at(tuning.best)
        precision, recall = truth(similarities, right, reading.threshold)
        within = reading.precision.low <= precision <= reading.precision.high
        held += within and reading.recall.low <= recall <= reading.recall.high
    assert held >= 36


@pytest.mark.slow
def test_the_curves_are_near_the_truth_though_the_verdicts_are_no_random_sample() -> None:
    precisions, recalls, truths = [], [], []
    for seed in range(20):
        tuning, similarities, right = world(seed)
        reading = tuning.at(0.55)
        precisions.append(reading.precision.value)
        recalls.append(reading.recall.value)
        truths.append(truth(similarities, right, 0.55))
    assert np.mean(precisions) == pytest.approx(np.mean([one for one, _ in truths]), abs=0.04)
    assert np.mean(recalls) == pytest.approx(np.mean([one for _, one in truths]), abs=0.06)


def test_a_wished_precision_is_cut_as_low_as_it_allows() -> None:
    tuning, *_ = world(1)
    threshold = tuning.for_precision(0.8)
    assert threshold is not None
    assert tuning.at(threshold).precision.value >= 0.8
    assert tuning.at(threshold - 0.005).precision.value < 0.8
    lower = tuning.for_precision(0.6)
    assert lower is not None
    assert lower < threshold
    assert tuning.for_precision(1.0) is None
    assert 0.8 < tuning.reachable < 1


def test_the_best_balance_has_the_highest_f1() -> None:
    tuning, *_ = world(2)
    f1 = 2 * tuning.precision * tuning.recall / (tuning.precision + tuning.recall + 1e-12)
    assert tuning.best == pytest.approx(tuning.thresholds[np.argmax(f1)])


def test_more_verdicts_make_the_intervals_shorter() -> None:
    few, *_ = world(3, verdicts=40, queries=200)
    many, *_ = world(3, verdicts=160, queries=200)
    width = [one.at(0.55).precision.high - one.at(0.55).precision.low for one in (few, many)]
    assert width[1] < 0.7 * width[0]
    assert few.more_for(0.1, few.at(0.55)) > many.more_for(0.1, many.at(0.55))


def test_verdicts_of_one_query_count_as_one_cluster() -> None:
    """The same verdicts, given to as many queries or to eight: those are less sure."""
    rng = np.random.default_rng(4)
    similarities = np.tile(np.linspace(0.2, 0.9, 10), 8)
    leaning = np.repeat(rng.normal(0, 0.15, 8), 10)
    right = list(similarities + leaning > RIGHT_FROM)
    pool = [np.linspace(0.9, 0.2, 30)] * 80
    apart = Tuning([str(place) for place in range(80)], similarities, right, pool).at(0.6).precision
    together = Tuning([str(place // 10) for place in range(80)], similarities, right, pool).at(0.6).precision
    assert together.high - together.low > apart.high - apart.low


def test_no_number_of_right_verdicts_proves_that_all_are() -> None:
    similarities = np.concatenate([np.linspace(0.3, 0.5, 20), np.linspace(0.6, 0.9, 20)])
    tuning = Tuning([str(place) for place in range(40)], similarities, [False] * 20 + [True] * 20, [similarities])
    precision = tuning.at(0.6).precision
    assert precision.value > 0.9
    assert precision.low < 0.95
    assert precision.high == 1


def test_leaving_queries_out_foretells_their_verdicts() -> None:
    tuning, *_ = world(5)
    check = tuning.check
    assert check.expected == pytest.approx(check.right, abs=8)
    assert check.lowest <= tuning.best <= check.highest


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.95, "about 19 in 20"),
        (0.71, "about 7 in 10"),
        (0.5, "about 5 in 10"),
        (0.99, "nearly all"),
        (0.005, "hardly any"),
        (0.03, "about 1 in 20"),
    ],
)
def test_a_share_in_words(share: float, words: str) -> None:
    assert in_words(share) == words


def test_the_sentence() -> None:
    tuning, *_ = world(6)
    sentence = tuning.at(0.6).sentence
    assert sentence.startswith("At 60\u202f% about ")
    assert sentence.endswith("of the right ones are shown (from 80 verdicts).")


@pytest.mark.parametrize(
    ("rights", "queries", "sentence"),
    [
        ([True] * 4, 4, f"{MIN_VERDICTS - 4} more verdicts until"),
        (
            [True] * 40,
            20,
            "6 more verdicts until a threshold can be suggested, with at least 6 that are wrong (there are 0",
        ),
        (
            [True, False] * 20,
            3,
            "2 more verdicts until a threshold can be suggested, with at least 5 different queries",
        ),
        ([True] * 20 + [False] * 9, 9, "1 more verdict until a threshold can be suggested."),
        ([True, False] * 20, 9, ""),
    ],
)
def test_too_few_verdicts_are_told(rights: list[bool], queries: int, sentence: str) -> None:
    told = missing([str(place % queries) for place in range(len(rights))], rights)
    assert told.startswith(sentence)
    assert bool(told) == bool(sentence)


def test_the_exact_interval() -> None:
    """Clopper and Pearson's for 19 of 20, as the tables have it."""
    interval = exact_interval(19, 20, 0.95)
    assert (interval.low, interval.high) == pytest.approx((0.7513, 0.9987), abs=1e-4)
    assert exact_interval(0, 0, 0.95).high == 1
