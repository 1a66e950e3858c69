"""The built-in encoder: how soon after `make run` a picture can be searched for with it, and how fast it is."""

from __future__ import annotations

import time

import httpx2

from bench.parts import folder, random_vit
from bench.report import Report
from bench.support.app import App
from bench.support.data import some_photos
from core.embedding.encoder import load_encoder
from training.evaluate import pictures_per_second
from training.photos import read

ROUNDS = 3
PICTURES = 64


def run(report: Report) -> None:
    """Two promises: the best of some starts without access to a model hub, and the speed compared with CLIP's."""
    _starts(report)
    images = [read(path) for path in some_photos(PICTURES)]
    with random_vit() as vit:
        clip, ours = load_encoder(vit), load_encoder("built-in")
        speeds = [[pictures_per_second(encoder, images) for encoder in (clip, ours)] for _ in range(ROUNDS)]
    theirs, own = map(max, zip(*speeds, strict=True))
    report.note(f"ViT-B-32, {clip.precision}: bare forward", theirs, "images/s")
    report.note(f"built-in encoder, {ours.precision}: bare forward", own, "images/s")
    report.at_least("built-in encoder against ViT-B-32, bare forward", own / theirs, 4)


def _starts(report: Report) -> None:
    begun = time.perf_counter()
    with folder() as empty, App(CLIP_MODEL="", HF_ENDPOINT="http://127.0.0.1:1", HF_HOME=str(empty)) as app:
        _search(app)
        report.note("first start with the built-in encoder, until a search", time.perf_counter() - begun, "s")
        seconds = list[float]()
        for _ in range(ROUNDS):
            app.stop()
            begun = time.perf_counter()
            app.start()
            _search(app)
            seconds.append(time.perf_counter() - begun)
    report.at_most("start with the built-in encoder, until a search", min(seconds), 6, "s")


def _search(app: App) -> None:
    """Open the page, and search."""
    with httpx2.Client(base_url=app.url, timeout=60) as client:
        assert client.get("/").status_code == 200
        answer = client.post("/api/search", files={"file": some_photos(1)[0].read_bytes()})
        assert answer.json()["model"].startswith("built-in@"), answer.text
