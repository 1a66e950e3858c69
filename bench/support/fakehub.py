"""A model hub on 127.0.0.1 that implements as much of the Hugging Face hub's protocol as a download needs.

By hand, to see the app download ViT-B/32 (with random weights, made once and kept in the cache folder):

    python -m bench.support.fakehub --port 8600 --cache build/fakehub --rate 20
    HF_ENDPOINT=http://127.0.0.1:8600 HF_HOME=build/hf make run
"""

from __future__ import annotations

import argparse
import hashlib
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, Self, get_args
from urllib.parse import unquote, urlsplit

VIT_B_32 = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
Mode = Literal["whole", "cut", "garbage", "missing", "gated", "broken", "portal", "mute"]


class FakeHub:
    """Serves `repositories` (ORGANISATION/NAME to folder) while it is used in a `with` statement.

    `mode` can be changed at any time: "cut" ends every longer file after `cut_after` bytes, `cuts` times or, at -1,
    always; "garbage" sends weights that are none, "missing" refuses the repository and "gated" its files, "broken"
    answers 503, "portal" as a hotel's sign-in page does, and "mute" not at all. `rate` is in bytes a second;
    `requests` are the (method, path, Range header) received. A repository that gets another folder has a new commit.
    """

    def __init__(self, repositories: Mapping[str, Path], port: int = 0) -> None:
        self.repositories = dict(repositories)
        self.commits = dict[str, Path]()
        self.mode: Mode = "whole"
        self.cut_after = 0
        self.cuts = -1
        self.rate: float | None = None
        self.requests: list[tuple[str, str, str | None]] = []
        self.stopped = threading.Event()
        self._server = _Server(self, port)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """What HF_ENDPOINT names it."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def commit_of(path: Path) -> str:
    """A stand-in for the name of a commit, or of a file in it."""
    return hashlib.sha1(str(path).encode()).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, hub: FakeHub, port: int) -> None:
        self.hub = hub
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        hub = self.server.hub
        hub.requests.append((self.command, self.path, self.headers.get("Range")))
        path = unquote(urlsplit(self.path).path).lstrip("/")
        described = path.startswith("api/models/")
        repository, _, rest = path.removeprefix("api/models/").partition("/resolve/")
        organisation, name, *asked = repository.split("/")
        folder = hub.repositories.get(f"{organisation}/{name}")
        if hub.mode == "mute":
            hub.stopped.wait()
        elif hub.mode == "broken":
            self._refuse(503, "")
        elif hub.mode == "portal":
            self._start(200, 0, {"Content-Type": "text/html", "ETag": '"page"'})
        elif hub.mode == "missing" or folder is None:
            self._refuse(404, "RepoNotFound")
        elif described:
            self._describe(f"{organisation}/{name}", folder, *asked)
        elif hub.mode == "gated":
            self._refuse(401, "GatedRepo")
        else:
            revision, _, name = rest.partition("/")
            self._send(hub.commits.get(revision, folder), name)

    def _describe(self, repository: str, folder: Path, what: str = "revision", revision: str = "main") -> None:
        """Its newest commit, or the files of a commit."""
        if what == "revision":
            self.server.hub.commits[commit_of(folder)] = folder
            answer: object = {"_id": "0", "id": repository, "sha": commit_of(folder)}
        else:
            files = sorted(path for path in self.server.hub.commits[revision].iterdir() if path.is_file())
            answer = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": commit_of(path)}
                for path in files
            ]
        body = json.dumps(answer).encode()
        self._start(200, len(body), {"Content-Type": "application/json"})
        self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self._start(status, 0, {"X-Error-Code": code} if code else {})

    def _start(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, folder: Path, name: str) -> None:
        commit = commit_of(folder)
        path = folder / name
        if not path.is_file():
            self._start(404, 0, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        size = path.stat().st_size
        first = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        etag = hashlib.sha256(f"{path} {size} {path.stat().st_mtime_ns}".encode()).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if first:
            headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        self._start(206 if first else 200, size - first, headers)
        if self.command == "GET":
            self._send_body(path, first, self._stop_at(first, size))

    def _stop_at(self, first: int, size: int) -> int:
        hub = self.server.hub
        if hub.mode != "cut" or hub.cuts == 0 or first + hub.cut_after >= size:
            return size
        hub.cuts -= 1
        return first + hub.cut_after

    def _send_body(self, path: Path, first: int, stop: int) -> None:
        hub = self.server.hub
        garbage = hub.mode == "garbage" and path.suffix in (".safetensors", ".bin")
        with path.open("rb") as file:
            file.seek(first)
            while first < stop and not hub.stopped.is_set():
                piece = file.read(min(1_000_000, stop - first))
                first += len(piece)
                try:
                    self.wfile.write(b"\xff" * len(piece) if garbage else piece)
                except ConnectionError:
                    return
                if hub.rate:
                    hub.stopped.wait(len(piece) / hub.rate)


def make_vit_b_32(folder: Path) -> Path:
    """A whole ViT-B/32 with random weights, always the same, in `folder`; made unless it is there (605 MB)."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "open_clip_model.safetensors"
    if not weights.exists():
        torch.manual_seed(0)
        module = open_clip.create_model("ViT-B-32")
        save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, weights)
        config = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def main() -> None:
    """Serve until Ctrl+C."""
    parser = argparse.ArgumentParser(description="A model hub on 127.0.0.1 that serves ViT-B/32 with random weights.")
    parser.add_argument("--port", type=int, default=8600)
    parser.add_argument("--cache", type=Path, default=Path("build/fakehub"), help="where the weights are kept")
    parser.add_argument("--rate", type=float, help="megabytes a second; unset: as fast as it goes")
    parser.add_argument("--mode", choices=get_args(Mode), default="whole")
    parser.add_argument("--cut-after", type=float, default=100, help="megabytes, with --mode cut")
    options = parser.parse_args()
    with FakeHub({VIT_B_32: make_vit_b_32(options.cache / "ViT-B-32")}, options.port) as hub:
        hub.mode = options.mode
        hub.rate = options.rate and options.rate * 1e6
        hub.cut_after = int(options.cut_after * 1e6)
        print(f"HF_ENDPOINT={hub.url}", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
