"""Collections made by the version before the packages were redrawn: a data folder, stopped as Ctrl+C stops it, and a
backup of the same. Both hold four drawings of a list with two lost URLs, two that were dropped, one of them a small
copy, and a curator's work on them."""

from __future__ import annotations

import csv
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from PIL import Image
from pydantic import SecretStr
from starlette.testclient import TestClient

from bench.support.host import short_folder
from core.collection.filters import Filter
from core.database.connection import Database
from core.database.embedded_server import EmbeddedPostgres
from core.database.restore import restore
from core.duplicates.near_copies import pair
from core.engine import Engine
from core.media.sample_images import drawings, jpeg
from core.settings import Settings
from tests.conftest import client_of
from tests.support.databases import temporary_database

DATA = Path(__file__).parent / "data"
FLOWER, MOUNTAINS, VASE, TILES, BOATS, COPY = "Plate 0", "Plate 1", "Plate 2", "Plate 3", "boats-01.jpg", "copy.jpg"


def settings_of(url: str | None, data_dir: Path) -> Settings:
    """Settings as the collection was made with; no page of the list is there any more."""
    postgres_url = SecretStr(url) if url else None
    return Settings(_env_file=None, postgres_url=postgres_url, data_dir=data_dir, clip_model="built-in")


def unpacked(server: EmbeddedPostgres, folder: Path) -> Settings:
    """The data folder, owned by the user who runs the servers of these tests."""
    with tarfile.open(DATA / "data-0314dee.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    if os.geteuid() == 0:
        owner = server.pgdata.stat()
        for path in [folder / "postgres", *(folder / "postgres").rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid)
    (folder / "postgres").chmod(0o700)
    return settings_of(None, folder)


def restored(url: str, folder: Path) -> Settings:
    """The backup, in an empty database."""
    settings = settings_of(url, folder)
    database = Database(settings, "lookalike test")
    database.open()
    restore(database, DATA / "collection-0314dee.backup", lambda *_: None)
    database.close()
    return settings


def started(settings: Settings) -> Iterator[Engine]:
    engine = Engine(settings)
    engine.start()
    try:
        engine.wait_until_ready(120)
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module", params=["data folder", "backup"])
def former(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """The engine of today on a collection of then."""
    if request.param == "backup":
        with temporary_database(postgres, "template1") as url:
            yield from started(restored(url, tmp_path_factory.mktemp("data")))
    else:
        with short_folder() as folder:
            yield from started(unpacked(postgres, folder))


@pytest.fixture(scope="module")
def rows(former: Engine) -> dict[str, dict[str, str]]:
    """The collection's lines by their titles."""
    listed = client_of(former).get("/api/collection?format=csv").text
    return {row["title"]: row for row in csv.DictReader(io.StringIO(listed.removeprefix("\ufeff")))}


@pytest.fixture
def caller(former: Engine) -> TestClient:
    return client_of(former)


def test_the_pictures_are_there_with_what_was_said_of_them(
    former: Engine, caller: TestClient, rows: dict[str, dict[str, str]]
) -> None:
    assert rows.keys() == {FLOWER, MOUNTAINS, VASE, BOATS, COPY}
    assert {title: set(row["tags"].splitlines()) for title, row in rows.items() if row["tags"]} == {
        FLOWER: {"red"},
        MOUNTAINS: {"red", "On loan"},
        VASE: {"On loan"},
    }
    assert former.curation.tags() == [("On loan", 2), ("red", 2)]
    assert urlsplit(rows[VASE]["urls"]).path == "/museum/vase-01.jpg"
    assert former.browser.count(Filter(fields=(("artist", "Ben"),))) == 1
    assert former.browser.count(Filter(removed=True)) == 1
    for row in rows.values():
        thumbnail = caller.get(f"/api/thumb/{row['id']}")
        width, height = Image.open(io.BytesIO(thumbnail.content)).size
        assert width / height == pytest.approx(int(row["width"]) / int(row["height"]), rel=0.01)


def test_the_imports_are_there_with_their_failures(caller: TestClient) -> None:
    of_the_list, of_the_drop = (caller.get(f"/api/imports/{number}").json() for number in (1, 2))
    assert of_the_list["counts"] == {"waiting": 0, "indexed": 4, "already_there": 0, "failed": 2}
    assert [urlsplit(failure["url"]).path for failure in of_the_list["failures"]] == [
        "/museum/lost-1.jpg",
        "/museum/lost-2.jpg",
    ]
    assert all("answered 404" in failure["reason"] for failure in of_the_list["failures"])
    assert of_the_drop["counts"] == {"waiting": 0, "indexed": 2, "already_there": 0, "failed": 0}


def test_each_picture_finds_itself(caller: TestClient, rows: dict[str, dict[str, str]]) -> None:
    queries = {BOATS: caller.get(f"/api/file/{rows[BOATS]['id']}").content}
    for title, (_, image) in zip([FLOWER, MOUNTAINS, VASE], drawings(3), strict=True):
        queries[title] = jpeg(image.resize((360, round(360 * image.height / image.width))), 85)
    for title, data in queries.items():
        found = caller.post("/api/search", files={"file": data}, data={"threshold": "0"}).json()
        assert found["matches"][0]["title"] == title
        assert found["matches"][0]["similarity"] >= 0.995
        assert found["total"] == 5


def test_verdicts_and_saved_thresholds_are_there(
    former: Engine, caller: TestClient, rows: dict[str, dict[str, str]]
) -> None:
    model = former.model()
    judged = former.verdicts.read(model, "picture")
    assert {one.key for one in judged} == {f"picture:{rows[FLOWER]['id']}"}
    assert sorted(one.right for one in judged) == [False, True, True]
    assert [saved.threshold for saved in former.saved_thresholds.history(model, "picture")] == [0.65, 0.62]
    assert caller.post("/api/search", json={"parts": [{"picture": rows[BOATS]["id"]}]}).json()["yours"] == 0.65


def test_copies_and_the_comparison_are_there(former: Engine, rows: dict[str, dict[str, str]]) -> None:
    compared = former.comparisons.read(former.model())
    assert (compared.threshold, compared.pictures, compared.problem) == (0.8, 5, "")
    flower, copy = (UUID(rows[title]["id"]) for title in (FLOWER, COPY))
    while pair(former.database, prove=former.verifier.prove_pairs):  # as the worker does: copies need a proof now
        pass
    assert former.store.copies_of([flower]) == {flower: [copy]}
