"""The guide's two calls, byte for byte as Lookalike answered them before it had a web framework for its API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from bench.support.data import some_photos
from bench.support.webserver import WebServer
from core.api.routes import routes
from core.engine import Engine
from tests.support.api_server import ApiServer

PHOTOS = some_photos(2)
BOUNDARY = "guide"
JSON = "Content-Type: application/json\r\n"
FORM = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"


@dataclass(frozen=True)
class Row:
    """A request, and the status and body of its answer. SITE stands for where the pictures are, N for an import."""

    name: str
    request: bytes
    status: str
    body: str


HEADERS = {401: "www-authenticate: Bearer\r\n"}
"""What an answer with that status has beside the length and the type. 405 has the methods, which it had not then."""


def post(path: str, head: str, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    start = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}Content-Length: {size}\r\n\r\n"
    return start.encode() + body


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


def form(**fields: str | bytes) -> bytes:
    """A multipart body; bytes are a file."""
    parts = list[bytes]()
    for name, value in fields.items():
        file = '; filename="photo.jpg"\r\nContent-Type: image/jpeg' if isinstance(value, bytes) else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        parts.append(head.encode() + (value if isinstance(value, bytes) else value.encode()) + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


PHOTO = PHOTOS[0].read_bytes()
BOTH = b'{"images": ["SITE/0.jpg", "SITE/1.jpg"]}'

ROWS = [
    Row("upsert", post("/api/upsert", JSON, BOTH), "202 Accepted", '{"import":N,"accepted":2,"rejected":[]}'),
    Row(
        "upsert and wait",
        post("/api/upsert?wait=60", JSON, BOTH),
        "200 OK",
        '{"import":N,"accepted":2,"rejected":[],"counts":{"waiting":0,"indexed":0,"already_there":2,"failed":'
        '0},"failures":[]}',
    ),
    Row(
        "upsert with charset",
        post("/api/upsert?wait=60", JSON.replace("json", "json; charset=utf-8"), BOTH),
        "200 OK",
        '{"import":N,"accepted":2,"rejected":[],"counts":{"waiting":0,"indexed":0,"already_there":2,"failed":'
        '0},"failures":[]}',
    ),
    Row(
        "upsert partly bad",
        post("/api/upsert", JSON, b'{"images": ["SITE/0.jpg", "ftp://a.example/x.jpg", 7]}'),
        "202 Accepted",
        '{"import":N,"accepted":1,"rejected":[{"url":"ftp://a.example/x.jpg","reason":"Pictures cannot be fet'
        'ched with ftp. Use an address that starts with https:// or http://."},{"url":"7","reason":"This is n'
        'ot a web address."}]}',
    ),
    Row(
        "upsert unreachable",
        post("/api/upsert?wait=60", JSON, b'{"images": ["SITE/none.jpg"]}'),
        "200 OK",
        '{"import":N,"accepted":1,"rejected":[],"counts":{"waiting":0,"indexed":0,"already_there":0,"failed":'
        '1},"failures":[{"url":"SITE/none.jpg","reason":"127.0.0.1 answered 404: the picture is not there any'
        ' more."}]}',
    ),
    Row(
        "upsert nothing",
        post("/api/upsert", JSON, b'{"images": ["x y", null]}'),
        "400 Bad Request",
        '{"error":"There is no web address of a picture in the list.","rejected":[{"url":"x y","reason":"This'
        ' is not a web address. Web addresses start with https:// or http://."},{"url":"None","reason":"This '
        'is not a web address."}]}',
    ),
    Row(
        "upsert no list",
        post("/api/upsert", JSON, b'{"images": "x"}'),
        "400 Bad Request",
        '{"error":"Send {\\"images\\": [\\"https://…\\", …]}."}',
    ),
    Row(
        "upsert a list",
        post("/api/upsert", JSON, b"[]"),
        "400 Bad Request",
        '{"error":"Send {\\"images\\": [\\"https://…\\", …]}."}',
    ),
    Row(
        "upsert empty body",
        post("/api/upsert", JSON, b""),
        "400 Bad Request",
        '{"error":"The body is not valid JSON."}',
    ),
    Row(
        "upsert not JSON", post("/api/upsert", JSON, b"{"), "400 Bad Request", '{"error":"The body is not valid JSON."}'
    ),
    Row(
        "upsert not UTF-8",
        post("/api/upsert", JSON, b'{"images": ["\xff"]}'),
        "400 Bad Request",
        '{"error":"The body is not valid JSON."}',
    ),
    Row(
        "upsert nested",
        post("/api/upsert", JSON, b"[" * 200_000),
        "400 Bad Request",
        '{"error":"The body is not valid JSON."}',
    ),
    Row(
        "upsert as text",
        post("/api/upsert", "Content-Type: text/plain\r\n", BOTH),
        "415 Unsupported Media Type",
        '{"error":"Send JSON with the header \'Content-Type: application/json\'."}',
    ),
    Row(
        "upsert without type",
        post("/api/upsert", "", BOTH),
        "415 Unsupported Media Type",
        '{"error":"Send JSON with the header \'Content-Type: application/json\'."}',
    ),
    Row(
        "upsert bad wait",
        post("/api/upsert?wait=soon", JSON, BOTH),
        "400 Bad Request",
        '{"error":"\'wait\' must be a number of at least 0."}',
    ),
    Row(
        "upsert negative wait",
        post("/api/upsert?wait=-1", JSON, BOTH),
        "400 Bad Request",
        '{"error":"\'wait\' must be a number of at least 0."}',
    ),
    Row(
        "upsert too large",
        post("/api/upsert", JSON, b"", length=20_000_001),
        "413 Request Entity Too Large",
        '{"error":"The request is too large."}',
    ),
    Row(
        "upsert from another site",
        post("/api/upsert", JSON + "Sec-Fetch-Site: cross-site\r\n", BOTH),
        "403 Forbidden",
        '{"error":"Calls from the pages of other sites are refused."}',
    ),
    Row("query", post("/api/query", FORM, form(file=PHOTO)), "200 OK", '["SITE/0.jpg"]'),
    Row(
        "query all",
        post("/api/query", FORM, form(file=PHOTO, threshold="-1", top_k="2")),
        "200 OK",
        '["SITE/0.jpg","SITE/1.jpg"]',
    ),
    Row("query one", post("/api/query", FORM, form(file=PHOTO, threshold="-1", top_k="1")), "200 OK", '["SITE/0.jpg"]'),
    Row(
        "query other fields",
        post("/api/query", FORM, form(file=PHOTO, colour="red", threshold="")),
        "200 OK",
        '["SITE/0.jpg"]',
    ),
    Row(
        "query without file",
        post("/api/query", FORM, form(threshold="0.5")),
        "400 Bad Request",
        '{"error":"Send a picture as the multipart field \'file\'."}',
    ),
    Row(
        "query with text for a file",
        post("/api/query", FORM, form(file="photo.jpg")),
        "400 Bad Request",
        '{"error":"Send a picture as the multipart field \'file\'."}',
    ),
    Row(
        "query with no picture",
        post("/api/query", FORM, form(file=b"just words")),
        "415 Unsupported Media Type",
        '{"error":"This is a text, not a picture."}',
    ),
    Row(
        "query with an empty file",
        post("/api/query", FORM, form(file=b"")),
        "415 Unsupported Media Type",
        '{"error":"This is an empty file: there is no picture in it."}',
    ),
    Row(
        "query with two files",
        post("/api/query", FORM, form(file=PHOTO, other=PHOTO)),
        "400 Bad Request",
        '{"error":"Too many files. Maximum number of files is 1."}',
    ),
    Row(
        "query with many fields",
        post("/api/query", FORM, form(**{f"f{n}": "" for n in range(41)})),
        "400 Bad Request",
        '{"error":"Too many fields. Maximum number of fields is 40."}',
    ),
    Row(
        "query as JSON",
        post("/api/query", JSON, b"{}"),
        "400 Bad Request",
        '{"error":"Send the fields as multipart/form-data."}',
    ),
    Row(
        "query broken form",
        post("/api/query", FORM, b"no form at all"),
        "400 Bad Request",
        '{"error":"Invalid multipart data."}',
    ),
    Row(
        "query without boundary",
        post("/api/query", "Content-Type: multipart/form-data\r\n", b"x"),
        "400 Bad Request",
        '{"error":"Missing boundary in multipart."}',
    ),
    Row(
        "query file too large",
        post("/api/query", FORM, form(file=b"\0" * 20_000_001)),
        "413 Request Entity Too Large",
        '{"error":"The file has 20.0 MB, and MAX_FILE_MB allows 20: make it smaller."}',
    ),
    Row(
        "query too large",
        post("/api/query", FORM, b"", length=20_100_001),
        "413 Request Entity Too Large",
        '{"error":"The request is too large."}',
    ),
    Row(
        "query bad threshold",
        post("/api/query", FORM, form(file=PHOTO, threshold="2")),
        "400 Bad Request",
        '{"error":"\'threshold\' must be a number from -1 to 1."}',
    ),
    Row(
        "query bad top-k",
        post("/api/query", FORM, form(file=PHOTO, top_k="1.5")),
        "400 Bad Request",
        '{"error":"\'top_k\' must be a whole number from 1 to 1000."}',
    ),
    Row(
        "import",
        get("/api/imports/1"),
        "200 OK",
        '{"import":N,"counts":{"waiting":0,"indexed":2,"already_there":0,"failed":0},"failures":[]}',
    ),
    Row("unknown import", get("/api/imports/999999"), "404 Not Found", '{"error":"There is no import 999999."}'),
    Row("no import's id", get("/api/imports/-1"), "404 Not Found", '{"error":"There is no import -1."}'),
    Row("unknown path", get("/api/nothing"), "404 Not Found", '{"error":"There is no call /api/nothing."}'),
    Row(
        "slash at the end",
        post("/api/upsert/", JSON, BOTH),
        "404 Not Found",
        '{"error":"There is no call /api/upsert/."}',
    ),
    Row("unknown method", get("/api/query"), "405 Method Not Allowed", '{"error":"/api/query answers POST only."}'),
    Row(
        "another unknown method",
        get("/api/imports/1", "DELETE"),
        "405 Method Not Allowed",
        '{"error":"/api/imports/1 answers GET only."}',
    ),
]
GUARDED = [
    Row(
        "no token",
        post("/api/query", FORM, form(file=PHOTO)),
        "401 Unauthorized",
        '{"error":"This call needs the header \'Authorization: Bearer TOKEN\' with the API token."}',
    ),
    Row(
        "wrong token",
        post("/api/upsert", JSON + "Authorization: Bearer wrong\r\n", BOTH),
        "401 Unauthorized",
        '{"error":"This call needs the header \'Authorization: Bearer TOKEN\' with the API token."}',
    ),
    Row(
        "right token",
        post("/api/query", FORM + "Authorization: Bearer t0ken\r\n", form(file=PHOTO)),
        "200 OK",
        '["SITE/0.jpg"]',
    ),
    Row(
        "unknown path without token", get("/api/nothing"), "404 Not Found", '{"error":"There is no call /api/nothing."}'
    ),
]


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    with WebServer({f"/{number}.jpg": path for number, path in enumerate(PHOTOS)}) as server:
        yield server


@pytest.fixture(scope="module")
def server(engine: Engine, site: WebServer) -> Iterator[ApiServer]:
    """The API, with both pictures indexed by import 1."""
    with ApiServer(Starlette(routes=routes(lambda: engine, engine.settings))) as server:
        indexed = ask(server, site, post("/api/upsert?wait=60", JSON, BOTH))
        assert '"indexed":2' in indexed, indexed
        yield server


def ask(server: ApiServer, site: WebServer, request: bytes) -> str:
    where = site.url("").encode()
    body = request.partition(b"\r\n\r\n")[2]
    longer = len(body.replace(b"SITE", where)) - len(body)
    lengthened = re.sub(rb"(?<=Content-Length: )\d+", lambda found: b"%d" % (int(found[0]) + longer), request, count=1)
    return server.raw(lengthened.replace(b"SITE", where)).decode()


def expected(row: Row, site: WebServer, answer: str) -> str:
    status = int(row.status[:3])
    extra = HEADERS.get(status, "")
    if status == 405:
        extra = f"allow: {row.body.rpartition(' answers ')[2].partition(' ')[0]}\r\n"
    number = re.search(r'"import":(\d)', answer)
    body = row.body.replace("SITE", site.url("")).replace("N,", f"{number[1] if number else 'N'},")
    type = f"content-length: {len(body.encode())}\r\ncontent-type: application/json\r\n"
    # Starlette puts the headers that an answer was made with first, and those that were added to it last.
    head = type + extra if status == 405 else extra + type
    return f"HTTP/1.1 {row.status}\r\n{head}Connection: close\r\n\r\n{body}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_guides_calls_answer_byte_for_byte(server: ApiServer, site: WebServer, row: Row) -> None:
    answer = ask(server, site, row.request)
    assert answer == expected(row, site, answer)


@pytest.mark.parametrize("row", GUARDED, ids=lambda row: row.name)
def test_they_do_with_a_token(server: ApiServer, site: WebServer, engine: Engine, row: Row) -> None:
    plain, engine.settings = engine.settings, engine.settings.model_copy(update={"api_token": SecretStr("t0ken")})
    try:
        answer = ask(server, site, row.request)
    finally:
        engine.settings = plain
    assert answer == expected(row, site, answer)
