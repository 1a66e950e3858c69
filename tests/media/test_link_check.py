"""Whether a URL still gives its picture: one sentence for each answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from bench.support.data import some_photos
from bench.support.webserver import WebServer
from core.media.fetcher import Fetcher
from core.media.link_check import check_link
from core.settings import Settings

PHOTO, OTHER = (path.read_bytes() for path in some_photos(2))


@pytest.fixture(scope="module")
def site() -> Iterator[WebServer]:
    with WebServer({"/one.jpg": PHOTO, "/other.jpg": OTHER, "/page": b"<html><p>Sorry</p></html>" * 40}) as server:
        yield server


@pytest.fixture(scope="module")
def fetcher() -> Iterator[Fetcher]:
    made = Fetcher(Settings(_env_file=None, allow_private_urls=True, fetch_timeout=5))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("path", "state", "sentence"),
    [
        ("/one.jpg", "alive", "the URL still leads to this picture"),
        ("/other.jpg", "changed", "now leads to a different file"),
        ("/redirect?to=/one.jpg", "moved", "to the same picture at "),
        ("/redirect?to=/other.jpg", "moved", "to a different file at "),
        ("/nowhere", "gone", "Gone: 127.0.0.1 answered 404"),
        ("/status?code=410", "gone", "answered 410"),
        ("/status?code=403", "refused", "Refused: 127.0.0.1 answered 403"),
        ("/status?code=503", "unreachable", "answered 503: the picture is unavailable at the moment. Try again later."),
        ("/page", "unreachable", "Unavailable: 127.0.0.1 answered with a web page"),
        (f"/redirect?to={quote('ftp://a.example/')}", "unreachable", "redirects to a URL that cannot be fetched"),
    ],
)
def test_each_answer_has_a_sentence(site: WebServer, fetcher: Fetcher, path: str, state: str, sentence: str) -> None:
    answer = check_link(fetcher, site.url(path), hashlib.sha256(PHOTO).digest())
    assert answer.state == state
    assert sentence in answer.sentence
    assert answer.url == (site.url(path.partition("to=")[2]) if state == "moved" else "")


def test_a_private_address_is_not_asked(site: WebServer) -> None:
    careful = Fetcher(Settings(_env_file=None))
    try:
        answer = check_link(careful, site.url("/one.jpg"), hashlib.sha256(PHOTO).digest())
    finally:
        careful.close()
    assert answer.state == "unreachable"
    assert "allowed" in answer.sentence
