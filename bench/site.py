"""A web server of photos in its own process, lean enough to leave the cores to what is measured."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Self

from bench.support.data import some_photos

PHOTOS = 1_000


class Visit(asyncio.Protocol):
    """One connection. /17.jpg is the seventeenth photo, and every number is a file of its own."""

    photos: tuple[bytes, ...] = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = transport
        self._request = b""

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self._request += data
        while b"\r\n\r\n" in self._request:
            request, _, self._request = self._request.partition(b"\r\n\r\n")
            number = int(request.split(b" ", 2)[1].strip(b"/").partition(b".")[0])
            body = numbered(self.photos[number % len(self.photos)], number)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            assert isinstance(self._transport, asyncio.WriteTransport)
            self._transport.write(head.encode() + body)


def numbered(jpeg: bytes, number: int) -> bytes:
    """The same photo as another file: with a number in a comment (segment COM) after its first two bytes."""
    text = str(number).encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


class Site:
    """The server, for the length of a `with` block."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, "-m", "bench.site"], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def urls(self, first: int, count: int) -> list[str]:
        """The URLs of `count` files from number `first` on."""
        return [f"http://127.0.0.1:{self._port}/{number}.jpg" for number in range(first, first + count)]


async def serve() -> None:
    """Serve until the process is ended; the first line printed is the port."""
    Visit.photos = tuple(path.read_bytes() for path in some_photos(PHOTOS))
    server = await asyncio.get_running_loop().create_server(Visit, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
