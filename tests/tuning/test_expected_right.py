from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest

from core.tuning.expected_right import chances_right
from core.tuning.verdicts import StoredVerdict


def verdicts(count: int, seed: int) -> list[StoredVerdict]:
    """Verdicts on matches whose chance to be right rises from 0 to 1 between 0.4 and 0.8."""
    rng = np.random.default_rng(seed)
    similarities = rng.uniform(0.3, 0.9, count)
    rights = rng.random(count) < np.clip((similarities - 0.4) / 0.4, 0, 1)
    return [
        StoredVerdict(f"q{place % 12}", "", "[]", uuid4(), float(similarity), bool(right), False, datetime.now(UTC))
        for place, (similarity, right) in enumerate(zip(similarities, rights, strict=True))
    ]


@pytest.mark.parametrize("seed", range(8))
def test_the_sum_of_the_chances_is_about_how_many_are_right(seed: int) -> None:
    shown = np.random.default_rng(seed + 100).uniform(0.5, 0.9, 400)
    chances = chances_right(verdicts(300, seed), shown)
    assert chances is not None
    assert chances.sum() == pytest.approx(np.clip((shown - 0.4) / 0.4, 0, 1).sum(), rel=0.12)


def test_of_few_verdicts_nothing_is_said() -> None:
    assert chances_right(verdicts(20, 1), np.array([0.5])) is None
    assert chances_right([], np.array([0.5])) is None


def test_beyond_the_verdicts_it_is_as_at_their_end() -> None:
    known = verdicts(300, 3)
    chances = chances_right(known, np.array([max(entry.similarity for entry in known), 1.0]))
    assert chances is not None
    assert chances[0] == pytest.approx(chances[1])
