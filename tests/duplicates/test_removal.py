from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from core.collection.curation import Curation
from core.collection.picture_details import read_details
from core.database.connection import Database
from core.duplicates.groups import Duplicates
from core.duplicates.removal import remove_duplicates, undo_removal
from core.duplicates.settled_pairs import SettledPairs
from core.duplicates.star_grouping import Group, Member
from tests.support.five_pictures import A, B, C, D, store_five

pytestmark = pytest.mark.pooled


@pytest.fixture(autouse=True)
def pictures(database: Database) -> None:
    store_five(database)


def test_no_keeper_is_ever_removed(database: Database) -> None:
    """Not even when groups of two rules are mixed up, or when somebody has removed the keeper meanwhile."""
    mixed = [Group(A, (Member(B, 1), Member(C, 1))), Group(B, (Member(A, 1), Member(D, 1)))]
    assert remove_duplicates(database, mixed).pictures == [C, D]
    Curation(database).restore([C, D])
    Curation(database).remove([A])
    assert remove_duplicates(database, [Group(A, (Member(B, 1), Member(C, 1)))]).pictures == []


def test_two_curators_who_keep_different_pictures_leave_one(database: Database) -> None:
    everyone = [A, B, C, D]
    for _ in range(5):
        with ThreadPoolExecutor(4) as threads:
            list(
                threads.map(
                    lambda keeper: remove_duplicates(
                        database, [Group(keeper, tuple(Member(id, 1) for id in everyone if id != keeper))]
                    ),
                    everyone,
                )
            )
        assert len(Duplicates(database).facts(everyone)) == 1
        Curation(database).restore(everyone)


def describe(database: Database, id: UUID, title: str, tags: list[str], fields: dict[str, str]) -> None:
    with database.connection() as connection:
        connection.execute(
            "UPDATE pictures SET title = %s, tags = %s, fields = %s WHERE id = %s", (title, tags, Jsonb(fields), id)
        )


def described(database: Database, id: UUID) -> tuple[str, list[str], dict[str, str]]:
    found = read_details(database, id)
    return found.title, found.tags, dict(found.fields)


def test_what_stays_is_given_what_it_lacks(database: Database) -> None:
    describe(database, A, "", ["loan"], {"Artist": "Anna"})
    describe(database, B, "Vase", ["red", "loan"], {"Artist": "Unknown", "Year": "1912"})
    describe(database, C, "Old vase", ["blue"], {"Year": "1900", "Place": "Delft"})
    describe(database, D, "", [], {})
    groups = [Group(A, (Member(B, 1), Member(C, 1), Member(D, 1)))]
    plain = remove_duplicates(database, groups)
    assert described(database, A) == ("", ["loan"], {"Artist": "Anna"})
    assert undo_removal(database, plain) == [B, C, D]
    done = remove_duplicates(database, groups, merge=True)
    assert (done.pictures, list(done.described)) == ([B, C, D], [A])
    merged = {"Artist": "Anna", "Year": "1912", "Place": "Delft"}
    assert described(database, A) == ("Vase", ["loan", "red", "blue"], merged)
    assert undo_removal(database, done) == [B, C, D]
    assert described(database, A) == ("", ["loan"], {"Artist": "Anna"})
    assert described(database, B) == ("Vase", ["red", "loan"], {"Artist": "Unknown", "Year": "1912"})


def test_an_undo_leaves_what_was_changed_since(database: Database) -> None:
    describe(database, B, "Vase", ["red"], {})
    describe(database, D, "Cup", [], {})
    done = remove_duplicates(database, [Group(A, (Member(B, 1),)), Group(C, (Member(D, 1),))], merge=True)
    assert set(done.described) == {A, C}
    Curation(database).tag([A], "seen")
    Curation(database).restore([B])
    assert undo_removal(database, done) == [D]
    assert described(database, A) == ("Vase", ["red", "seen"], {})
    assert described(database, C) == ("", ["loan"], {})


def test_nothing_is_given_by_pictures_that_stay(database: Database) -> None:
    describe(database, B, "Vase", ["red"], {})
    SettledPairs(database).settle([(A, B)])
    done = remove_duplicates(database, [Group(A, (Member(B, 1),))], merge=True)
    assert (done.pictures, done.described) == ([], {})
    assert described(database, A) == ("", [], {})
