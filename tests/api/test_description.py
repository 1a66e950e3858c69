"""The API does what its description says, whatever is sent to it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema
from starlette.applications import Starlette
from starlette.testclient import TestClient

from bench.support.data import some_photos
from bench.support.webserver import WebServer
from core.api.routes import routes
from core.collection.store import picture_id
from core.engine import Engine
from core.media.uploads import DroppedFile
from core.version import VERSION

PATIENCE = 120.0
"""Seconds that an answer may take on a busy machine; Schemathesis would give up after ten."""

EXAMPLES = 20
"""Requests of either kind to each call."""

BEYOND = ["ignored_auth", "negative_data_rejection", "positive_data_acceptance", "not_a_server_error"]
"""What is not promised: the token is only asked for when one is set, a form's "" means the default, and a call may
refuse what its description cannot exclude, such as a URL that nobody answers (502) or words that the model cannot read
(503)."""

CALLS = [
    ("POST", "/upsert"),
    ("GET", "/imports/{id}"),
    ("POST", "/imports/{id}/fetch_again"),
    ("POST", "/imports/{id}/restore"),
    ("GET", "/sources"),
    ("POST", "/sources"),
    ("GET", "/sources/{id}"),
    ("POST", "/sources/{id}/read"),
    ("POST", "/sources/{id}/pause"),
    ("POST", "/sources/{id}/resume"),
    ("DELETE", "/sources/{id}"),
    ("POST", "/query"),
    ("POST", "/search"),
    ("GET", "/thumb/{id}"),
    ("GET", "/original/{id}"),
    ("GET", "/file/{id}"),
    ("GET", "/collection"),
    ("GET", "/health"),
    ("POST", "/pictures/{id}/placeholder"),
    ("DELETE", "/pictures/{id}/placeholder"),
]


PHOTOS = some_photos(3)
SHA256 = sha256(PHOTOS[0].read_bytes()).digest()
PICTURE = picture_id(SHA256)


@pytest.fixture(scope="module")
def described(engine: Engine) -> BaseSchema:
    """The description of the API of that engine."""
    app = Starlette(routes=routes(lambda: engine, engine.settings))
    return schemathesis.openapi.from_asgi("/api/openapi.json", app, timeout=PATIENCE)


@pytest.fixture(scope="module")
def images(client: TestClient, engine: Engine) -> Iterator[list[str]]:
    """The URLs of a few pictures, which the collection has; the first was also dropped as a file."""
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as site:
        urls = [site.url(f"/{number}.jpg") for number in range(len(PHOTOS))]
        answer = client.post("/api/upsert?wait=60", json={"images": urls})
        assert answer.json()["counts"]["indexed"] == len(PHOTOS), answer.text
        engine.imports.submit_files("Dropped", [DroppedFile(SHA256, "photo.jpg", PHOTOS[0].read_bytes())])
        yield urls


# The worker of the same process may draw a random delay while Hypothesis looks at the module.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_does_what_its_description_says(
    described: BaseSchema, images: list[str], method: str, path: str, mode: GenerationMode
) -> None:
    """To requests that fit the description, as they are and with a picture that is there, and to those that do not."""
    statuses = set[int]()

    def send(case: Case[Any]) -> None:
        if "wait" in (case.query or {}):
            case.query["wait"] = "0.1"  # an import of made-up URLs takes its time
        response = case.call(timeout=PATIENCE)
        case.validate_response(response, excluded_checks=cast(Any, CHECKS.get_by_names(BEYOND)))
        assert response.status_code != 500, response.text
        if response.status_code >= 400:
            assert isinstance(response.json()["error"], str)
        statuses.add(response.status_code)

    @given(case=described[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def sent(case: Case[Any]) -> None:
        send(case)
        if mode is GenerationMode.POSITIVE:
            send(made_real(case, images))

    try:
        sent()
    except Unsatisfiable:
        assert (mode, path) == (GenerationMode.NEGATIVE, "/health")  # which takes nothing that could be wrong
    assert mode is GenerationMode.NEGATIVE or statuses & {200, 201, 202, 204}, statuses


def made_real(case: Case[Any], images: list[str]) -> Case[Any]:
    """The request with something in it that is there."""
    if "id" in case.path_parameters:
        case.path_parameters["id"] = 1 if case.path.startswith(("/imports", "/sources")) else str(PICTURE)
    if isinstance(case.body, dict):
        body: dict[str, Any] = case.body
        body.update({"images": [*body["images"], images[0]]} if "images" in body else {})
        body.update({"location": images[0]} if "location" in body else {})
        if case.path == "/query":
            body["file"] = PHOTOS[0].read_bytes()
        if case.path == "/search":
            for field in ("file", "parts", "text"):
                body.pop(field, None)
            body["url"] = images[0]
    return case


def test_the_description_names_every_call(client: TestClient) -> None:
    described = client.get("/api/openapi.json").json()
    assert described["info"]["version"] == VERSION
    assert described["servers"] == [{"url": "/api"}]
    assert {(method.upper(), path) for path, calls in described["paths"].items() for method in calls} == set(CALLS)
    assert "422" not in str(described)


def test_the_page_of_the_description_loads_nothing(client: TestClient) -> None:
    answer = client.get("/api/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    for text in ("POST /api/upsert", "GET /api/collection", "Seconds to wait until the import is done", "leave_out"):
        assert text in answer.text
    assert not any(word in answer.text for word in ("<script", "<link", "<img", "src=", "@import", "url("))


def test_there_is_one_version(client: TestClient) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "core.version.VERSION"}
    assert client.get("/api/health").json()["version"] == VERSION
