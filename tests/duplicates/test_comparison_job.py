from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID

import numpy as np
import pytest

from bench.support.collection import fill, unit_vectors
from core.collection.curation import Curation
from core.collection.store import Store
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector
from core.duplicates.comparison_job import LOWEST, Comparison, Comparisons
from core.duplicates.groups import Duplicates, KeepRule

pytestmark = pytest.mark.pooled

DIM = 16


@pytest.fixture
def model(database: Database) -> Model:
    return Store(database).use_model("test/sixteen", DIM)


@pytest.fixture
def comparisons(database: Database) -> Comparisons:
    return Comparisons(database)


def never() -> bool:
    return False


def twins(count: int) -> Vector:
    """Vectors in random directions, and after them one close to each of the first ten."""
    vectors = unit_vectors(count, DIM)
    close = vectors[:10] + 0.01 * unit_vectors(10, DIM, seed=1)
    return np.concatenate([vectors, close / np.linalg.norm(close, axis=1, keepdims=True)])


def found(database: Database, model: Model, threshold: float = 0.99) -> set[frozenset[UUID]]:
    groups = Duplicates(database).lookalikes(model, threshold, KeepRule())
    return {frozenset(group.pictures) for group in groups}


def as_pairs(ids: list[UUID], count: int) -> set[frozenset[UUID]]:
    return {frozenset((ids[number], ids[count + number])) for number in range(10)}


def test_a_comparison_is_asked_for_made_and_kept(database: Database, model: Model, comparisons: Comparisons) -> None:
    ids = fill(database, model, twins(50))
    assert comparisons.read(model) == Comparison()
    assert not comparisons.run(model, never)
    comparisons.ask(model, 0.99)
    waiting = comparisons.read(model)
    assert (waiting.wanted, waiting.running, waiting.threshold) == (0.99, False, None)
    assert comparisons.run(model, never)
    done = Comparisons(database).read(model)
    assert (done.wanted, done.running, done.threshold, done.pictures, done.added) == (None, False, 0.99, 60, 0)
    assert done.made_at is not None
    assert found(database, model) == as_pairs(ids, 50)
    assert not comparisons.run(model, never)


def test_pictures_that_came_or_returned_since_are_told(
    database: Database, model: Model, comparisons: Comparisons
) -> None:
    curation = Curation(database)
    ids = fill(database, model, twins(50))
    curation.remove(ids[:3])
    comparisons.ask(model, 0.99)
    comparisons.run(model, never)
    assert comparisons.read(model).pictures == 57
    curation.restore(ids[:2])
    assert comparisons.read(model).added == 2
    curation.remove(ids[20:30])
    fill(database, model, unit_vectors(4, DIM, seed=5))
    assert comparisons.read(model).added == 4
    comparisons.ask(model, 0.99)
    comparisons.run(model, never)
    assert comparisons.read(model).added == 0


def test_a_threshold_is_kept_within_reason(model: Model, comparisons: Comparisons) -> None:
    comparisons.ask(model, -3)
    assert comparisons.read(model).wanted == LOWEST
    comparisons.ask(model, 7)
    assert comparisons.read(model).wanted == 1


def test_of_two_that_work_on_it_the_first_gives_way(database: Database, model: Model, comparisons: Comparisons) -> None:
    """As when a process that was taken for dead wakes up; else the job queue sees to it that there is but one."""
    ids = fill(database, model, twins(50))
    comparisons.ask(model, 0.99)
    made = list[bool]()

    def meanwhile() -> bool:
        if not made:
            made.append(True)
            made[0] = comparisons.run(model, never)
        return False

    assert not comparisons.run(model, meanwhile)
    assert made == [True]
    assert found(database, model) == as_pairs(ids, 50)


@pytest.mark.parametrize(
    ("act", "wanted"),
    [
        (lambda comparisons, model: comparisons.cancel(model), None),
        (lambda comparisons, model: comparisons.ask(model, 0.95), 0.95),
    ],
)
def test_a_comparison_that_nobody_wants_any_more_ends(
    database: Database,
    model: Model,
    comparisons: Comparisons,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Comparisons, Model], None],
    wanted: float | None,
) -> None:
    monkeypatch.setattr("core.duplicates.comparison_job.PROGRESS_SECONDS", 0.0)
    ids = fill(database, model, twins(50))
    comparisons.ask(model, 0.99)
    comparisons.run(model, never)
    comparisons.ask(model, 0.9)
    acts = [act]

    def meanwhile() -> bool:
        if acts:
            acts.pop()(comparisons, model)
        return False

    assert not comparisons.run(model, meanwhile)
    state = comparisons.read(model)
    assert (state.wanted, state.running, state.threshold) == (wanted, False, 0.99)
    assert found(database, model) == as_pairs(ids, 50)


def test_what_is_broken_off_is_done_by_whoever_comes_next(
    database: Database, model: Model, comparisons: Comparisons
) -> None:
    ids = fill(database, model, twins(50))
    comparisons.ask(model, 0.99)
    assert not comparisons.run(model, lambda: True)
    assert comparisons.read(model).wanted == 0.99
    assert Comparisons(database).run(model, never)
    assert found(database, model) == as_pairs(ids, 50)


def test_a_lack_of_room_is_told(
    database: Database, model: Model, comparisons: Comparisons, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    comparisons.ask(model, 0.99)
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert not comparisons.run(model, never)
    state = comparisons.read(model)
    assert state.wanted is None
    assert "No space left" in state.problem
    comparisons.ask(model, 0.99)
    assert comparisons.read(model).problem == ""


def test_searches_go_on_beside_it(database: Database, model: Model, comparisons: Comparisons) -> None:
    """No lock that it holds is in the way of an import or a removal."""
    ids = fill(database, model, twins(50))
    comparisons.ask(model, 0.99)
    problems = list[str]()

    def meanwhile() -> bool:
        def act() -> None:
            fill(database, model, unit_vectors(1, DIM, seed=9))
            Curation(database).restore(Curation(database).remove(ids[:1]))

        thread = threading.Thread(target=act)
        thread.start()
        thread.join(10)
        problems.extend(["stuck"] if thread.is_alive() else [])
        return False

    assert comparisons.run(model, meanwhile)
    assert problems == []
    assert comparisons.read(model).added > 0
