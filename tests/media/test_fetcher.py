from __future__ import annotations

import gzip
import io
import logging
import resource
import socket
import ssl
import sys
import threading
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import brotli
import pytest
import requests
import trustme
from PIL import Image

from bench.support.data import some_photos
from bench.support.webserver import Visit, WebServer
from core.errors import FetchError
from core.media import fetcher as fetch
from core.media import http_adapter
from core.media import public_network as network
from core.media.fetcher import Fetcher
from core.media.ip_addresses import is_public
from core.settings import Settings
from core.version import VERSION

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PHOTOS = some_photos(8)
PUBLIC = "127.0.0.2"  # the loopback address that some tests take for a public one

Names = Callable[..., None]


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **{"allow_private_urls": True, **changes})


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    made = Fetcher(settings(max_file_mb=5, fetch_timeout=10))
    yield made
    made.close()


@pytest.fixture
def guarded() -> Iterator[Fetcher]:
    """One that refuses private addresses, as people run it."""
    made = Fetcher(settings(allow_private_urls=False, fetch_timeout=5))
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[Fetcher]:
    """One with a deadline of a second."""
    made = Fetcher(settings(fetch_timeout=1))
    yield made
    made.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """`names(host=[addresses, …])` makes the resolver know a host, with other answers in later calls."""
    real, known = socket.getaddrinfo, dict[str, list[list[str]]]()

    def getaddrinfo(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        answers = known.get(host)
        if answers is None:
            return real(host, port, *args, **kwargs)
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for address in addresses for entry in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return lambda host, *answers: known.__setitem__(host, list(answers))


def open_to(monkeypatch: pytest.MonkeyPatch, *sites: WebServer) -> None:
    """Let a guarded fetcher take PUBLIC for a public address and the ports of these sites for allowed."""
    monkeypatch.setattr(network, "is_public", lambda address: address == PUBLIC or is_public(address))
    monkeypatch.setattr(fetch, "PORTS", {*fetch.PORTS, *(site.port for site in sites)})


def refused(fetcher: Fetcher, url: str) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(url)
    return caught.value


def test_a_picture_comes_back_whole_and_connections_are_kept(fetcher: Fetcher) -> None:
    with WebServer({f"/{number}": path for number, path in enumerate(PHOTOS)}) as site:
        for number, path in enumerate(PHOTOS):
            fetched = fetcher.fetch(site.url(f"/{number}"))
            assert fetched.data == path.read_bytes()
            assert fetched.url == site.url(f"/{number}")
        assert site.connections == 1


def test_who_asks_and_for_what() -> None:
    polite = Fetcher(settings(contact="curator@museum.example"))
    with WebServer({"/a": PHOTOS[0]}) as site:
        polite.fetch(site.url("/a"))
        polite.close()
        headers = site.headers["/a"]
    assert headers["User-Agent"] == f"Lookalike/{VERSION} (+curator@museum.example) requests/{requests.__version__}"
    assert headers["Accept"] == "image/*,*/*;q=0.8"
    assert headers["Accept-Encoding"] == "gzip, deflate, br, zstd"
    assert headers["Host"] == f"{site.host}:{site.port}"


def test_a_path_and_query_arrive_as_they_were_given(fetcher: Fetcher) -> None:
    seen = list[str]()

    def page(visit: Visit) -> None:
        seen.append(visit.path)
        visit.answer(PHOTOS[0].read_bytes())

    path = "/a%2Fb/%C3%A4%20~!,'()*;=@:$&+/x.jpg"
    with WebServer({path: page}) as site:
        fetcher.fetch(site.url(path + "?b=2&a=%2F&sig=a%2bB%3D&e#here"))
    assert seen == [path + "?b=2&a=%2F&sig=a%2bB%3D&e"]


def test_no_cookie_is_sent_back(fetcher: Fetcher) -> None:
    def page(visit: Visit) -> None:
        visit.answer(PHOTOS[0].read_bytes(), Set_Cookie="who=you; Path=/")

    with WebServer({"/a": page}) as site:
        fetcher.fetch(site.url("/a"))
        fetcher.fetch(site.url("/a"))
        assert site.headers["/a"]["Cookie"] is None


def test_a_cookie_lasts_for_one_chain_of_redirects(fetcher: Fetcher) -> None:
    def wall(visit: Visit) -> None:
        if visit.headers["Cookie"] == "sid=1":
            visit.answer(PHOTOS[0].read_bytes())
        else:
            visit.answer(status=302, Location="/wall", Set_Cookie="sid=1; Path=/")

    with WebServer({"/wall": wall}) as site:
        for visits in (2, 4):  # the second fetch begins without it
            assert fetcher.fetch(site.url("/wall")).data == PHOTOS[0].read_bytes()
            assert site.hits["/wall"] == visits


@pytest.mark.parametrize("domain", ["", "; Domain=other.example", "; Domain=.example", "; Domain=example"])
def test_a_cookie_goes_to_no_other_host(domain: str, fetcher: Fetcher, names: Names) -> None:
    names("one.example", ["127.0.0.1"])
    names("other.example", ["127.0.0.1"])
    with WebServer({"/a": PHOTOS[0]}) as site:
        site.pages["/begin"] = lambda visit: visit.answer(
            status=302, Location=site.url("/a", "other.example"), Set_Cookie=f"sid=1; Path=/{domain}"
        )
        fetcher.fetch(site.url("/begin", "one.example"))
        assert site.headers["/a"]["Cookie"] is None


def test_proxies_and_netrc_are_left_out(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with WebServer() as proxy, WebServer({"/a": PHOTOS[0]}) as site:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        fetcher.fetch(site.url("/a"))
        assert proxy.connections == 0
        assert site.headers["/a"]["Authorization"] is None


def test_thirty_two_threads_share_one(fetcher: Fetcher) -> None:
    with (
        WebServer({f"/{number}": path for number, path in enumerate(PHOTOS)}) as site,
        ThreadPoolExecutor(32) as threads,
    ):
        jobs = [(number % len(PHOTOS)) for number in range(600)]
        results = threads.map(lambda number: fetcher.fetch(site.url(f"/{number}")).data, jobs)
        wrong = sum(data != PHOTOS[number].read_bytes() for number, data in zip(jobs, results, strict=True))
        assert wrong == 0
        assert site.connections <= 40


def test_few_connections_are_kept_and_not_for_long(
    fetcher: Fetcher, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_adapter, "KEPT_CONNECTIONS", 2)
    monkeypatch.setattr(http_adapter, "KEPT_SECONDS", 0.3)
    hosts = ["one.example", "two.example", "three.example"]
    with WebServer({"/a": PHOTOS[0]}) as site:
        for host in hosts:
            names(host, ["127.0.0.1"])
            fetcher.fetch(site.url("/a", host))
        for host, connections in [("three.example", 3), ("two.example", 3), ("one.example", 4)]:
            fetcher.fetch(site.url("/a", host))
            assert site.connections == connections, host
        time.sleep(0.4)
        fetcher.fetch(site.url("/a", "one.example"))
        assert site.connections == 5


def test_only_so_many_connections_are_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_adapter, "CONNECTIONS", 1)
    fetcher = Fetcher(settings(fetch_timeout=2))
    with WebServer({"/a": PHOTOS[0]}) as site, ThreadPoolExecutor(2) as threads:
        slow = threads.submit(refused, fetcher, site.url("/slow?seconds=20"))
        while not site.hits:
            time.sleep(0.01)
        time.sleep(0.5)
        waiting = threads.submit(fetcher.fetch, site.url("/a"))
        time.sleep(0.5)
        assert site.connections == 1
        assert str(slow.result()) == "127.0.0.1 took too long to send the picture."
        assert waiting.result().data == PHOTOS[0].read_bytes()
    fetcher.close()


PRIVATE = [
    "127.0.0.1",
    "127.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "１２７.0.0.1",
    "127。0。0。1",
    "localhost",
    "LOCALHOST",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:8.8.8.8]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::8.8.8.8]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[2a00::5efe:7f00:1]",
    "[2a00::200:5efe:7f00:1]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[100::1]",
    "[4000::1]",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_never_asked(host: str, guarded: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebServer({"/a": PHOTOS[0]}, host="0.0.0.0") as site:
        monkeypatch.setattr(fetch, "PORTS", {site.port})
        error = refused(guarded, site.url("/a", host))
        assert str(error).endswith(" has a private IP address, and pictures are not fetched from private networks.")
        assert not error.retryable
        assert site.connections == 0


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_never_asked_after_a_redirect(
    host: str, guarded: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebServer({"/a": PHOTOS[0]}) as inner, WebServer(host=PUBLIC) as outer:
        open_to(monkeypatch, inner, outer)
        hop = f"/redirect?to={quote(inner.url('/a', host))}"
        chain = f"/redirect?code=307&to={quote(hop, safe='')}"
        error = refused(guarded, outer.url(chain))
        assert "private IP address" in str(error)
        assert outer.hits == {"/redirect": 2}
        assert inner.connections == 0


PUBLIC_ADDRESSES = "8.8.8.8 1.1.1.1 151.101.1.69 192.0.1.1 172.32.0.1 100.128.0.1 2606:4700::1111 2a00:1450:4001::200e"


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES.split())
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", ["", "example.com", "2a00::1%eth0", "8.8.8.8/32"])
def test_what_is_no_address_is_not_public(address: str) -> None:
    assert not is_public(address)


def test_names_that_lead_inside_are_refused(guarded: Fetcher, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    with WebServer({"/a": PHOTOS[0]}) as site:
        open_to(monkeypatch, site)
        names("inside.example", ["127.0.0.1", "10.0.0.1", "::1"])
        error = refused(guarded, site.url("/a", "inside.example"))
        assert str(error).startswith("inside.example has a private IP address")
        assert site.connections == 0


def test_of_a_mixed_answer_only_public_addresses_are_asked(
    guarded: Fetcher, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebServer({"/a": PHOTOS[0]}, host="0.0.0.0") as site:
        open_to(monkeypatch, site)
        names("mixed.example", ["127.0.0.1", PUBLIC])
        peers = list[str]()

        def remember_the_peer(visit: Visit) -> None:
            peers.append(visit.connection.getsockname()[0])
            visit.answer(b"\xff\xd8\xff")

        site.pages["/b"] = remember_the_peer
        guarded.fetch(site.url("/b", "mixed.example"))
        assert peers == [PUBLIC]


def test_a_resolver_that_changes_its_answer_gains_nothing(
    guarded: Fetcher, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checked is what is connected to: the name is looked up once for each connection."""
    page = {"/a": lambda visit: visit.answer(PHOTOS[0].read_bytes(), Connection="close")}
    with WebServer(page, host="0.0.0.0") as site:
        open_to(monkeypatch, site)
        names("rebind.example", [PUBLIC], ["127.0.0.1"], [PUBLIC], ["127.0.0.1"])
        url = site.url("/a", "rebind.example")
        assert guarded.fetch(url).data == PHOTOS[0].read_bytes()
        assert "private IP address" in str(refused(guarded, url))
        assert guarded.fetch(url).data == PHOTOS[0].read_bytes()
        assert "private IP address" in str(refused(guarded, url))
        assert site.connections == 2


def test_the_next_address_is_tried_when_one_is_dead(fetcher: Fetcher, names: Names) -> None:
    with WebServer({"/a": PHOTOS[0]}, host="127.0.0.3") as site:
        names("two.example", ["127.0.0.4", "127.0.0.3"])
        assert fetcher.fetch(site.url("/a", "two.example")).data == PHOTOS[0].read_bytes()


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (
            "ftp://example.com/a.jpg",
            "Pictures cannot be fetched with ftp. Use an address that starts with https:// or http://.",
        ),
        ("file:///etc/passwd", "This is a file on a computer, not a URL on the web."),
        (
            "data:image/png;base64,AAAA",
            "This is a data: URL, the picture itself. Save it, and drop the file instead.",
        ),
        (
            "gopher://example.com/x",
            "Pictures cannot be fetched with gopher. Use an address that starts with https:// or http://.",
        ),
        (
            "http://me:secret@example.com/a.jpg",
            "This URL contains a user name or password, which others would see. Remove it.",
        ),
        ("http://127.0.0.2:22/", "The URL names port 22 of 127.0.0.2, but only 80 and 443 are allowed."),
        ("http://127.0.0.2:99999/", "This URL has an invalid port: check it."),
        ("http://[::1/", "This is not a URL."),
    ],
)
def test_redirects_to_what_is_no_url(
    target: str, sentence: str, guarded: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebServer(host=PUBLIC) as site:
        open_to(monkeypatch, site)
        error = refused(guarded, site.url(f"/redirect?to={quote(target, safe='')}"))
        assert str(error).startswith(f"{PUBLIC} redirects to a URL that cannot be fetched: ")
        assert str(error).endswith(sentence)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/a.jpg", "file:///etc/passwd", "http://a:b@example.com/", "no address"]
)
def test_what_is_no_url_is_refused_at_once(url: str, guarded: Fetcher) -> None:
    assert not refused(guarded, url).retryable


def test_other_ports_are_refused(guarded: Fetcher) -> None:
    assert str(refused(guarded, "http://example.com:8080/a.jpg")) == (
        "The URL names port 8080 of example.com, but only 80 and 443 are allowed."
    )


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed_and_the_last_url_is_told(code: int, fetcher: Fetcher) -> None:
    with WebServer({"/b c/ä.jpg": PHOTOS[0], "/b%20c/%C3%A4.jpg": PHOTOS[0]}) as site:
        fetched = fetcher.fetch(site.url(f"/redirect?code={code}&to={quote('/b c/%C3%A4.jpg', safe='')}"))
        assert fetched.data == PHOTOS[0].read_bytes()
        assert fetched.url == site.url("/b%20c/%C3%A4.jpg")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_location_may_be_written_as_it_is_read(encoding: str, fetcher: Fetcher) -> None:
    def page(visit: Visit) -> None:
        visit.answer(status=302, Location="/ä b.jpg".encode(encoding).decode("latin-1"))

    with WebServer({"/a": page, "/%C3%A4%20b.jpg": PHOTOS[0]}) as site:
        assert fetcher.fetch(site.url("/a")).url == site.url("/%C3%A4%20b.jpg")


def test_the_body_of_a_redirect_is_not_read(fetcher: Fetcher) -> None:
    def page(visit: Visit) -> None:
        visit.close_connection = True
        visit.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 900000000\r\n\r\n")
        visit.wfile.flush()
        visit.server.site.closing.wait(30)

    with WebServer({"/a": page, "/b": PHOTOS[0]}) as site:
        started = time.monotonic()
        assert fetcher.fetch(site.url("/a")).url == site.url("/b")
        assert time.monotonic() - started < 3


def test_five_redirects_and_no_more(fetcher: Fetcher) -> None:
    with WebServer() as site:
        for number in range(7):
            site.pages[f"/{number}"] = partial(Visit.answer, status=302, Location=f"/{number + 1}")
        site.pages["/7"] = PHOTOS[0]
        assert fetcher.fetch(site.url("/2")).url == site.url("/7")
        error = refused(fetcher, site.url("/1"))
        assert str(error) == "127.0.0.1 sends too many redirects: more than 5."
        assert not error.retryable


STATUSES = {
    400: ("answered 400 instead of sending the picture.", False),
    401: ("answered 401: access to this picture is denied.", False),
    403: ("answered 403: access to this picture is denied.", False),
    404: ("answered 404: the picture is not there any more.", False),
    410: ("answered 410: the picture is not there any more.", False),
    415: ("answered 415 instead of sending the picture.", False),
    429: ("answered 429: requests are rate-limited.", True),
    500: ("answered 500: the picture is unavailable at the moment.", True),
    502: ("answered 502: the picture is unavailable at the moment.", True),
    503: ("answered 503: the picture is unavailable at the moment.", True),
    504: ("answered 504: the picture is unavailable at the moment.", True),
}


@pytest.mark.parametrize("code", STATUSES)
def test_every_refusal_is_a_sentence(code: int, fetcher: Fetcher) -> None:
    sentence, retryable = STATUSES[code]
    with WebServer() as site:
        error = refused(fetcher, site.url(f"/status?code={code}"))
    assert str(error) == f"127.0.0.1 {sentence}"
    assert (error.retryable, error.retry_after) == (retryable, None)


def test_a_picture_changed_by_a_proxy_is_taken(fetcher: Fetcher) -> None:
    data = PHOTOS[0].read_bytes()
    with WebServer({"/a": lambda visit: visit.answer(data, status=203)}) as site:
        assert fetcher.fetch(site.url("/a")).data == data


@pytest.mark.parametrize(
    ("after", "low", "high"),
    [
        ("20", 20, 20),
        ("in an hour", 3500, 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00", 0, 0),
        ("soon", None, None),
        ("-5", None, None),
        ("9" * 400, 1e300, float("inf")),
    ],
)
def test_retry_after_is_read(after: str, low: float | None, high: float | None, fetcher: Fetcher) -> None:
    if after == "in an hour":  # an hour from now, not from when the tests were collected
        after = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    with WebServer() as site:
        found = refused(fetcher, site.url(f"/status?code=503&after={quote(after)}")).retry_after
    if low is None or high is None:
        assert found is None
    else:
        assert found is not None
        assert low <= found <= high


BODIES: dict[str, tuple[bytes, str]] = {
    "page": (
        b"<!doctype html><title>Sorry</title>",
        "a web page, not a picture. Use the URL of the picture itself.",
    ),
    "svg": (
        b'<svg xmlns="http://www.w3.org/2000/svg"></svg>',
        "an SVG drawing, which cannot be searched. Export it as PNG.",
    ),
    "text": (b"no such picture", "a text, not a picture."),
    "nothing": (b"", "an empty file: there is no picture in it."),
    "long page": (b"<html>" + b" " * 3_000_000, "a web page, not a picture. Use the URL of the picture itself."),
}


@pytest.mark.parametrize("name", BODIES)
def test_content_counts_whatever_the_server_calls_it(name: str, fetcher: Fetcher) -> None:
    body, sentence = BODIES[name]
    with WebServer({"/a": lambda visit: visit.answer(body, type="image/jpeg")}) as site:
        assert str(refused(fetcher, site.url("/a"))) == f"127.0.0.1 answered with {sentence}"


def test_a_picture_is_taken_whatever_the_server_calls_it(fetcher: Fetcher) -> None:
    data = PHOTOS[0].read_bytes()
    with WebServer({"/a": lambda visit: visit.answer(data, type="text/html")}) as site:
        assert fetcher.fetch(site.url("/a")).data == data


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": zstd.compress,
}


@pytest.mark.parametrize("packing", PACKERS)
def test_packed_pictures_are_unpacked(packing: str, fetcher: Fetcher) -> None:
    data = PHOTOS[0].read_bytes()
    packed = PACKERS[packing](data)
    with WebServer({"/a": lambda visit: visit.answer(packed, Content_Encoding=packing)}) as site:
        assert fetcher.fetch(site.url("/a")).data == data


@pytest.mark.parametrize("packing", PACKERS)
def test_garbled_packing(packing: str, fetcher: Fetcher) -> None:
    with WebServer({"/a": lambda visit: visit.answer(b"\xff nothing at all", Content_Encoding=packing)}) as site:
        assert str(refused(fetcher, site.url("/a"))) == "127.0.0.1 sent a response that cannot be decompressed."


def test_what_is_packed_twice_is_not_unpacked(fetcher: Fetcher) -> None:
    """A second layer can make of a few bytes more than all time suffices for, with no byte to count at the end."""
    packed = gzip.compress(gzip.compress(PHOTOS[0].read_bytes()))
    with WebServer({"/a": lambda visit: visit.answer(packed, Content_Encoding="gzip, gzip")}) as site:
        assert str(refused(fetcher, site.url("/a"))) == "127.0.0.1 sent a response that cannot be decompressed."


TOO_LARGE = "127.0.0.1 sends more than 5 MB, the limit for a picture, which MAX_FILE_MB sets."


@pytest.mark.parametrize("packing", PACKERS)
def test_a_bomb_is_stopped_at_the_limit(packing: str, fetcher: Fetcher) -> None:
    bombs = {mb: PACKERS[packing](b"\xff\xd8\xff\xe0" + bytes(mb * 1_000_000)) for mb in (4, 200)}
    with WebServer() as site:
        for mb, bomb in bombs.items():
            site.pages[f"/{mb}"] = partial(Visit.answer, body=bomb, Content_Encoding=packing)
        fetcher.fetch(site.url("/4"))
        tracemalloc.start()
        try:
            assert str(refused(fetcher, site.url("/200"))) == TOO_LARGE
            assert tracemalloc.get_traced_memory()[1] < 30_000_000
        finally:
            tracemalloc.stop()


def test_a_gzip_bomb_needs_no_memory(fetcher: Fetcher) -> None:
    with WebServer() as site:
        fetcher.fetch(site.url("/gzip-bomb?mb=4"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert str(refused(fetcher, site.url("/gzip-bomb?mb=200"))) == TOO_LARGE
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 60_000_000


def test_a_file_that_says_it_is_too_large_is_not_begun(fetcher: Fetcher) -> None:
    sent = 0

    def page(visit: Visit) -> None:
        nonlocal sent
        visit.close_connection = True
        visit.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n")
        visit.wfile.flush()
        while not visit.server.site.closing.is_set():
            visit.wfile.write(bytes(65536))
            sent += 65536

    with WebServer({"/a": page}) as site:
        assert str(refused(fetcher, site.url("/a"))) == TOO_LARGE
    assert sent < 50_000_000


def test_a_file_that_does_not_say_how_large_it_is_stops_at_the_limit(fetcher: Fetcher) -> None:
    def page(visit: Visit) -> None:
        visit.close_connection = True
        visit.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n\xff\xd8\xff\xe0" + bytes(5_000_000))

    with WebServer({"/a": page}) as site:
        assert str(refused(fetcher, site.url("/a"))) == TOO_LARGE


ENDLESS = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "an extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 8),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"X-More: more\r\n"),
    "packing of nothing": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b"")),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_ended_by_the_deadline(name: str, hasty: Fetcher) -> None:
    first, again = ENDLESS[name]

    def page(visit: Visit) -> None:
        visit.close_connection = True
        visit.wfile.write(first)
        while not visit.server.site.closing.wait(0.01):
            visit.wfile.write(again)
            visit.wfile.flush()

    with WebServer({"/a": page}) as site:
        started = time.monotonic()
        error = refused(hasty, site.url("/a"))
        assert time.monotonic() - started < 3
        assert str(error) == "127.0.0.1 took too long to send the picture."


@pytest.mark.parametrize("again", [b"X-More: " + b"x" * 60_000 + b"\r\n", b"X-More: more\r\n"])
def test_headers_are_few(again: bytes, fetcher: Fetcher) -> None:
    def page(visit: Visit) -> None:
        visit.close_connection = True
        visit.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(10_000):
            visit.wfile.write(again)
        visit.wfile.write(b"\r\n")

    with WebServer({"/a": page}) as site:
        error = refused(fetcher, site.url("/a"))
    assert (str(error), error.retryable) == ("127.0.0.1 closed the connection before the picture was complete.", True)


@pytest.mark.parametrize("path", ["/slow?seconds=8", "/drip-headers", "/drip-body"])
def test_the_deadline_ends_everything(path: str, hasty: Fetcher) -> None:
    with WebServer() as site:
        started = time.monotonic()
        error = refused(hasty, site.url(path))
        took = time.monotonic() - started
    assert 0.9 < took < 4
    assert str(error) == "127.0.0.1 took too long to send the picture."
    assert error.retryable


def test_redirects_share_one_deadline(hasty: Fetcher) -> None:
    def page(visit: Visit) -> None:
        visit.server.site.closing.wait(0.4)
        visit.answer(status=302, Location="/a")

    with WebServer({"/a": page}) as site:
        started = time.monotonic()
        assert refused(hasty, site.url("/a")).retryable
        assert 0.9 < time.monotonic() - started < 4


def test_a_kept_connection_gets_a_new_deadline(hasty: Fetcher) -> None:
    with WebServer({"/a": PHOTOS[0]}) as site:
        for _ in range(3):
            hasty.fetch(site.url("/a"))
            time.sleep(0.45)
        assert site.connections == 1


def test_the_deadline_ends_a_slow_resolver(hasty: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(10) and [])
    started = time.monotonic()
    error = refused(hasty, "http://example.com/a.jpg")
    over.set()
    assert time.monotonic() - started < 4
    assert str(error) == "example.com could not be reached in time."
    assert error.retryable


@pytest.mark.parametrize(
    ("problem", "sentence", "retryable"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "There is no site called example.com.", False),
        (socket.gaierror(socket.EAI_AGAIN, "later"), "example.com cannot be looked up at the moment.", True),
        (socket.gaierror(socket.EAI_FAIL, "failure"), "example.com cannot be looked up at the moment.", True),
        (UnicodeError("label too long"), "There is no site called example.com.", False),
    ],
)
def test_names_that_cannot_be_looked_up(
    problem: Exception, sentence: str, retryable: bool, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise problem

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    error = refused(fetcher, "https://example.com/a.jpg")
    assert (str(error), error.retryable) == (sentence, retryable)


def test_a_closed_port(fetcher: Fetcher) -> None:
    with WebServer() as site:
        pass
    error = refused(fetcher, site.url("/a"))
    assert (str(error), error.retryable) == ("127.0.0.1 cannot be reached.", True)


def test_an_answer_that_breaks_off(fetcher: Fetcher) -> None:
    with WebServer() as site:
        error = refused(fetcher, site.url("/broken-off"))
    assert (str(error), error.retryable) == ("127.0.0.1 closed the connection before the picture was complete.", True)


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n"]
)
def test_an_answer_that_is_no_http(answer: bytes, fetcher: Fetcher) -> None:
    def page(visit: Visit) -> None:
        visit.close_connection = True
        visit.wfile.write(answer)

    with WebServer({"/a": page}) as site:
        assert refused(fetcher, site.url("/a")).retryable


def test_a_connection_that_went_wrong_is_not_used_again(fetcher: Fetcher) -> None:
    def page(visit: Visit) -> None:
        visit.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\xff\xd8\xff\r\nno length\r\n")

    with WebServer({"/a": page, "/b": PHOTOS[0]}) as site:
        for _ in range(2):
            assert refused(fetcher, site.url("/a")).retryable
            assert fetcher.fetch(site.url("/b")).data == PHOTOS[0].read_bytes()
        assert site.connections == 3


@pytest.mark.parametrize("length", ["5, 5", " 4"])
def test_odd_lengths(length: str, fetcher: Fetcher) -> None:
    def page(visit: Visit) -> None:
        visit.close_connection = True
        visit.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode() + b"\xff\xd8\xff\xe0\0")

    with WebServer({"/a": page}) as site:
        assert fetcher.fetch(site.url("/a")).data.startswith(b"\xff\xd8\xff\xe0")


@pytest.mark.parametrize("path", ["/drip-body", "/slow?seconds=60"])
def test_closing_ends_a_fetch_under_way(path: str) -> None:
    fetcher = Fetcher(settings())
    with WebServer() as site, ThreadPoolExecutor(1) as thread:
        job = thread.submit(refused, fetcher, site.url(path))
        while not site.hits:
            time.sleep(0.01)
        fetcher.close()
        assert job.result(5).retryable
        assert refused(fetcher, site.url("/a")).retryable


def test_no_url_is_logged(fetcher: Fetcher, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    odd = b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

    def page(visit: Visit) -> None:
        visit.close_connection = True
        visit.wfile.write(odd)

    with WebServer({"/a": PHOTOS[0], "/odd": page}) as site:
        fetcher.fetch(site.url("/a?token=secret"))
        refused(fetcher, site.url("/b?token=secret"))
        refused(fetcher, site.url("/odd?token=secret"))
    assert "secret" not in caplog.text


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fetcher]:
    """One that trusts the tests' certificate authority."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    made = Fetcher(settings(fetch_timeout=3))
    yield made
    made.close()


def secured(authority: trustme.CA, asked: list[str | None], *hosts: str) -> ssl.SSLContext:
    """A server's context that gives each host its own certificate, and notes which was asked for."""
    contexts = dict[str | None, ssl.SSLContext]()
    for host in hosts:
        contexts[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(contexts[host])
    first = contexts[hosts[0]]

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        asked.append(name)
        connection.context = contexts.get(name, first)

    first.sni_callback = choose
    return first


def test_https_names_the_host_and_checks_its_certificate(
    trusting: Fetcher, authority: trustme.CA, names: Names
) -> None:
    asked = list[str | None]()
    context = secured(authority, asked, "one.example", "two.example")
    with WebServer({"/a": PHOTOS[0]}, context=context) as site:
        for host in ("one.example", "two.example", "three.example"):
            names(host, ["127.0.0.1"])
        for host in ("one.example", "two.example"):
            assert trusting.fetch(site.url("/a", host)).data == PHOTOS[0].read_bytes()
        for host in ("three.example", "127.0.0.1"):
            error = refused(trusting, site.url("/a", host))
            assert str(error) == f"The identity of {host} cannot be verified: its certificate is for another name."
            assert not error.retryable
        assert site.hits == {"/a": 2}
    assert asked == ["one.example", "two.example", "three.example", None]


def test_an_unknown_authority_is_not_trusted(fetcher: Fetcher, names: Names) -> None:
    names("one.example", ["127.0.0.1"])
    with WebServer({"/a": PHOTOS[0]}, context=secured(trustme.CA(), [], "one.example")) as site:
        error = refused(fetcher, site.url("/a", "one.example"))
        assert not site.hits
    assert str(error) == f"The identity of one.example cannot be verified: {UNKNOWN}"
    assert not error.retryable


UNKNOWN = "the issuer of its certificate is unknown, or the certificate chain is incomplete."


def leaf(host: str, chain: list[trustme.Blob], key: trustme.Blob, tmp_path: Path) -> ssl.SSLContext:
    """A server's context that shows just these certificates."""
    (tmp_path / "chain.pem").write_bytes(b"".join(blob.bytes() for blob in chain))
    key.write_to_path(tmp_path / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    return context


def test_each_fault_of_a_certificate_has_its_words(
    trusting: Fetcher, authority: trustme.CA, names: Names, tmp_path: Path
) -> None:
    host, now, day = "one.example", datetime.now(UTC), timedelta(days=1)
    names(host, ["127.0.0.1"])
    stranger, between = trustme.CA(), authority.create_child_ca()
    below = between.issue_cert(host)
    unknown = stranger.issue_cert(host)
    expired = authority.issue_cert(host, not_before=now - 2 * day, not_after=now - day)
    early = authority.issue_cert(host, not_before=now + day, not_after=now + 2 * day)
    faults = [
        (expired.cert_chain_pems, expired.private_key_pem, "its certificate has expired."),
        (early.cert_chain_pems, early.private_key_pem, "its certificate is not valid yet."),
        ([stranger.cert_pem], stranger.private_key_pem, "its certificate is self-signed."),
        (
            [*unknown.cert_chain_pems, stranger.cert_pem],
            unknown.private_key_pem,
            "its certificate chain ends in a root that is not trusted.",
        ),
        (below.cert_chain_pems[:1], below.private_key_pem, UNKNOWN),
    ]
    for chain, key, words in faults:
        with WebServer({"/a": PHOTOS[0]}, context=leaf(host, chain, key, tmp_path)) as site:
            error = refused(trusting, site.url("/a", host))
        assert str(error) == f"The identity of {host} cannot be verified: {words}"
        assert not error.retryable
    context = leaf(host, below.cert_chain_pems, below.private_key_pem, tmp_path)
    with WebServer({"/a": PHOTOS[0]}, context=context) as site:
        assert trusting.fetch(site.url("/a", host)).data == PHOTOS[0].read_bytes()


def test_a_server_that_offers_only_old_tls(trusting: Fetcher, authority: trustme.CA, names: Names) -> None:
    names("one.example", ["127.0.0.1"])
    context = secured(authority, [], "one.example")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old on purpose
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with WebServer({"/a": PHOTOS[0]}, context=context) as site:
        error = refused(trusting, site.url("/a", "one.example"))
    assert str(error) == "one.example offers only old, insecure versions of TLS, so nothing is fetched from it."
    assert not error.retryable


def test_a_server_that_speaks_no_tls(trusting: Fetcher, names: Names) -> None:
    names("one.example", ["127.0.0.1"])
    with WebServer({"/a": PHOTOS[0]}) as site:
        error = refused(trusting, f"https://one.example:{site.port}/a")
    assert (str(error), error.retryable) == ("one.example cannot be reached.", True)


def test_a_secure_connection_is_kept(trusting: Fetcher, authority: trustme.CA, names: Names) -> None:
    names("one.example", ["127.0.0.1"])
    with WebServer({"/a": PHOTOS[0]}, context=secured(authority, [], "one.example")) as site:
        for _ in range(3):
            assert trusting.fetch(site.url("/a", "one.example")).data == PHOTOS[0].read_bytes()
        assert site.connections == 1


def test_the_deadline_ends_a_dripping_answer_over_tls(trusting: Fetcher, authority: trustme.CA, names: Names) -> None:
    names("one.example", ["127.0.0.1"])
    with WebServer(context=secured(authority, [], "one.example")) as site:
        for path in ("/drip-headers", "/drip-body"):
            started = time.monotonic()
            error = refused(trusting, site.url(path, "one.example"))
            assert 2.9 < time.monotonic() - started < 5
            assert str(error) == "one.example took too long to send the picture."


def test_closing_ends_a_handshake_under_way() -> None:
    fetcher = Fetcher(settings())
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as thread:
        job = thread.submit(refused, fetcher, f"https://127.0.0.1:{silent.getsockname()[1]}/a")
        connection, _ = silent.accept()
        with connection:
            connection.recv(1)
            fetcher.close()
            assert job.result(5).retryable


def test_the_deadline_ends_a_silent_handshake(hasty: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        error = refused(hasty, f"https://127.0.0.1:{silent.getsockname()[1]}/a")
        assert time.monotonic() - started < 4
    assert error.retryable


def test_what_is_fetched_is_a_picture(fetcher: Fetcher) -> None:
    with WebServer({"/a": PHOTOS[0]}) as site, Image.open(io.BytesIO(fetcher.fetch(site.url("/a")).data)) as image:
        assert image.format == "JPEG"


# Pages about pictures


def test_a_link_to_an_image_service_gives_its_image(fetcher: Fetcher) -> None:
    with WebServer({"/iiif/vase/full/!1024,1024/0/default.jpg": PHOTOS[0]}) as site:
        assert fetcher.fetch(site.url("/iiif/vase/info.json")).data == PHOTOS[0].read_bytes()


def test_a_page_of_a_known_site_says_what_to_use_instead(fetcher: Fetcher, names: Names) -> None:
    names("www.flickr.com", ["127.0.0.1"])
    with WebServer({"/photos/a/1": b"<!doctype html><p>A vase"}) as site:
        error = refused(fetcher, f"http://www.flickr.com:{site.port}/photos/a/1")
    assert str(error).startswith("www.flickr.com answered with a web page, not a picture. Choose Download")


def test_a_iiif_manifest_is_a_list(fetcher: Fetcher) -> None:
    manifest = b'{"@context": "http://iiif.io/api/presentation/3/context.json", "type": "Manifest"}'
    with WebServer({"/manifest": manifest}) as site:
        error = refused(fetcher, site.url("/manifest"))
    assert str(error).endswith("answered with a IIIF document. Save it, and upload it as a list.")
