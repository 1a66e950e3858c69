from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from core.search.match_evidence import Calibration
from core.search.suggested_thresholds import suggest_thresholds, widest_gap

TOTAL = 5000
COSINES = st.floats(-1, 1, width=32)
THINGS = Calibration(np.linspace(0.1, 1.1, 300), -0.9, 0.45)
"""Of a collection of single things; half of its pictures find evidence of 0.6 without their own group."""

KINDS = Calibration(np.linspace(0.1, 1.1, 300), 0.6, 0.45)
"""Of a collection of a few kinds of thing."""


@pytest.fixture
def background() -> NDArray[np.float64]:
    """Similarities of unrelated pictures: normal around 0.2."""
    return np.random.default_rng(1).normal(0.2, 0.05, 1000)


def ranking(*related: float) -> NDArray[np.float64]:
    """The best hundred of a collection of unrelated pictures and some related ones."""
    unrelated = np.random.default_rng(2).normal(0.2, 0.05, TOTAL - len(related))
    return np.sort(np.append(unrelated, related))[::-1][:100]


def test_the_same_thing_is_cut_off_at_the_widest_gap(background: NDArray[np.float64]) -> None:
    cuts = suggest_thresholds(ranking(0.9, 0.8, 0.78), background, TOTAL, calibration=THINGS, crowding=0.4)
    assert cuts is not None
    assert cuts.question == "thing"
    assert 0.4 < cuts.balanced < 0.78
    assert cuts.balanced == cuts.strict == cuts.thing
    assert cuts.wide == cuts.unrelated
    assert 0.36 < cuts.unrelated < 0.5
    assert cuts.verdict == "match"
    assert "where the scores drop most. Unrelated pictures end at about" in cuts.reason


def test_the_same_kind_reaches_down_a_long_slope(background: NDArray[np.float64]) -> None:
    related = np.linspace(0.9, 0.35, 40)
    mixed = np.append(background, np.linspace(0.9, 0.35, 8))
    cuts = suggest_thresholds(ranking(*related), mixed, TOTAL, calibration=KINDS, crowding=0.9)
    assert cuts is not None
    assert cuts.question == "kind"
    assert cuts.balanced == cuts.kind < 0.4
    assert cuts.wide <= cuts.balanced <= cuts.strict
    assert "as far as others of its kind stand out" in cuts.reason


def test_the_collection_tells_what_the_scores_leave_open(background: NDArray[np.float64]) -> None:
    scores = ranking(*np.linspace(0.6, 0.4, 12))
    questions = [
        cuts.question
        for calibration in (THINGS, KINDS)
        if (cuts := suggest_thresholds(scores, background, TOTAL, calibration=calibration, crowding=0.4))
    ]
    assert questions == ["thing", "kind"]


def test_a_match_in_a_crowded_place_is_none(background: NDArray[np.float64]) -> None:
    scores = ranking(0.55)
    verdicts = list[str]()
    for crowding in (0.1, 0.5, 1.3):
        cuts = suggest_thresholds(scores, background, TOTAL, calibration=THINGS, crowding=crowding)
        assert cuts is not None
        verdicts.append(cuts.verdict)
        assert cuts.nothing == (cuts.verdict == "nothing")
        assert 0.4 < cuts.balanced < 0.55  # it is shown all the same
    assert verdicts == ["match", "perhaps", "nothing"]


def test_nothing_like_it_is_said_with_how_sure_it_is(background: NDArray[np.float64]) -> None:
    reasons = list[str]()
    for besides in (False, True):
        cuts = suggest_thresholds(ranking(), background, TOTAL, calibration=THINGS, crowding=0.5, besides=besides)
        assert cuts is not None
        assert cuts.share is not None and cuts.share > 0.5
        reasons.append(cuts.reason)
        assert f"than what {cuts.share * 100:.0f}\u202f% of the pictures here find" in cuts.reason
    assert reasons[0].startswith("Probably nothing like it here: ")
    assert reasons[1].startswith("Probably nothing else like it here: ")


def test_without_a_calibration_nothing_is_said_to_be_nothing(background: NDArray[np.float64]) -> None:
    for related, verdict in (((), "perhaps"), ((0.9,), "match")):
        scores = ranking(*related)
        cuts = suggest_thresholds(scores[scores < 0.36] if not related else scores, background, TOTAL)
        assert cuts is not None
        assert (cuts.verdict, cuts.share, cuts.question) == (verdict, None, "thing")
        assert ("may be a coincidence" in cuts.reason) == (verdict == "perhaps")


def test_the_widest_gap_lies_above_a_floor() -> None:
    scores = np.array([0.9, 0.8, 0.79, 0.5, 0.49, 0.1])
    assert widest_gap(scores, 0.45) == pytest.approx(0.645)
    assert widest_gap(scores, 0.6) == pytest.approx(0.695)  # the floor counts as the last of them
    assert widest_gap(scores, 0.95) == 0.9  # the best alone


@pytest.mark.parametrize(("matches", "sample"), [(0, 100), (10, 29)])
def test_too_little_says_nothing(matches: int, sample: int) -> None:
    assert suggest_thresholds(np.linspace(0.9, 0.5, matches), np.linspace(0, 0.3, sample), 100) is None


@settings(deadline=None)
@given(
    arrays(np.float64, st.integers(1, 100), elements=COSINES),
    arrays(np.float64, st.integers(30, 90), elements=COSINES),
    st.sampled_from([None, THINGS, KINDS]),
    st.floats(-1, 1),
    st.integers(1, 10**6),
)
def test_the_cuts_are_ordered_as_they_are_called_and_show_the_best(
    similarities: NDArray[np.float64],
    background: NDArray[np.float64],
    calibration: Calibration | None,
    crowding: float,
    total: int,
) -> None:
    scores = np.sort(similarities)[::-1]
    cuts = suggest_thresholds(scores, background, total, calibration=calibration, crowding=crowding)
    assert cuts is not None
    assert scores[0] >= cuts.strict >= cuts.balanced >= cuts.wide
    assert cuts.thing >= cuts.kind
    assert cuts.wide <= cuts.unrelated
    assert cuts.share is None or 0 < cuts.share <= 1


def test_a_nearer_match_never_makes_nothing_likelier(background: NDArray[np.float64]) -> None:
    shares = list[float]()
    for best in np.linspace(0.4, 1, 13):
        cuts = suggest_thresholds(ranking(best), background, TOTAL, calibration=THINGS, crowding=0.5)
        assert cuts is not None and cuts.share is not None
        shares.append(cuts.share)
    assert shares == sorted(shares, reverse=True)


def test_pictures_that_are_all_alike_do_not_break_it() -> None:
    cuts = suggest_thresholds(np.ones(50), np.ones(100), 100, calibration=THINGS, crowding=1.0)
    assert cuts is not None
    assert cuts.strict == cuts.balanced == cuts.wide == 1
