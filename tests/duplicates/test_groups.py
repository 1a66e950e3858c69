from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from core.collection.curation import Curation
from core.collection.store import Store
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.duplicates.groups import Duplicates, KeepRule
from core.duplicates.star_grouping import Group, Member, pairs_within

pytestmark = pytest.mark.pooled

A, B, C, D, E = (UUID(int=number) for number in range(1, 6))
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def duplicates(database: Database) -> Duplicates:
    return Duplicates(database)


@pytest.fixture
def model(database: Database) -> Model:
    return Store(database).use_model("test/two", 2)


@pytest.fixture(autouse=True)
def pictures(database: Database) -> None:
    """A is the largest, B the oldest, C has a tag, D is from the museum; E is a stranger."""
    rows = [
        (A, 900, 5, [], "a.example"),
        (B, 500, 1, [], "b.example"),
        (C, 500, 3, ["loan"], "c.example"),
        (D, 500, 4, [], "images.museum.example"),
        (E, 800, 2, [], "notmuseum.example"),
    ]
    with database.connection() as connection:
        for id, side, day, tags, host in rows:
            connection.execute(
                """INSERT INTO pictures (id, sha256, phash, width, height, bytes, mime, tags, indexed_at)
                   VALUES (%s, %s, 0, %s, %s, %s, 'image/jpeg', %s, %s)""",
                (id, id.bytes * 2, side, side, side * 10, tags, BEGIN + timedelta(days=day)),
            )
            for number in range(2):
                connection.execute(
                    "INSERT INTO sources (key, url, picture, added_at) VALUES (%s, %s, %s, %s)",
                    (id.bytes + bytes([number]), f"https://{host}/{number}.jpg", id, BEGIN + timedelta(days=number)),
                )


def copies(database: Database, pairs: Sequence[tuple[UUID, UUID, int]]) -> None:
    with database.connection() as connection:
        for pair in pairs:
            connection.execute("INSERT INTO copies (picture, other, distance) VALUES (%s, %s, %s)", pair)


def lookalikes(database: Database, model: Model, pairs: Sequence[tuple[UUID, UUID, float]]) -> None:
    with database.connection() as connection:
        for pair in pairs:
            connection.execute("INSERT INTO lookalikes VALUES (%s, %s, %s, %s)", (model.id, *pair))


def all_alike(database: Database) -> None:
    copies(database, [(*pair, 1) for pair in pairs_within([A, B, C, D])])


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
    removed = duplicates.remove(duplicates.copies(KeepRule()))
    assert removed == [B]
    assert duplicates.version() != before
    assert duplicates.copies(KeepRule()) == []
    assert Curation(database).restore(removed) == [B]
    assert duplicates.copies(KeepRule()) == [Group(A, (Member(B, 1 - 1 / 64),))]


def test_no_keeper_is_ever_removed(database: Database, duplicates: Duplicates) -> None:
    """Not even when groups of two rules are mixed up, or when somebody has removed the keeper meanwhile."""
    mixed = [Group(A, (Member(B, 1), Member(C, 1))), Group(B, (Member(A, 1), Member(D, 1)))]
    assert duplicates.remove(mixed) == [C, D]
    Curation(database).restore([C, D])
    Curation(database).remove([A])
    assert duplicates.remove([Group(A, (Member(B, 1), Member(C, 1)))]) == []


def test_two_curators_who_keep_different_pictures_leave_one(database: Database, duplicates: Duplicates) -> None:
    everyone = [A, B, C, D]
    for _ in range(5):
        with ThreadPoolExecutor(4) as threads:
            list(
                threads.map(
                    lambda keeper: duplicates.remove(
                        [Group(keeper, tuple(Member(id, 1) for id in everyone if id != keeper))]
                    ),
                    everyone,
                )
            )
        assert len(duplicates.facts(everyone)) == 1
        Curation(database).restore(everyone)


def test_what_is_said_to_be_different_is_remembered_and_taken_back(database: Database, duplicates: Duplicates) -> None:
    all_alike(database)
    said = duplicates.mark_not_duplicates(pairs_within([A, B, C, D], D))
    assert said == [(A, D), (B, D), (C, D)]
    assert duplicates.copies(KeepRule())[0].pictures == [A, B, C]
    assert duplicates.mark_not_duplicates([(A, D), (A, B), (B, UUID(int=99))]) == [(A, B)]
    count, last = duplicates.not_duplicates(2)
    assert count == 4
    assert (last[0].picture, last[0].other) == (A, B)
    assert duplicates.remove([Group(A, (Member(B, 1), Member(C, 1), Member(D, 1)))]) == [C]
    assert duplicates.not_duplicates(9)[0] == 3
    Curation(database).restore([C])
    assert duplicates.unmark_not_duplicates([*said, (A, E)]) == said
    assert duplicates.unmark_not_duplicates(said) == []
    assert {group.keeper: set(group.pictures) for group in duplicates.copies(KeepRule())} == {A: {A, C, D}}


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
