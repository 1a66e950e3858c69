from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.search.match_evidence import Calibration, calibrate, crowding, evidence, slope, verdict

DIM = 32


def collection(groups: int, size: int, spread: float, seed: int = 0) -> NDArray[np.float64]:
    """Unit rows in groups about random directions, shuffled."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((groups, DIM)), size, axis=0)
    rows = centres + spread * rng.standard_normal(centres.shape)
    rows = rng.permutation(rows)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def found(vectors: NDArray[np.float64], query: NDArray[np.float64]) -> float:
    """The evidence that a query from outside has a match among the rows."""
    scores = vectors @ query
    best = int(np.argmax(scores))
    return evidence(np.sort(scores)[::-1], crowding(np.delete(vectors @ vectors[best], best)))


def direction(seed: int) -> NDArray[np.float64]:
    vector = np.random.default_rng(seed).standard_normal(DIM)
    return np.asarray(vector / np.linalg.norm(vector))


def near(vector: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Another photo of the same thing."""
    vector = vector + 0.4 * direction(seed)
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.mark.parametrize(("groups", "size", "told"), [(600, 1, 10), (200, 3, 90), (12, 50, 30)])
def test_what_is_there_is_told_from_what_is_not(groups: int, size: int, told: int) -> None:
    vectors = collection(groups, size, 0.4)
    calibration = calibrate(vectors, len(vectors))
    assert calibration is not None
    there = [verdict(calibration.share(found(vectors, near(vectors[row], row)))) for row in range(100)]
    foreign = [verdict(calibration.share(found(vectors, direction(1000 + row)))) for row in range(100)]
    assert there.count("nothing") == 0
    assert foreign.count("nothing") >= told


def test_of_more_pictures_than_the_sample_the_best_are_expected_to_be_better() -> None:
    everything = collection(3000, 1, 0.4)
    vectors, queries = everything[:2900], everything[2900:]
    small, large = calibrate(vectors[:500], 500), calibrate(vectors[:500], len(vectors))
    assert small is not None and large is not None
    searched = list[float]()
    for query in queries:
        scores = vectors @ query
        best = int(np.argmax(scores))
        around = vectors[:500] @ vectors[best]
        around = np.delete(around, best) if best < 500 else around
        searched.append(evidence(np.sort(scores)[::-1], crowding(around)))
    true = np.median(searched)
    assert abs(np.median(large.chance) - true) < abs(np.median(small.chance) - true) / 2
    assert small.threshold < large.threshold


def test_the_share_falls_as_the_evidence_rises() -> None:
    calibration = Calibration(np.array([0.1, 0.2, 0.3]), 0.0, 0.5)
    shares = [calibration.share(value) for value in (0.0, 0.1, 0.15, 0.3, 0.4)]
    assert shares == [1.0, 1.0, 0.75, 0.5, 0.25]
    assert [verdict(share) for share in (0.0, 0.05, 0.06, 0.49, 0.5, 1.0)] == [
        *("match", "match", "perhaps", "perhaps", "nothing", "nothing")
    ]


def test_the_slope_tells_a_few_from_many() -> None:
    few = np.concatenate([[0.9, 0.85], np.linspace(0.3, 0.2, 60)])
    many = np.concatenate([np.linspace(0.9, 0.8, 20), np.linspace(0.3, 0.2, 60)])
    assert slope(few) < -0.4 < slope(many)


@pytest.mark.parametrize("count", [0, 1, 30, 59])
def test_a_small_sample_teaches_nothing(count: int) -> None:
    assert calibrate(collection(max(count, 1), 1, 0.4)[:count], count) is None


def test_a_collection_of_one_kind_and_one_of_copies_do_not_break_it() -> None:
    for vectors in (collection(1, 100, 0.3), np.tile(direction(1), (100, 1))):
        calibration = calibrate(vectors, len(vectors))
        assert calibration is not None
        assert np.isfinite(calibration.chance).all()
        assert np.isfinite([calibration.slope, calibration.threshold]).all()
