from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from bench.support.collection import fill, unit_vectors
from core.collection.store import Store
from core.database.connection import Database
from core.database.embedding_tables import Model
from core.indexing.sample_tour import read_tour, remove_sample
from core.media.sample_images import NAME
from core.search.query_parts import Part
from core.search.saved_thresholds import SavedThresholds
from core.tuning.verdicts import JudgedQuery, Verdict, Verdicts, query_key


def sampled(database: Database, pictures: list[UUID]) -> int:
    """An import of the sample that brought these pictures."""
    with database.connection() as connection:
        ((id,),) = connection.execute("INSERT INTO imports (name) VALUES (%s) RETURNING id", (NAME,)).fetchall()
        for place, picture in enumerate(pictures):
            connection.execute(
                """INSERT INTO items (import, key, position, url, host, status, picture)
                   VALUES (%s, %s, %s, %s, '', 'indexed', %s)""",
                (id, picture.bytes, place, f"/{picture}", picture),
            )
    return int(id)


@pytest.mark.parametrize("own_verdict", [False, True], ids=["only drawings were judged", "a photo was judged, too"])
def test_with_the_sample_go_its_verdicts_and_the_thresholds_that_rest_on_them(
    database: Database, own_verdict: bool
) -> None:
    model: Model = Store(database).use_model("one", 8)
    pictures = fill(database, model, unit_vectors(5, 8))
    drawings, photos = pictures[:3], pictures[3:]
    import_id = sampled(database, drawings)
    verdicts, thresholds = Verdicts(database, timedelta(days=30)), SavedThresholds(database)
    parts = (Part(picture=photos[0]),)
    query = JudgedQuery(query_key(parts), "picture", "", parts)
    for picture in [*drawings, *(photos[1:] if own_verdict else [])]:
        verdicts.judge(model, Verdict(query, picture, 0.8, right=True))
    thresholds.save(model, "picture", 0.245, 62)

    assert remove_sample(database, import_id) == 3
    assert read_tour(database) is None
    with database.connection() as connection:
        left = [row[0] for row in connection.execute("SELECT id FROM pictures")]
    assert set(left) == set(photos)  # nothing of the sample is in the bin
    assert [entry.picture for entry in verdicts.read(model, "picture")] == (photos[1:] if own_verdict else [])
    assert (thresholds.current(model, "picture") is not None) == own_verdict
