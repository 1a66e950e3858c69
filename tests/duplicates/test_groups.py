from __future__ import annotations

from uuid import UUID

import pytest

from core.collection.curation import Curation
from core.collection.store import Store
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.duplicates.groups import Duplicates, KeepRule
from core.duplicates.removal import remove_duplicates
from core.duplicates.star_grouping import Group, Member
from tests.support.five_pictures import A, B, C, D, E, all_alike, copies, lookalikes, proved, store_five

pytestmark = pytest.mark.pooled


@pytest.fixture
def duplicates(database: Database) -> Duplicates:
    return Duplicates(database)


@pytest.fixture
def model(database: Database) -> Model:
    return Store(database).use_model("test/two", 2)


@pytest.fixture(autouse=True)
def pictures(database: Database) -> None:
    store_five(database)


@pytest.mark.parametrize(
    ("rule", "keeper"),
    [
        (KeepRule("largest"), A),
        (KeepRule("oldest"), B),
        (KeepRule("tagged"), C),
        (KeepRule("domain", "Museum.example"), D),
        (KeepRule("domain", "nowhere.example"), A),
    ],
)
def test_the_rule_says_which_picture_stays(
    database: Database, duplicates: Duplicates, rule: KeepRule, keeper: UUID
) -> None:
    all_alike(database)
    [group] = duplicates.copies(rule)
    assert group.keeper == keeper
    assert set(group.pictures) == {A, B, C, D}
    [group] = duplicates.copies(rule, chosen=[E, C])
    assert group.keeper == C


@pytest.mark.parametrize(
    ("part_of_a", "of_a_in_part", "keeper"),
    [
        (1.0, 0.8, E),  # A is a crop of E
        (1.0, 0.4, A),  # it is one, too, and has three times as many pixels as E has there
        (0.97, 0.95, A),  # the whole picture
        (0.5, 0.5, A),  # they overlap
        (1.0, 0.1, A),  # E is a page that shows A in a corner, much reduced
        (0.3, 1.0, A),  # E is a crop of A
    ],
)
def test_a_crop_never_stays_instead_of_its_whole(
    database: Database, duplicates: Duplicates, part_of_a: float, of_a_in_part: float, keeper: UUID
) -> None:
    proved(database, A, E, part_of_a, of_a_in_part)
    assert [group.keeper for group in duplicates.copies(KeepRule())] == [keeper]
    assert [group.keeper for group in duplicates.copies(KeepRule("oldest"))] == [E]
    Curation(database).remove([E])
    assert duplicates.copies(KeepRule()) == []


def test_how_near_a_copy_is(database: Database, duplicates: Duplicates) -> None:
    copies(database, [(A, B, 2), (A, C, 0)])
    assert duplicates.copies(KeepRule()) == [Group(A, (Member(C, 1.0), Member(B, 1 - 2 / 64)))]


def test_lookalikes_reach_the_threshold_and_are_no_copies(
    database: Database, duplicates: Duplicates, model: Model
) -> None:
    lookalikes(database, model, [(A, B, 0.97), (A, C, 0.92), (D, E, 0.95)])
    copies(database, [(D, E, 1)])
    assert duplicates.lookalikes(model, 0.9, KeepRule()) == [Group(A, (Member(B, 0.97), Member(C, 0.92)))]
    assert duplicates.lookalikes(model, 0.92, KeepRule())[0].pictures == [A, B, C]
    assert duplicates.lookalikes(model, 0.95, KeepRule()) == [Group(A, (Member(B, 0.97),))]
    other = Store(database).use_model("test/other", 2)
    assert duplicates.lookalikes(other, 0.9, KeepRule()) == []


def test_removed_pictures_are_in_no_group_until_they_return(database: Database, duplicates: Duplicates) -> None:
    copies(database, [(A, B, 1)])
    before = duplicates.version()
    removed = remove_duplicates(database, duplicates.copies(KeepRule())).pictures
    assert removed == [B]
    assert duplicates.version() != before
    assert duplicates.copies(KeepRule()) == []
    assert Curation(database).restore(removed) == [B]
    assert duplicates.copies(KeepRule()) == [Group(A, (Member(B, 1 - 1 / 64),))]


def test_facts(database: Database, duplicates: Duplicates) -> None:
    with database.connection() as connection:
        connection.execute("INSERT INTO files (key, name, data) VALUES (%s, 'c.jpg', 'c')", (C.bytes * 2,))
    facts = duplicates.facts([A, C, UUID(int=99)])
    assert set(facts) == {A, C}
    assert (facts[C].tags, facts[C].kept, facts[A].kept, facts[A].size) == (["loan"], True, False, 9_000)
    assert facts[A].urls == ["https://a.example/0.jpg", "https://a.example/1.jpg"]
    assert facts[A].sites == ["a.example"]
    assert duplicates.size([A, B]) == 14_000
    assert duplicates.size([]) == 0
