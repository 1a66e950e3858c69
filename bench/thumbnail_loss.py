"""What an embedding loses when it is made from the kept thumbnail instead of the original picture.

Three kinds of originals: the photos themselves (about 300 × 200 pixels, so that a thumbnail is only recompressed),
the photos enlarged four times with grain, and mosaics of nine photos, whose detail is real and far finer than
a model's input.
"""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.support.data import MODEL_SETTING, some_photos
from bench.support.fakehub import make_vit_b_32
from core.embedding.encoder import Encoder, Vectors, load_encoder
from core.media.decode import read_picture

PHOTOS = 500
VIT_PHOTOS = 100
NEIGHBOURS = 10

FOUND = 0.99
"""The share of originals that must find their own thumbnail first for thumbnails to be good enough."""

AS_GOOD = 0.95
"""How often the nearest picture must be of the same class, as a share of how often it is with originals."""


def run() -> list[dict[str, Any]]:
    """The rows of the benchmark, see `row`."""
    rows = list(_measure("small model", load_encoder(MODEL_SETTING), PHOTOS))
    with tempfile.TemporaryDirectory() as folder:
        vit = load_encoder(f"local-dir:{make_vit_b_32(Path(folder) / 'ViT-B-32')}")
    return rows + list(_measure("ViT-B-32, random weights", vit, VIT_PHOTOS))


def row(name: str, value: float, goal: float | None) -> dict[str, Any]:
    """One row: a cosine or a share between 0 and 1, and the least it may be."""
    holds = None if goal is None else bool(value >= goal)
    return {"row": name, "value": round(value, 4), "unit": "", "goal": goal, "holds": holds}


def _measure(model: str, encoder: Encoder, count: int) -> Iterator[dict[str, Any]]:
    classes = np.array([path.parent.name for path in some_photos(count)])
    for kind, originals in _originals(count).items():
        full, thumbnails = _embed(encoder, originals)
        name = f"Thumbnail instead of original, {model}, {kind}"
        cosines = (full * thumbnails).sum(axis=1)
        yield row(f"{name}: cosine, median", float(np.median(cosines)), None)
        yield row(f"{name}: cosine, 1 % worst", float(np.percentile(cosines, 1)), None)
        yield row(f"{name}: same {NEIGHBOURS} nearest", _agreement(full, thumbnails), None)
        found = (full @ thumbnails.T).argmax(axis=1) == np.arange(len(full))
        yield row(f"{name}: original finds its thumbnail", float(found.mean()), FOUND)
        if model == "small model" and "mosaics" not in kind:
            ratio = _same_class(full, thumbnails, classes) / _same_class(full, full, classes)
            yield row(f"{name}: nearest is of the same class, as often as with originals", ratio, AS_GOOD)


def _originals(count: int) -> dict[str, list[bytes]]:
    paths = some_photos(count)
    photos = [path.read_bytes() for path in paths]
    images = [Image.open(path).convert("RGB") for path in paths]
    noise = np.random.default_rng(5)
    grain = noise.normal(0, 12, (1600, 1600, 1)).astype(np.float32)
    order = random.Random(5)
    return {
        "photos of 300 × 200": photos,
        "enlarged to 1200 × 800": [_jpeg(_enlarged(image, grain)) for image in images],
        "mosaics of 900 × 600": [_jpeg(_mosaic([image, *order.sample(images, 8)])) for image in images],
    }


def _enlarged(image: Image.Image, grain: np.ndarray[Any, np.dtype[np.float32]]) -> Image.Image:
    image = image.copy()
    image.thumbnail((400, 400))  # a few of the photos are large already
    large = np.asarray(image.resize((4 * image.width, 4 * image.height), Image.Resampling.BICUBIC), np.float32)
    large = large + grain[: large.shape[0], : large.shape[1]]
    return Image.fromarray(large.clip(0, 255).astype(np.uint8))


def _mosaic(images: list[Image.Image]) -> Image.Image:
    """Three by three; the first picture is the large one's middle."""
    tiles = [image.resize((300, 200), Image.Resampling.BICUBIC) for image in images]
    tiles.insert(4, tiles.pop(0))
    mosaic = Image.new("RGB", (900, 600))
    for number, tile in enumerate(tiles):
        mosaic.paste(tile, (number % 3 * 300, number // 3 * 200))
    return mosaic


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _embed(encoder: Encoder, originals: list[bytes]) -> tuple[Vectors, Vectors]:
    full, thumbnails = [], []
    for original in originals:
        picture = read_picture(original, max_bytes=10**8, max_pixels=10**8)
        full.append(encoder.prepare(picture.image, picture.box))
        with Image.open(io.BytesIO(picture.thumbnail)) as thumbnail:
            thumbnails.append(encoder.prepare(thumbnail.convert("RGB")))
    return encoder.encode_prepared(full), encoder.encode_prepared(thumbnails)


def _agreement(full: Vectors, thumbnails: Vectors) -> float:
    """The share of each original's nearest others that are the same whether all are embedded from originals or all
    the others from thumbnails."""
    ours, theirs = full @ full.T, full @ thumbnails.T
    same = 0
    for number in range(len(full)):
        ours[number, number] = theirs[number, number] = -2
        same += len(set(np.argsort(-ours[number])[:NEIGHBOURS]) & set(np.argsort(-theirs[number])[:NEIGHBOURS]))
    return same / (NEIGHBOURS * len(full))


def _same_class(queries: Vectors, pictures: Vectors, classes: np.ndarray[Any, Any]) -> float:
    """The share of queries whose nearest other picture is of their class."""
    similarities = queries @ pictures.T
    np.fill_diagonal(similarities, -2)
    return float((classes[similarities.argmax(axis=1)] == classes).mean())


if __name__ == "__main__":
    for entry in run():
        print(f"{entry['row']:90} {entry['value']:8.4f}  {'' if entry['holds'] is None else entry['holds']}")
