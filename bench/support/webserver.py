"""A web server on a loopback IP address that serves pictures, and every fault that a fetcher must cope with."""

from __future__ import annotations

import contextlib
import mimetypes
import socket
import ssl
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

DRIP_SECONDS = 0.1


class Visit(BaseHTTPRequestHandler):
    """One request. `query` holds the last value of each parameter."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: _Server

    def do_GET(self) -> None:
        """Answer with the page of that path, or with one of TROUBLES."""
        url = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        site = self.server.site
        site.record(url.path, self.headers)
        page = site.pages.get(url.path)
        if isinstance(page, bytes):
            self.answer(page)
        elif isinstance(page, Path):
            self.answer(page.read_bytes(), type=mimetypes.guess_type(page.name)[0] or "image/jpeg")
        elif page is not None:
            page(self)
        else:
            TROUBLES.get(url.path, missing)(self)

    def answer(self, body: bytes = b"", status: int = 200, type: str = "image/jpeg", **headers: str) -> None:
        """Send a whole answer; `Retry_After="5"` becomes the header Retry-After."""
        self.send_response(status)
        fields = {"Content-Type": type, "Content-Length": str(len(body))}
        for name, value in (fields | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, data: bytes) -> None:
        """Send byte after byte, until all is sent or the server closes."""
        self.close_connection = True
        for byte in data:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.server.site.closing.wait(DRIP_SECONDS):
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


Handler = Callable[[Visit], None]
Page = bytes | Path | Handler
"""What is served at a path: bytes, a file, or what a function answers to the visit."""


def missing(visit: Visit) -> None:
    """404."""
    visit.answer(b"nothing here", 404, "text/plain")


def status(visit: Visit) -> None:
    """?code=503, with &after=20 for Retry-After."""
    after = {"Retry_After": visit.query["after"]} if "after" in visit.query else {}
    visit.answer(b"<html>no</html>", int(visit.query["code"]), "text/html", **after)


def redirect(visit: Visit) -> None:
    """?to=URL, with &code=302."""
    location = visit.query["to"].encode().decode("latin-1")  # headers are written in that
    visit.answer(status=int(visit.query.get("code", "302")), Location=location)


def slow(visit: Visit) -> None:
    """?seconds=5: nothing at all for so long, then a short answer."""
    visit.server.site.closing.wait(float(visit.query["seconds"]))
    visit.answer(b"late")


def drip_headers(visit: Visit) -> None:
    """Header after header, a byte at a time."""
    visit.drip(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n" + b"X-More: more\r\n" * 1000)


def drip_body(visit: Visit) -> None:
    """A picture, a byte at a time."""
    visit.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"\xff\xd8\xff\xe0" + bytes(9995))


def gzip_bomb(visit: Visit) -> None:
    """?mb=500: so many million zero bytes behind a JPEG's first bytes, packed to a thousandth."""
    packer = zlib.compressobj(wbits=31)
    packed = [
        packer.compress(b"\xff\xd8\xff\xe0"),
        *(packer.compress(bytes(1_000_000)) for _ in range(int(visit.query["mb"]))),
    ]
    visit.answer(b"".join(packed) + packer.flush(), Content_Encoding="gzip")


def broken_off(visit: Visit) -> None:
    """Half of what was promised."""
    visit.close_connection = True
    visit.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n\xff\xd8\xff\xe0" + bytes(2000))


TROUBLES: dict[str, Handler] = {
    "/status": status,
    "/redirect": redirect,
    "/slow": slow,
    "/drip-headers": drip_headers,
    "/drip-body": drip_body,
    "/gzip-bomb": gzip_bomb,
    "/broken-off": broken_off,
}


class WebServer:
    """Serves `pages` by path, and TROUBLES, from a free port, in threads, until the `with` block ends.

    A page is its bytes, a file, or a function of the Visit. `hits` counts requests by path, `connections` those
    accepted, and `headers` holds the request headers that came last for each path.
    """

    def __init__(
        self,
        pages: Mapping[str, Page] | None = None,
        *,
        host: str = "127.0.0.1",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.pages = dict(pages or {})
        self.hits = Counter[str]()
        self.connections = 0
        self.headers = dict[str, Message]()
        self.closing = threading.Event()
        self.context = context
        self._lock = threading.Lock()
        self._server = _Server((host, 0), self)
        self.host, self.port = host, self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="webserver")

    def url(self, path: str, host: str | None = None) -> str:
        """The URL of a path, under another name of this host when one is given."""
        return f"{'https' if self.context else 'http'}://{host or self.host}:{self.port}{path}"

    def record(self, path: str, headers: Message) -> None:
        """Count a request."""
        with self._lock:
            self.hits[path] += 1
            self.headers[path] = headers

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()  # joins the threads of all connections


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], site: WebServer) -> None:
        self.site = site
        self._open = set[socket.socket]()
        self._lock = threading.Lock()
        super().__init__(address, Visit)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)  # the parent's asks the resolver for this machine's name
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.site.connections += 1
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        connection = self.site.context.wrap_socket(request, server_side=True) if self.site.context else request
        with connection:
            with self._lock:
                self._open.add(connection)
            try:
                if not self.site.closing.is_set():
                    super().finish_request(connection, client_address)
            finally:
                with self._lock:
                    self._open.discard(connection)

    def hang_up(self) -> None:
        """End the connections that clients keep open."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # clients that hang up are expected
            super().handle_error(request, client_address)
