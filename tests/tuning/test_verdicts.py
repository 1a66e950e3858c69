from __future__ import annotations

import csv
import io
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from bench.support.collection import fill, unit_vectors
from core.collection.store import Store
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.errors import LookalikeError, NotFoundError
from core.search.query_parts import Part, kind_of
from core.search.saved_thresholds import SavedThresholds
from core.tuning.verdict_csv import as_csv, import_summary, read_csv
from core.tuning.verdicts import JudgedQuery, Verdict, Verdicts, query_key


@pytest.fixture
def model(database: Database) -> Model:
    return Store(database).use_model("one", 8)


@pytest.fixture
def pictures(database: Database, model: Model) -> list[UUID]:
    return fill(database, model, unit_vectors(4, 8))


@pytest.fixture
def verdicts(database: Database) -> Verdicts:
    return Verdicts(database, timedelta(days=30))


def asked(*parts: Part, label: str = "") -> JudgedQuery:
    return JudgedQuery(query_key(parts), kind_of(parts), label, parts)


BICYCLE = asked(Part(words="a red bicycle"), label="a red bicycle")


def test_a_query_is_told_again() -> None:
    id = uuid4()
    assert query_key([Part(picture=id)]) == query_key([Part(upload=id, weight=2)]) == f"picture:{id}"
    assert query_key([Part(words="  A Red\nBicycle ")]) == "words:a red bicycle"
    both = [Part(picture=id), Part(words="red", weight=0.5)]
    assert query_key(both) == query_key(both[::-1])
    assert query_key(both) not in (query_key(both[:1]), query_key([both[0], Part(words="red")]))
    assert query_key([Part(picture=id, crop=(0, 0, 0.5, 1))]) != query_key([Part(picture=id)])


def test_the_latest_verdict_counts_and_the_dispute_is_known(
    verdicts: Verdicts, model: Model, pictures: list[UUID]
) -> None:
    query = asked(Part(picture=pictures[0]))
    for right in (True, False):
        verdicts.judge(model, Verdict(query, pictures[1], 0.8, right))
    verdicts.judge(model, Verdict(query, pictures[2], 0.7, True))
    found = {entry.picture: entry for entry in verdicts.read(model, "picture")}
    assert [found[id].right for id in pictures[1:3]] == [False, True]
    assert [found[id].disputed for id in pictures[1:3]] == [True, False]
    assert verdicts.of_query(model, query.key) == {pictures[1]: False, pictures[2]: True}


def test_a_verdict_taken_back_is_none_and_disputes_nothing(
    verdicts: Verdicts, model: Model, pictures: list[UUID]
) -> None:
    query = asked(Part(picture=pictures[0]))
    for right in (True, None):
        verdicts.judge(model, Verdict(query, pictures[1], 0.8, right))
    assert verdicts.read(model, "picture") == []
    assert verdicts.of_query(model, query.key) == {}
    verdicts.judge(model, Verdict(query, pictures[1], 0.8, False))
    (entry,) = verdicts.read(model, "picture")
    assert (entry.right, entry.disputed) == (False, False)


def test_models_and_kinds_are_kept_apart(
    verdicts: Verdicts, database: Database, model: Model, pictures: list[UUID]
) -> None:
    other = Store(database).use_model("two", 8)
    verdicts.judge(model, Verdict(BICYCLE, pictures[0], 0.3, True))
    assert verdicts.read(model, "picture") == verdicts.read(other, "words") == []
    assert len(verdicts.read(model, "words")) == 1


def test_a_picture_that_is_gone_for_good_cannot_be_judged(
    verdicts: Verdicts, database: Database, model: Model, pictures: list[UUID]
) -> None:
    verdicts.judge(model, Verdict(BICYCLE, pictures[0], 0.3, True))
    with database.connection() as connection:
        connection.execute("DELETE FROM pictures WHERE id = %s", (pictures[0],))
    assert verdicts.read(model, "words") == []
    with pytest.raises(NotFoundError, match="no longer in the collection, so the verdict was not saved"):
        verdicts.judge(model, Verdict(BICYCLE, pictures[0], 0.3, True))


def test_recent_queries_are_remembered_and_old_ones_forgotten(
    verdicts: Verdicts, database: Database, model: Model, pictures: list[UUID]
) -> None:
    boat, cat = asked(Part(words="boat")), asked(Part(words="cat"))
    for query in (boat, cat, BICYCLE, boat):
        verdicts.remember(query)
    assert [query.key for query in verdicts.recent("words", 9)] == ["words:boat", BICYCLE.key, "words:cat"]
    verdicts.judge(model, Verdict(cat, pictures[0], 0.3, True))
    with database.connection() as connection:
        connection.execute("UPDATE queries SET asked_at = now() - interval '31 days'")
    verdicts.remember(BICYCLE)
    with database.connection() as connection:
        assert {row[0] for row in connection.execute("SELECT key FROM queries")} == {BICYCLE.key, cat.key}


def test_a_table_goes_out_and_comes_back(
    verdicts: Verdicts, database: Database, model: Model, pictures: list[UUID]
) -> None:
    verdicts.judge(model, Verdict(asked(Part(words="=1+1"), label="=1+1"), pictures[0], 0.3, True))
    verdicts.judge(model, Verdict(BICYCLE, pictures[1], 0.25, False))
    data = as_csv(verdicts.read(model, "words"), model)
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert [row["query"] for row in rows] == ["'=1+1", "a red bicycle"]
    before = verdicts.read(model, "words")
    table = read_csv("verdicts.csv", data, model)
    again = verdicts.add(model, table.verdicts, table.at)
    assert import_summary(again, table.refused) == "0 verdicts imported. Left out: 2 already known."
    with database.connection() as connection:
        connection.execute("DELETE FROM queries")
    back = verdicts.add(model, table.verdicts, table.at)
    assert import_summary(back, table.refused) == "2 verdicts imported."
    assert verdicts.read(model, "words") == before


def test_a_table_of_another_collection_or_model_is_told_and_the_rest_taken(
    verdicts: Verdicts, model: Model, pictures: list[UUID]
) -> None:
    lines = [
        "query,query parts,picture,similarity,right,model,time (UTC)",
        f'cat,"[{{""words"":""cat""}}]",{pictures[0]},0.3,yes,one,2026-01-02 03:04:05',
        f'cat,"[{{""words"":""cat""}}]",{uuid4()},0.3,no,one,2026-01-02 03:04:05',
        f'cat,"[{{""words"":""cat""}}]",{pictures[1]},0.3,no,another,2026-01-02 03:04:05',
        f'cat,"[{{""words"":""cat""}}]",{pictures[1]},0.3,perhaps,one,2026-01-02 03:04:05',
        f"cat,nonsense,{pictures[1]},0.3,no,one,2026-01-02 03:04:05",
    ]
    table = read_csv("theirs.csv", "\n".join(lines).encode(), model)
    assert table.refused == Counter({"made with another model": 1, "that cannot be read": 2})
    taken = verdicts.add(model, table.verdicts, table.at)
    assert import_summary(taken, table.refused) == (
        "1 verdict imported. Left out: 1 about pictures that are not in this collection, 1 made with another model, "
        "2 that cannot be read."
    )
    assert [entry.picture for entry in verdicts.read(model, "words")] == [pictures[0]]


def test_a_verdict_from_the_future_is_one_of_now(verdicts: Verdicts, model: Model, pictures: list[UUID]) -> None:
    verdicts.add(model, [Verdict(BICYCLE, pictures[0], 0.3, True)], [datetime(2999, 1, 1, tzinfo=UTC)])
    verdicts.judge(model, Verdict(BICYCLE, pictures[0], 0.3, False))
    (entry,) = verdicts.read(model, "words")
    assert entry.right is False


def test_what_is_no_table_of_verdicts_is_refused(model: Model) -> None:
    with pytest.raises(LookalikeError, match=r"list\.csv is not a table of verdicts: it has no column “query parts”"):
        read_csv("list.csv", b"query,picture\n1,2\n", model)


def test_a_threshold_is_saved_kept_apart_and_given_up(database: Database, model: Model) -> None:
    thresholds = SavedThresholds(database)
    assert thresholds.current(model, "picture") is None
    thresholds.save(model, "picture", 0.8, 60, "At 80 %")
    thresholds.save(model, "picture", 0.83, 64, "At 83 %")
    current = thresholds.current(model, "picture")
    assert current is not None
    assert (current.threshold, current.verdicts, current.sentence) == (0.83, 64, "At 83 %")
    assert thresholds.current(model, "words") is None
    thresholds.save(model, "picture", None)
    assert thresholds.current(model, "picture") is None
    assert [entry.threshold for entry in thresholds.history(model, "picture")] == [None, 0.83, 0.8]
