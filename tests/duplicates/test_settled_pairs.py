from __future__ import annotations

from uuid import UUID

import pytest

from core.collection.curation import Curation
from core.collection.store import Store
from core.database.connection import Database
from core.duplicates.groups import Duplicates, KeepRule
from core.duplicates.removal import remove_duplicates
from core.duplicates.settled_pairs import SettledPairs
from core.duplicates.star_grouping import Group, Member, pairs_within
from tests.support.five_pictures import A, B, C, D, E, all_alike, copies, lookalikes, store_five

pytestmark = pytest.mark.pooled


@pytest.fixture(autouse=True)
def pictures(database: Database) -> None:
    store_five(database)


@pytest.fixture
def settled(database: Database) -> SettledPairs:
    return SettledPairs(database)


def test_pairs_that_are_no_duplicates_are_in_no_group_until_this_is_taken_back(
    database: Database, settled: SettledPairs
) -> None:
    duplicates = Duplicates(database)
    all_alike(database)
    pairs = settled.settle(pairs_within([A, B, C, D], D))
    assert pairs == [(A, D), (B, D), (C, D)]
    assert duplicates.copies(KeepRule())[0].pictures == [A, B, C]
    assert settled.settle([(A, D), (A, B), (B, UUID(int=99))]) == [(A, B)]
    count, latest = settled.latest(2)
    assert count == 4
    assert (latest[0].picture, latest[0].other, latest[0].stacked) == (A, B, False)
    group = Group(A, (Member(B, 1), Member(C, 1), Member(D, 1)))
    assert remove_duplicates(database, [group]).pictures == [C]
    assert settled.latest(9)[0] == 3
    Curation(database).restore([C])
    assert settled.unsettle([*pairs, (A, E)]) == pairs
    assert settled.unsettle(pairs) == []
    assert {group.keeper: set(group.pictures) for group in duplicates.copies(KeepRule())} == {A: {A, C, D}}


def test_a_stack_is_in_no_group_and_is_one_in_a_search(database: Database, settled: SettledPairs) -> None:
    store, duplicates = Store(database), Duplicates(database)
    model = store.use_model("test/two", 2)
    copies(database, [(A, B, 1), (A, C, 3)])
    lookalikes(database, model, [(D, E, 0.95)])
    before = duplicates.version()
    pairs = settled.settle([(A, B), (D, E)], stacked=True)
    assert duplicates.version() != before
    assert [group.pictures for group in duplicates.copies(KeepRule())] == [[A, C]]
    assert duplicates.lookalikes(model, 0.9, KeepRule()) == []
    assert store.copies_of([A, D]) == {A: [B, C], D: [E]}
    assert [pair.stacked for pair in settled.latest(9)[1]] == [True, True]
    settled.unsettle(pairs)
    settled.settle([(A, B)])
    assert store.copies_of([A, B, C, D]) == {A: [C], C: [A]}
    assert len(duplicates.lookalikes(model, 0.9, KeepRule())) == 1
