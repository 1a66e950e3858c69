"""Searches that say which matches are the same picture, over HTTP and on a real database."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from PIL import Image, ImageOps
from starlette.testclient import TestClient

from bench.support.data import some_photos
from bench.support.webserver import WebServer
from core.engine import Engine
from core.search.query_parts import Part

pytestmark = pytest.mark.pooled

PHOTOS = some_photos(12)


@pytest.fixture(scope="module")
def ids(client: TestClient) -> Iterator[list[str]]:
    """The ids of the photos, all indexed."""
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as site:
        urls = [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))]
        client.post("/api/upsert?wait=120", json={"images": urls}).raise_for_status()
        found = client.post("/api/search", files={"file": PHOTOS[0].read_bytes()}).json()["matches"]
        by_url = {match["url"]: match["id"] for match in found}
        yield [by_url[url] for url in urls]


def photo(number: int) -> Image.Image:
    return Image.open(PHOTOS[number]).convert("RGB")


def search(client: TestClient, image: Image.Image, **fields: Any) -> list[dict[str, Any]]:
    file = io.BytesIO()
    image.save(file, "PNG")
    answer = client.post("/api/search", files={"file": file.getvalue()}, data=fields)
    assert answer.status_code == 200, answer.text
    matches: list[dict[str, Any]] = answer.json()["matches"]
    return matches


def test_an_edited_picture_finds_itself_as_the_same(client: TestClient, ids: list[str]) -> None:
    matches = search(client, ImageOps.mirror(photo(3)))
    assert [match["relation"] for match in matches] == ["same"] + ["alike"] * (len(PHOTOS) - 1)
    assert matches[0]["id"] == ids[3]
    proof = matches[0]["verified"]
    assert proof["words"] == "Mirrored"
    assert proof["mirrored"]
    assert abs(proof["turned"]) < 5
    assert proof["share"] > 0.95
    assert len(proof["outline"]) == len(proof["query_outline"]) == 4
    assert all("verified" not in match for match in matches[1:])


def test_a_collage_finds_its_pictures_whatever_the_threshold(client: TestClient, ids: list[str]) -> None:
    collage = Image.new("RGB", (620, 420), "white")
    for place, number in enumerate((1, 4, 6, 9)):
        collage.paste(ImageOps.contain(photo(number), (300, 200)), (310 * (place % 2), 210 * (place // 2)))
    matches = search(client, collage, threshold="0.99")
    assert {match["id"] for match in matches} == {ids[number] for number in (1, 4, 6, 9)}
    assert {match["verified"]["words"] for match in matches} == {"Your picture contains it"}


def test_proofs_are_left_out_on_request_and_for_other_queries(client: TestClient, ids: list[str]) -> None:
    assert {match["relation"] for match in search(client, photo(2), verify="false")} == {"alike"}
    parts = [{"picture": ids[0]}, {"picture": ids[1]}]
    two = client.post("/api/search", json={"parts": parts}).json()["matches"]
    assert {match["relation"] for match in two} == {"alike"}


def test_what_the_search_did_not_fetch_joins_by_its_similarity(engine: Engine, ids: list[str]) -> None:
    query = engine.query_encoder.compose(engine.serving(), [Part(picture=UUID(ids[5]))])
    few = engine.search(query, 3)
    missing = [UUID(id) for id in ids if UUID(id) not in {match.id for match in few.found}][:2]
    similarities = {match.id: match.similarity for match in engine.search(query, 100).found}
    compared = engine.nearest.compare(query.model, query.vector, missing)
    assert {match.id for match in compared} == set(missing)
    assert all(match.similarity == pytest.approx(similarities[match.id], abs=1e-3) for match in compared)
    marked = engine.mark_same(few)
    assert set(marked.same) == {UUID(ids[5])}
    assert marked.verified
    assert not few.verified


def test_a_left_out_or_filtered_picture_is_no_candidate(client: TestClient, ids: list[str]) -> None:
    body = {"parts": [{"picture": ids[7]}], "leave_out": True}
    matches = client.post("/api/search", json=body).json()["matches"]
    assert ids[7] not in {match["id"] for match in matches}
    assert search(client, photo(7), domain="elsewhere.example") == []
