"""Doubles planted among real photos, as both tabs of the duplicates page show them: the benchmark in small."""

from __future__ import annotations

import time

from bench.duplicates import CHANGES, COPIES, judge, plant
from core.duplicates.groups import KeepRule
from core.engine import Engine


def test_copies_are_found_and_nothing_else(engine: Engine) -> None:
    planted_as = plant(engine, 20)
    precision, recalls = judge(engine.duplicates.copies(KeepRule()), planted_as)
    assert precision >= 0.98
    assert all(recalls[change] >= 0.95 for change in COPIES)
    model = engine.model()
    engine.comparisons.ask(model, 0.85)
    while engine.comparisons.read(model).wanted is not None:
        time.sleep(0.1)
    precision, recalls = judge(engine.duplicates.lookalikes(model, 0.85, KeepRule()), planted_as)
    assert precision >= 0.95
    assert recalls["mirrored"] >= 0.6
    assert set(recalls) == set(CHANGES)
