"""What a curator does to pictures, and how it is undone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TypeVar
from uuid import UUID

import numpy as np
import pytest

from core.collection.curation import DELETED_AT_ONCE, MAX_TAG, Curation, checked_tag
from core.collection.filters import Filter
from core.collection.store import Store
from core.database.connection import Database
from core.errors import NotFoundError, TagError
from core.search.nearest import Nearest

pytestmark = pytest.mark.pooled

UNKNOWN = UUID(int=2**127)


@pytest.fixture
def curation(database: Database) -> Curation:
    return Curation(database)


@pytest.fixture
def pictures(database: Database) -> list[UUID]:
    """Ten pictures, by id."""
    return made(database, 10)


def made(database: Database, count: int) -> list[UUID]:
    ids = [UUID(int=number) for number in range(1, count + 1)]
    with database.connection() as connection:
        connection.execute(
            """INSERT INTO pictures (id, sha256, phash, width, height, bytes, mime)
               SELECT id, uuid_send(id) || uuid_send(id), 0, 64, 64, 100, 'image/png' FROM unnest(%s::uuid[]) AS id""",
            (ids,),
        )
    return ids


def tags_of(database: Database, picture: UUID) -> list[str]:
    with database.connection() as connection:
        row = connection.execute("SELECT tags FROM pictures WHERE id = %s", (picture,)).fetchone()
    assert row is not None
    return list(row[0])


Result = TypeVar("Result")


def together(*acts: Callable[[], Result]) -> list[Result]:
    """Run acts at the same moment, each in a thread; an error of any is raised."""
    barrier = Barrier(len(acts))

    def act(what: Callable[[], Result]) -> Result:
        barrier.wait(30)
        return what()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(act, acts))


def test_a_tag_goes_to_those_that_lack_it(curation: Curation, pictures: list[UUID]) -> None:
    assert curation.tag(pictures[:2], "red") == pictures[:2]
    assert curation.tag([UNKNOWN, *reversed(pictures[:4])], "red") == pictures[2:4]
    assert curation.tag(pictures[:4], "red") == []
    assert curation.tag([], "red") == []
    assert curation.tags() == [("red", 4)]


def test_untag_undoes_tag_and_the_other_way_round(database: Database, curation: Curation, pictures: list[UUID]) -> None:
    curation.tag(pictures[:1], "red")
    curation.tag(pictures, "blue")
    changed = curation.tag(pictures[:3], "red")
    assert curation.untag(changed, "red") == changed == pictures[1:3]
    assert tags_of(database, pictures[0]) == ["red", "blue"]
    assert tags_of(database, pictures[1]) == ["blue"]
    assert curation.untag(pictures, "red") == pictures[:1]
    assert curation.untag(pictures, "red") == []
    assert curation.tags() == [("blue", 10)]


def test_tags_come_commonest_first_without_removed_pictures(curation: Curation, pictures: list[UUID]) -> None:
    curation.tag(pictures[:2], "few")
    curation.tag(pictures[:8], "many")
    curation.tag(pictures[3:5], "also few")
    curation.tag(pictures[9:], "gone")
    curation.remove(pictures[7:])
    assert curation.tags() == [("many", 7), ("also few", 2), ("few", 2)]


@pytest.mark.parametrize(
    ("first", "again"),
    [("Sea  side ", "\tSEA SIDE"), ("Straße", "STRASSE"), ("Été", "e\u0301te\u0301"), ("Ñandú", "ñANDÚ"), ("猫", "猫")],
)
def test_an_existing_spelling_wins(curation: Curation, pictures: list[UUID], first: str, again: str) -> None:
    spelled = checked_tag(first)
    curation.tag(pictures[:2], first)
    assert curation.tag(pictures[:3], again) == pictures[2:3]
    assert curation.tags() == [(spelled, 3)]
    curation.remove(pictures)
    curation.tag(pictures[3:4], again)
    curation.restore(pictures)
    assert curation.tags() == [(spelled, 4)]
    assert curation.untag(pictures, again) == pictures[:4]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "The tag is empty."),
        (" \n ", "The tag is empty."),
        ("\u200b\u200e", "The tag is empty."),
        ("x" * (MAX_TAG + 1), "The tag has 51 characters; the limit is 50."),
        ("a\x00b", "The tag contains characters that cannot be displayed."),
        ("a\ud800", "The tag contains characters that cannot be displayed."),
    ],
)
def test_a_bad_tag_is_refused_with_a_sentence(
    curation: Curation, pictures: list[UUID], text: str, sentence: str
) -> None:
    for act in (curation.tag, curation.untag):
        with pytest.raises(TagError, match=f"^{sentence}"):
            act(pictures, text)
    assert curation.tags() == []


@pytest.mark.parametrize("text", ["x" * MAX_TAG, "'; DROP TABLE pictures; --", "%s {} \\", "👩‍👩‍👧", "می‌خواهم", "*"])
def test_a_tag_is_kept_as_it_is_typed(curation: Curation, pictures: list[UUID], text: str) -> None:
    curation.tag(pictures, text)
    assert curation.tags() == [(text, 10)]


def test_restore_undoes_remove(database: Database, curation: Curation, pictures: list[UUID]) -> None:
    store = Store(database)
    assert curation.remove([pictures[3]]) == [pictures[3]]
    removed = curation.remove([UNKNOWN, *reversed(pictures[:5])])
    assert removed == [pictures[0], pictures[1], pictures[2], pictures[4]]
    assert store.count() == 5
    assert curation.restore([UNKNOWN, *removed]) == removed
    assert store.count() == 9
    assert curation.restore(removed) == []
    assert curation.restore([pictures[3]]) == [pictures[3]]


def test_a_removed_picture_is_found_by_no_search_until_it_is_restored(
    database: Database, curation: Curation, pictures: list[UUID]
) -> None:
    model, nearest = Store(database).use_model("test/two", 2), Nearest(database)
    east = np.array([1, 0], np.float32)
    Store(database).embed(model, dict.fromkeys(pictures, east))

    def found() -> list[UUID]:
        return sorted(match.id for match in nearest.search(model, east, 20).matches)

    assert found() == pictures
    removed = curation.remove(pictures[2:])
    assert found() == pictures[:2]
    curation.restore(removed)
    assert found() == pictures


def test_undoing_a_tag_reaches_a_picture_that_was_removed_since(curation: Curation, pictures: list[UUID]) -> None:
    tagged = curation.tag(pictures, "wrong")
    curation.remove(pictures[:3])
    assert curation.untag(tagged, "wrong") == tagged
    curation.restore(pictures)
    assert curation.tags() == []


def test_thousands_at_once(database: Database, curation: Curation) -> None:
    many = made(database, 5000)
    assert curation.tag(reversed(many), "all") == many
    assert curation.remove(many) == many
    assert Store(database).count() == 0
    assert curation.restore(many) == many
    assert curation.tags() == [("all", 5000)]


def test_two_curators_never_lock_each_other_out(database: Database, curation: Curation) -> None:
    ids = made(database, 400)

    def one() -> None:
        for _ in range(10):
            curation.untag(curation.tag(ids, "one"), "one")

    def two() -> None:
        for _ in range(10):
            curation.restore(curation.remove(reversed(ids)))

    together(one, two)
    assert curation.tags() == []
    assert Store(database).count() == 400


def test_each_picture_is_changed_by_one_of_two_at_once(curation: Curation, pictures: list[UUID]) -> None:
    first, second = together(lambda: curation.remove(pictures), lambda: curation.remove(pictures))
    assert sorted([first, second], key=str) == sorted([pictures, []], key=str)


def test_one_new_tag_in_two_spellings_at_once_is_one_tag(curation: Curation, pictures: list[UUID]) -> None:
    first, second = pictures[:2]
    for number in range(20):
        low, high = f"cat {number}", f"CAT {number}"
        together(partial(curation.tag, [first], low), partial(curation.tag, [second], high))
    assert [count for _, count in curation.tags()] == [2] * 20


def test_all_that_a_filter_keeps_are_changed_and_changed_back(
    database: Database, curation: Curation, pictures: list[UUID]
) -> None:
    curation.tag(pictures[:6], "red")
    curation.remove(pictures[:1])
    where = Filter(tags=("red",))
    assert curation.tag(where, "seen") == pictures[1:6]
    removed = curation.remove(where)
    assert removed == pictures[1:6]
    assert curation.restore(Filter(tags=("seen",), removed=True)) == removed
    assert curation.untag(Filter(), "seen") == removed


def test_two_curators_who_tag_the_same_share_the_work(curation: Curation, pictures: list[UUID]) -> None:
    first, second = together(lambda: curation.tag(Filter(), "loan"), lambda: curation.tag(pictures, "LOAN"))
    assert sorted([*first, *second]) == pictures
    assert [count for _, count in curation.tags()] == [10]


def test_a_tag_is_renamed_everywhere_and_back(database: Database, curation: Curation, pictures: list[UUID]) -> None:
    curation.tag(pictures[:4], "red")
    curation.tag(pictures[3:6], "Crimson")
    curation.tag(pictures[:1], "last")
    curation.remove(pictures[:1])
    done = curation.rename_tag("RED", "crimson")
    assert (done.old, done.new, done.renamed, done.merged) == ("red", "Crimson", pictures[:3], pictures[3:4])
    assert curation.tags() == [("Crimson", 5)]
    assert tags_of(database, pictures[0]) == ["Crimson", "last"]
    curation.untag(pictures[1:2], "Crimson")
    assert curation.undo_renaming(done) == [pictures[0], *pictures[2:4]]
    curation.restore(pictures)
    assert curation.tags() == [("Crimson", 3), ("red", 3), ("last", 1)]
    assert tags_of(database, pictures[0]) == ["red", "last"]


def test_a_new_spelling_of_a_tag_is_another_name(curation: Curation, pictures: list[UUID]) -> None:
    curation.tag(pictures, "loan")
    done = curation.rename_tag("loan", "LOAN")
    assert curation.tags() == [("LOAN", 10)]
    assert curation.undo_renaming(done) == pictures
    with pytest.raises(TagError, match="is already called loan"):
        curation.rename_tag("loan", "loan")
    assert curation.rename_tag("nobody", "has it").renamed == []


def test_a_title_is_given_and_taken_back_unless_somebody_else_gave_one(
    curation: Curation, pictures: list[UUID]
) -> None:
    one = pictures[0]
    assert curation.retitle(one, "  A  cat\x00 ") == ""
    assert curation.retitle(one, "A cat") is None
    assert curation.retitle(one, "My cat") == "A cat"
    assert curation.retitle(one, "", instead_of="A cat") is None
    assert curation.retitle(one, "A cat", instead_of="My cat") == "My cat"
    with pytest.raises(NotFoundError, match="deleted it permanently"):
        curation.retitle(UNKNOWN, "x")


def test_the_bin_is_emptied_of_what_was_in_it(database: Database, curation: Curation, pictures: list[UUID]) -> None:
    store = Store(database)
    model = store.use_model("test/two", 2)
    store.embed(model, dict.fromkeys(pictures, np.array([1, 0], np.float32)))
    with database.connection() as connection:
        hashes = [row[0] for row in connection.execute("SELECT sha256 FROM pictures ORDER BY id")]
        connection.execute("INSERT INTO thumbnails SELECT id, 'image/png', '' FROM pictures")
        connection.execute("INSERT INTO sources SELECT sha256, 'https://a.example', id FROM pictures")
        connection.execute("INSERT INTO copies VALUES (%s, %s, 1)", (pictures[1], pictures[9]))
        connection.execute("INSERT INTO imports (name) VALUES ('list')")
        connection.cursor().executemany(
            "INSERT INTO files (key, name, data) VALUES (%s, 'x', '')", [(key,) for key in hashes[:3]]
        )
        connection.cursor().executemany(
            "INSERT INTO items (import, key, position, url, host, status, picture) VALUES (1, %s, 1, 'x', '', %s, %s)",
            [(hashes[0], "indexed", pictures[0]), (hashes[1], "waiting", None)],
        )
    curation.remove(pictures[:5])
    found = curation.deletable(Filter(removed=True))
    assert found.count == 5
    curation.remove(pictures[5:6])
    curation.restore(pictures[4:5])
    heard = list[tuple[int, int]]()
    assert curation.delete(Filter(removed=True), found.until, lambda done, total: heard.append((done, total))) == 4
    assert heard == [(4, 4)]
    assert curation.restore(pictures) == pictures[5:6]
    assert store.count() == 6
    with database.connection() as connection:

        def count(table: str) -> int:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])

        tables = ("thumbnails", "sources", f"embeddings_{model.id}", "copies", "files", "items")
        assert [count(table) for table in tables] == [6, 6, 6, 0, 1, 2]
        assert connection.execute("SELECT picture FROM items WHERE status = 'indexed'").fetchall() == [(pictures[0],)]


def test_what_is_in_the_collection_is_never_deleted(curation: Curation, pictures: list[UUID]) -> None:
    curation.remove(pictures[:1])
    until = curation.deletable(pictures).until
    assert curation.delete(pictures, until) == 1
    assert curation.delete(pictures, until) == 0
    assert curation.deletable(pictures).until is None
    assert curation.delete(pictures, None) == 0
    assert curation.restore(pictures) == []


def test_many_are_deleted_in_turns(database: Database, curation: Curation) -> None:
    many = made(database, 2 * DELETED_AT_ONCE + 1)
    curation.remove(many)
    heard = list[int]()
    until = curation.deletable(many).until
    assert curation.delete(many, until, lambda done, _: heard.append(done)) == len(many)
    assert heard == [DELETED_AT_ONCE, 2 * DELETED_AT_ONCE, len(many)]
