"""How many items a second the ledger, queue and store handle when fetching, decoding and the model cost nothing.

Those three are stubs here, and only here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from bench.parts import index, running_engine
from bench.report import Report
from core.embedding.encoder import Vectors
from core.embedding.loader import LoadState
from core.media.decode import Picture, PixelBox
from core.media.fetcher import Fetched, Version
from core.settings import Settings

ITEMS = 10_000
HOSTS = 64
DIM = 512

IMAGE = Image.new("RGB", (16, 16))
TENSOR = torch.zeros(1)
THUMBNAIL = bytes(np.random.default_rng(0).integers(0, 256, 8_000, dtype=np.uint8))
"""As many bytes as the thumbnail of a photo."""


class _Fetcher:
    def __init__(self, settings: Settings) -> None:
        pass

    def fetch(self, url: str, known: Version | None = None) -> Fetched:
        return Fetched(url.encode(), Version(url))

    def close(self) -> None:
        pass


class _Encoder:
    name, dim = "stub", DIM

    def prepare(self, image: Image.Image, box: PixelBox) -> torch.Tensor:
        return TENSOR

    def encode_prepared(self, prepared: Sequence[torch.Tensor]) -> Vectors:
        return np.eye(max(1, len(prepared)), DIM, dtype=np.float32)[: len(prepared)]


class _Loader:
    def __init__(self, model: str) -> None:
        self.state = LoadState(model, "ready")

    def get(self, timeout: float = 0.0) -> _Encoder:
        return _Encoder()

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass


def _read_picture(data: bytes, *_: object) -> Picture:
    digest = hashlib.sha256(data).digest()
    phash = int.from_bytes(digest[:8], signed=True)
    box = 0.0, 0.0, *IMAGE.size
    return Picture(IMAGE, box, digest, phash, 300, 200, len(data), "image/jpeg", THUMBNAIL)


def run(report: Report) -> None:
    """One row."""
    urls = [f"http://{number % HOSTS}.example/{number}.jpg" for number in range(ITEMS)]
    with (
        patch("core.engine.Fetcher", _Fetcher),
        patch("core.embedding.model_selection.EncoderLoader", _Loader),
        patch("core.indexing.item_loader.read_picture", _read_picture),
        running_engine() as engine,
    ):
        seconds, entry = index(engine, urls)
    assert entry.indexed == ITEMS, entry
    report.at_least(f"ledger, queue and store alone, {ITEMS:,} items", ITEMS / seconds, 1_000, "items/s")
