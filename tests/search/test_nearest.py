from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from psycopg import Connection

from bench.support.collection import fill, unit_vectors
from core.collection.filters import Filter, FilterOption
from core.collection.store import Store
from core.database.connection import Database
from core.database.embedding_tables import Model, Vector
from core.search.nearest import GROWTH, Nearest

pytestmark = pytest.mark.pooled

DIM = 16
COUNT = 240
TODAY = datetime(2026, 3, 10, 12).astimezone()
TAGS = [("red",), ("red", "round"), (), ("round",)]
HOSTS = ["museum.example", "img.museum.example", "notmuseum.example"]
DAYS = [TODAY - timedelta(days=days) for days in range(5)]
QUERY = unit_vectors(1, DIM, seed=9)[0]


@pytest.fixture
def model(database: Database) -> Model:
    return Store(database).use_model("test/sixteen", DIM)


@pytest.fixture
def vectors() -> Vector:
    return unit_vectors(COUNT, DIM)


@pytest.fixture
def ids(database: Database, model: Model, vectors: Vector) -> list[UUID]:
    """240 pictures, told apart by TAGS, HOSTS and DAYS; the first twenty belong to an import."""
    ids = fill(database, model, vectors, tags=TAGS, hosts=HOSTS, days=DAYS)
    with database.connection() as connection:
        add_import(connection, "Spring", ids[:20])
    return ids


@pytest.fixture
def nearest(database: Database) -> Nearest:
    return Nearest(database)


def add_import(connection: Connection, name: str, pictures: Iterable[UUID]) -> int:
    row = connection.execute("INSERT INTO imports (name) VALUES (%s) RETURNING id", (name,)).fetchone()
    assert row is not None
    for number, picture in enumerate(pictures):
        connection.execute(
            "INSERT INTO items (import, key, position, url, host, status, picture) VALUES (%s, %s, %s, '', '', %s, %s)",
            (row[0], b"%d" % number, number, "indexed", picture),
        )
    return int(row[0])


def by_numpy(ids: list[UUID], vectors: Vector, limit: int = COUNT) -> list[UUID]:
    """The order that the rounded vectors give."""
    rounded = vectors.astype(np.float16).astype(np.float64)
    cosines = rounded @ QUERY.astype(np.float16).astype(np.float64) / np.linalg.norm(rounded, axis=1)
    return [ids[place] for place in np.argsort(-cosines)][:limit]


def test_the_nearest_are_those_of_numpy_with_their_cosine(
    nearest: Nearest, model: Model, ids: list[UUID], vectors: Vector
) -> None:
    found = nearest.search(model, QUERY, 50)
    assert [match.id for match in found.matches] == by_numpy(ids, vectors, 50)
    cosines = np.sort(vectors @ QUERY)[::-1][:50]
    assert [match.similarity for match in found.matches] == pytest.approx(list(cosines), abs=2e-3)
    first = found.matches[0]
    assert (first.url, first.width, first.height) == (
        f"https://{HOSTS[ids.index(first.id) % 3]}/{ids.index(first.id)}.jpg",
        300,
        200,
    )
    assert (found.approximate, found.recall) == (False, None)


def test_a_small_collection_gives_all_it_has(nearest: Nearest, model: Model, ids: list[UUID], vectors: Vector) -> None:
    assert [match.id for match in nearest.search(model, QUERY, 1000).matches] == by_numpy(ids, vectors)


def test_models_never_meet(database: Database, nearest: Nearest, ids: list[UUID]) -> None:
    assert nearest.search(Store(database).use_model("test/other", DIM), QUERY, 10).matches == []


@pytest.mark.parametrize(
    ("where", "keeps"),
    [
        (Filter(tags=("red",)), lambda n: "red" in TAGS[n % 4]),
        (Filter(tags=("red", "round")), lambda n: n % 4 == 1),
        (Filter(tags=("blue",)), lambda n: False),
        (Filter(import_id=1), lambda n: n < 20),
        (Filter(import_id=77), lambda n: False),
        (Filter(domain="museum.example"), lambda n: n % 3 < 2),
        (Filter(domain="IMG.museum.example"), lambda n: n % 3 == 1),
        (Filter(domain="museum"), lambda n: False),
        (Filter(domain="%.example"), lambda n: False),
        (Filter(since=date(2026, 3, 9)), lambda n: n % 5 <= 1),
        (Filter(until=date(2026, 3, 9)), lambda n: n % 5 >= 1),
        (Filter(since=date(2026, 3, 8), until=date(2026, 3, 8)), lambda n: n % 5 == 2),
        (Filter(since=date.min, until=date.max), lambda n: True),
        (Filter(until=date.min), lambda n: False),
        (
            Filter(("round",), 1, "museum.example", date(2026, 3, 7), date(2026, 3, 9)),
            lambda n: n < 20 and n % 2 == 1 and n % 3 < 2 and 1 <= n % 5 <= 3,
        ),
    ],
)
def test_a_filter_keeps_to_what_it_says(
    nearest: Nearest, model: Model, ids: list[UUID], vectors: Vector, where: Filter, keeps: Callable[[int], bool]
) -> None:
    kept = [id for id in by_numpy(ids, vectors) if keeps(ids.index(id))]
    assert [match.id for match in nearest.search(model, QUERY, COUNT, where=where).matches] == kept
    assert [match.id for match in nearest.search(model, QUERY, 3, where=where).matches] == kept[:3]


def test_a_domain_is_that_of_any_address(
    database: Database, nearest: Nearest, model: Model, ids: list[UUID], vectors: Vector
) -> None:
    with database.connection() as connection:
        connection.execute(
            "INSERT INTO sources (key, url, picture) VALUES ('x', 'https://second.example:8443/a', %s)", (ids[7],)
        )
    assert [match.id for match in nearest.search(model, QUERY, 9, where=Filter(domain="second.example")).matches] == [
        ids[7]
    ]


def test_removed_and_left_out_pictures_never_appear(
    database: Database, nearest: Nearest, model: Model, ids: list[UUID], vectors: Vector
) -> None:
    order = by_numpy(ids, vectors)
    with database.connection() as connection:
        connection.execute("UPDATE pictures SET removed_at = now() WHERE id = ANY(%s)", (order[:3],))
    for where in (Filter(), Filter(domain="example")):
        matches = nearest.search(model, QUERY, 10, where=where, leave_out=[order[4], order[6]]).matches
        assert [match.id for match in matches] == [order[3], order[5], *order[7:15]]
    assert len(nearest.sample(model, COUNT - 3).ids) == COUNT - 3


def test_a_sample_is_kept_until_the_collection_has_grown(
    database: Database, nearest: Nearest, model: Model, ids: list[UUID], vectors: Vector
) -> None:
    sample = nearest.sample(model, COUNT)
    assert sample.vectors.dtype == np.float32
    assert sample.vectors.shape == (COUNT, DIM)
    assert np.sort(sample.vectors @ QUERY) == pytest.approx(np.sort(vectors @ QUERY), abs=2e-3)
    fill(database, model, unit_vectors(30, DIM, seed=2))
    assert nearest.sample(model, round(COUNT * (1 + GROWTH))) is sample
    assert len(nearest.sample(model, round(COUNT * (1 + GROWTH)) + 1).ids) == COUNT + 30


def test_a_sample_of_what_a_filter_keeps_and_its_count(
    nearest: Nearest, model: Model, ids: list[UUID], vectors: Vector
) -> None:
    where = Filter(tags=("red", "round"))
    kept = [number for number in range(COUNT) if number % 4 == 1]
    assert nearest.count(where) == len(kept)
    assert nearest.kept(where, ids[:8]) == {ids[1], ids[5]}
    assert nearest.kept(where, []) == set()
    sample = nearest.sample(model, len(kept), where)
    assert set(sample.ids) == {ids[number] for number in kept}
    assert np.sort(sample.others(QUERY, [])) == pytest.approx(np.sort(vectors[kept] @ QUERY), abs=2e-3)
    without = sample.others(QUERY, [ids[1], ids[5], ids[2]])
    assert np.sort(without) == pytest.approx(np.sort(vectors[kept[2:]] @ QUERY), abs=2e-3)
    assert nearest.sample(model, COUNT) is not sample


def test_an_empty_collection_has_no_sample_and_no_facets(nearest: Nearest, model: Model) -> None:
    assert nearest.sample(model, 0).vectors.shape == (0, DIM)
    facets = nearest.facets()
    assert (facets.tags, facets.imports, facets.domains) == ([], [], [])
    assert nearest.search(model, QUERY, 10).matches == []


def test_random_pictures_are_all_different_and_spread_over_the_collection(
    nearest: Nearest, model: Model, ids: list[UUID], vectors: Vector
) -> None:
    seen = np.zeros(COUNT, int)
    for _ in range(60):
        sample = nearest.random(model, 20)
        places = (sample @ vectors.T).argmax(axis=1)
        assert len(set(places)) == 20
        seen[places] += 1
    assert (seen > 0).sum() > 0.9 * COUNT


def test_facets_count_the_pictures_of_the_collection(database: Database, nearest: Nearest, ids: list[UUID]) -> None:
    with database.connection() as connection:
        connection.execute("UPDATE pictures SET removed_at = now() WHERE id = %s", (ids[0],))
        gone = add_import(connection, "Gone", ids[:5])
        connection.execute("UPDATE imports SET deleted_at = now() WHERE id = %s", (gone,))
    facets = nearest.facets()
    assert facets.tags == [FilterOption(0, "round", 120), FilterOption(0, "red", 119)]
    assert facets.imports == [FilterOption(1, "Spring", 19)]
    assert [(facet.name, facet.count) for facet in facets.domains] == [
        ("img.museum.example", 80),
        ("notmuseum.example", 80),
        ("museum.example", 79),
    ]
