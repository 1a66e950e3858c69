"""Composed queries, over HTTP and on the real model."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from bench.support.data import changed, some_photos
from bench.support.webserver import WebServer
from core.database.embedding_tables import Model
from core.engine import Engine
from core.errors import NotFoundError, PictureError, QueryError
from core.search.query_parts import Part
from core.search.query_vector import EncodedPart, Query, combined

pytestmark = pytest.mark.pooled(only=True)

PHOTOS = some_photos(40)
MODEL = Model(1, "test/four", 4, "")


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as server:
        yield server


@pytest.fixture(scope="module")
def ids(client: TestClient, site: WebServer) -> list[str]:
    """The ids of the photos, all indexed."""
    urls = [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))]
    client.post("/api/upsert?wait=120", json={"images": urls}).raise_for_status()
    found = client.post("/api/search", files={"file": PHOTOS[0].read_bytes()}).json()["matches"]
    by_url = {match["url"]: match["id"] for match in found}
    return [by_url[url] for url in urls]


def search(client: TestClient, parts: list[dict[str, Any]], files: list[bytes] | None = None, **fields: Any) -> Any:
    if files is None:
        answer = client.post("/api/search", json={"parts": parts, **fields})
    else:
        given = [("file", data) for data in files]
        answer = client.post("/api/search", files=given, data={"parts": json.dumps(parts), **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def compose(engine: Engine, parts: list[Part], files: list[bytes] | None = None) -> Query:
    return engine.query_encoder.compose(engine.serving(), parts, files or [])


def refused(client: TestClient, **body: Any) -> tuple[int, str]:
    answer = client.post("/api/search", json=body)
    return answer.status_code, answer.json()["error"]


def seen(weight: float, *vector: float, kind: str = "picture") -> EncodedPart:
    part = Part(words="x", weight=weight) if kind == "words" else Part(picture=uuid4(), weight=weight)
    return EncodedPart(part, np.array(vector, np.float32), "x")


def test_a_query_is_the_weighted_sum_at_unit_length() -> None:
    query = combined(MODEL, [seen(2, 1, 0, 0, 0), seen(1, 0, 1, 0, 0), seen(-1, 0, 0, 1, 0)])
    assert query.vector == pytest.approx(np.array([2, 1, -1, 0]) / np.sqrt(6))
    assert query.vector.dtype == np.float32


def test_words_alone_are_words_and_anything_with_a_picture_is_not() -> None:
    words, picture = seen(1, 1, 0, 0, 0, kind="words"), seen(1, 0, 1, 0, 0)
    assert combined(MODEL, [words]).kind == "words"
    assert combined(MODEL, [words, picture]).kind == "picture"
    assert combined(MODEL, [words, seen(-0.5, 0, 1, 0, 0)]).kind == "words"


def test_parts_that_cancel_out_are_told() -> None:
    with pytest.raises(QueryError, match="cancel each other out"):
        combined(MODEL, [seen(1, 1, 0, 0, 0), seen(-1, 1, 0, 0, 0)])


def test_the_query_is_named_in_a_line() -> None:
    parts = [seen(1, 1, 0, 0, 0), seen(0.5, 0, 1, 0, 0, kind="words"), seen(-1, 0, 0, 1, 0, kind="words")]
    assert combined(MODEL, parts).label == 'x + 0.5 × "x" − "x"'


def test_two_pictures_are_both_found_first(client: TestClient, ids: list[str]) -> None:
    found = search(client, [{"picture": ids[3]}, {"picture": ids[17]}])
    assert {match["id"] for match in found["matches"][:2]} == {ids[3], ids[17]}


def test_files_urls_and_pictures_mix(client: TestClient, ids: list[str], site: WebServer) -> None:
    parts: list[dict[str, Any]] = [{"file": 1}, {"file": 0, "weight": 0.5}, {"url": site.url("/9.jpg")}]
    found = search(client, parts, [PHOTOS[20].read_bytes(), changed(PHOTOS[30])])
    assert {match["id"] for match in found["matches"][:3]} == {ids[30], ids[20], ids[9]}


def test_a_part_below_zero_leads_away(client: TestClient, ids: list[str]) -> None:
    def similarity(parts: list[dict[str, Any]]) -> float:
        found = search(client, parts)["matches"]
        return float(next(match["similarity"] for match in found if match["id"] == ids[8]))

    assert similarity([{"picture": ids[5]}, {"picture": ids[8], "weight": -1}]) < similarity([{"picture": ids[5]}])


def test_a_crop_is_searched_as_a_picture_of_its_own(client: TestClient, ids: list[str], engine: Engine) -> None:
    left, right = (Image.open(PHOTOS[number]).convert("RGB").resize((300, 300)) for number in (6, 25))
    both = Image.new("RGB", (600, 300))
    both.paste(left, (0, 0))
    both.paste(right, (300, 0))
    buffer = io.BytesIO()
    both.save(buffer, "PNG")
    for box, number in (([0, 0, 0.5, 1], 6), ([0.5, 0, 1, 1], 25)):
        found = search(client, [{"file": 0, "crop": box}], [buffer.getvalue()])
        assert found["matches"][0]["id"] == ids[number]
        assert "(part of it)" in found["query"]


def test_a_crop_of_a_picture_of_the_collection(client: TestClient, ids: list[str]) -> None:
    whole = search(client, [{"picture": ids[5]}])["matches"]
    part = search(client, [{"picture": ids[5], "crop": [0.1, 0.1, 0.9, 0.9]}])["matches"]
    assert part[0]["id"] == ids[5]
    assert part[0]["similarity"] < whole[0]["similarity"]


def test_a_crop_too_small_to_see_is_told(engine: Engine, ids: list[str]) -> None:
    part = Part(file=0, crop=(0.5, 0.5, 0.53, 0.53))
    with pytest.raises(PictureError, match=r"too small .* Draw a larger one"):
        compose(engine, [part], [PHOTOS[0].read_bytes()])


def test_the_query_itself_may_be_left_out(client: TestClient, ids: list[str]) -> None:
    with_it = search(client, [{"picture": ids[3]}])["matches"]
    without = search(client, [{"picture": ids[3]}], leave_out="true")["matches"]
    assert with_it[0]["id"] == ids[3]
    assert [match["id"] for match in without[:5]] == [match["id"] for match in with_it[1:6]]


def test_the_answer_suggests_cuts_and_says_what_was_asked(client: TestClient, ids: list[str]) -> None:
    found = search(client, [{"picture": ids[3]}])
    assert found["total"] == len(PHOTOS)
    assert found["kind"] == "picture"
    assert found["query"] == "3.jpg"
    assert found["approximate"] is False
    cuts = found["cuts"]
    assert cuts["strict"] >= cuts["balanced"] >= cuts["wide"]
    assert cuts["thing"] >= cuts["kind"]
    assert cuts["question"] in ("thing", "kind")
    assert cuts["verdict"] in ("match", "perhaps", "nothing")


def test_counts_and_cuts_speak_of_what_was_searched(engine: Engine, client: TestClient, ids: list[str]) -> None:
    engine.curation.tag([UUID(ids[1]), UUID(ids[2])], "Searched")
    parts = [{"picture": ids[1]}]
    kept = search(client, parts, tag=["Searched"])
    assert (kept["total"], kept["cuts"]) == (2, None)
    assert search(client, parts, tag=["Searched"], leave_out="true")["total"] == 1
    assert search(client, parts, leave_out="true")["total"] == len(PHOTOS) - 1
    assert search(client, parts, domain="127.0.0.1")["cuts"] is not None


def test_few_matches_have_the_cuts_of_many(client: TestClient, ids: list[str]) -> None:
    parts = [{"picture": ids[3]}]
    few, many = search(client, parts, top_k="2"), search(client, parts)
    assert len(few["matches"]) == 2
    assert few["cuts"] == many["cuts"]


def test_a_kept_upload_comes_back_and_is_dropped_in_time(engine: Engine, ids: list[str]) -> None:
    data = changed(PHOTOS[12])
    part = engine.query_encoder.keep("copy.jpg", data)
    assert part.upload is not None
    assert engine.query_images.read(part.upload) == data
    found = engine.search(compose(engine, [part]))
    assert str(found.found[0].id) == ids[12]
    assert found.query.label == "copy.jpg"
    with engine.database.connection() as connection:
        connection.execute("UPDATE query_pictures SET expires_at = now() - interval '1 second'")
    with pytest.raises(NotFoundError, match="no longer available: it is kept for 7 days"):
        engine.query_images.read(part.upload)
    with pytest.raises(NotFoundError, match="no longer available"):  # though its embedding is remembered
        compose(engine, [part])
    assert engine.query_images.drop_old() == 1


def test_the_same_bytes_are_called_by_where_they_come_from(engine: Engine, ids: list[str]) -> None:
    data = changed(PHOTOS[13])
    assert compose(engine, [Part(file=0)], [data]).label == "file 0"
    assert (
        engine.query_encoder.compose(
            engine.serving(), [engine.query_encoder.keep("https://a.example/vases/7.jpg", data)]
        ).label
        == "7.jpg"
    )
    assert compose(engine, [Part(file=0)], [data]).label == "file 0"


def test_a_removed_picture_is_told(engine: Engine, client: TestClient, ids: list[str]) -> None:
    engine.curation.remove([UUID(ids[39])])
    assert refused(client, parts=[{"picture": ids[39]}]) == (
        404,
        "This picture is no longer in the collection. Restore it, or choose another.",
    )
    engine.curation.restore([UUID(ids[39])])
    assert search(client, [{"picture": ids[39]}])["matches"][0]["id"] == ids[39]


def test_a_search_keeps_to_a_tag_and_a_site(engine: Engine, client: TestClient, ids: list[str]) -> None:
    engine.curation.tag([UUID(ids[1]), UUID(ids[2])], "Vases")
    parts = [{"picture": ids[30]}]
    assert {match["id"] for match in search(client, parts, tag=["Vases"])["matches"]} == {ids[1], ids[2]}
    assert len(search(client, parts, domain="127.0.0.1")["matches"]) == len(PHOTOS)
    assert search(client, parts, domain="a.example")["matches"] == []
    assert search(client, parts, until="2001-01-01")["matches"] == []


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"parts": [{"words": "a"}] * 50}, 400, "up to 10 parts, and this one has 50"),
        ({"parts": [{"file": 0}]}, 400, "names file 0 (counted from 0), but 0 came with it"),
        ({"parts": [{"picture": str(uuid4())}]}, 404, "no longer in the collection"),
        ({"parts": [{"upload": str(uuid4())}]}, 404, "no longer available"),
        ({"parts": [{"picture": str(uuid4()), "weight": -1}]}, 400, "are negative"),
        ({"parts": [{"url": "http://a.example", "crop": [0, 0, 0, 1]}]}, 400, "The crop has no area"),
        ({"parts": "nonsense"}, 400, "not valid JSON"),
        ({"parts": [{"url": "ftp://a.example/x"}]}, 400, "http"),
        ({"text": "a", "parts": [{"words": "a"}]}, 400, "Send one of"),
        ({"text": "a", "colour": "red"}, 400, "There is no field 'colour'"),
        ({"text": "a", "since": "yesterday"}, 400, "'since' must be a date"),
        ({"text": "a", "exact": "perhaps"}, 400, "'exact' must be true or false"),
        ({"text": "a", "import": "x"}, 400, "'import' must be a whole number"),
        ({}, 400, "Send one of"),
    ],
)
def test_a_query_that_cannot_be_is_a_sentence(
    client: TestClient, body: dict[str, Any], status: int, sentence: str
) -> None:
    code, told = refused(client, **body)
    assert code == status
    assert sentence in told
