"""How good the matches are on real photos, so that a slip in decoding or preprocessing shows as a drop.

The small model's figures are those of its own kind: CLIP's are higher. Whether bfloat16 keeps the rankings is measured
with a ViT-B-32 of random weights, which crowds all photos together: a trained one sets them further apart.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from bench.parts import random_vit
from bench.report import Report
from bench.support.data import MODEL_SETTING, some_photos
from core.embedding.encoder import Encoder, Vectors, load_encoder
from core.media.decode import WORKING_SIDE, read_picture

NEAREST = 10
PHOTOS = 2_500
ORIGINALS = 500
LARGE = 200
"""Photos that are enlarged to what cameras make, so that a JPEG decoder has something to leave out."""

SHORT_SIDE = 3_000
"""Pixels of those: 12 megapixels at 4:3."""

BATCH = 64

TIE = 0.005
"""Cosines closer than this, half a percent, look equal to people. Among pictures that have
nothing to do with the query, the tenth and the eleventh are mostly nearer to each other than that."""


def run(report: Report) -> None:
    """The rows of each question."""
    small = load_encoder(MODEL_SETTING)
    _precision(report, small)
    _copies(report, small)
    _fast_decoding(report, small)
    _half_precision(report)


def _precision(report: Report, encoder: Encoder) -> None:
    paths = some_photos(PHOTOS)
    classes = np.array([path.parent.name for path in paths])
    vectors = _embed(encoder, (path.read_bytes() for path in paths))
    right = [(classes[row] == own).mean() for row, own in zip(_nearest(vectors, vectors), classes, strict=True)]
    report.at_least(f"{len(paths):,} photos: precision@{NEAREST} by class", float(np.mean(right)), 0.70, "")


def _copies(report: Report, encoder: Encoder) -> None:
    originals = [path.read_bytes() for path in some_photos(ORIGINALS)]
    vectors = _embed(encoder, originals)
    for name, change, goal in CHANGES:
        copies = _embed(encoder, (_changed(data, change) for data in originals))
        found = (copies @ vectors.T).argmax(axis=1) == np.arange(len(vectors))
        report.at_least(f"copies among {ORIGINALS:,} originals found first: {name}", float(found.mean()), goal, "")


def _fast_decoding(report: Report, encoder: Encoder) -> None:
    """Photos of twelve megapixels decoded as far as the model needs, against all of each."""
    large = [_changed(path.read_bytes(), lambda image: _enlarged(image, SHORT_SIDE)) for path in some_photos(LARGE)]
    fast, full = _embed(encoder, large), _embed(encoder, large, side=10**6)
    apart = 1e3 * (1 - float((fast * full).sum(axis=1).min()))
    report.note("fast JPEG decoding: 1 - cosine to full decoding, most", apart, "‰")
    _agreement(report, "fast JPEG decoding", full, fast)


def _half_precision(report: Report) -> None:
    originals = [path.read_bytes() for path in some_photos(LARGE)]
    with random_vit() as setting:
        exact = _embed(load_encoder(setting, precision="fp32"), originals)
        half = _embed(load_encoder(setting, precision="bf16"), originals)
    report.note("bfloat16: 1 - cosine to float32, most", 1e3 * (1 - float((half * exact).sum(axis=1).min())), "‰")
    _agreement(report, "bfloat16", exact, half)


def _agreement(report: Report, name: str, exact: Vectors, other: Vectors) -> None:
    """How many queries have another top 10: at all, and by a picture that is worse by more than a tie."""
    true = exact @ exact.T
    np.fill_diagonal(true, -2)
    ours, theirs = _nearest(exact, exact), _nearest(other, other)
    changed = [set(mine) != set(yours) for mine, yours in zip(ours, theirs, strict=True)]
    last = np.take_along_axis(true, ours[:, -1:], axis=1)
    worse = np.take_along_axis(true, theirs, axis=1).min(axis=1, keepdims=True) < last - TIE
    report.note(f"{name}: queries whose top {NEAREST} differ at all", 100 * float(np.mean(changed)), "%")
    report.at_most(f"{name}: queries whose top {NEAREST} differ beyond ties", 100 * float(worse.mean()), 1.0, "%")


def _embed(encoder: Encoder, files: Iterable[bytes], side: int = WORKING_SIDE) -> Vectors:
    """Unit rows of shape (n, dim), by the decoding and preprocessing of an import."""
    rows, prepared = list[Vectors](), []
    for data in files:
        picture = read_picture(data, max_bytes=10**8, max_pixels=5 * 10**8, side=side)
        prepared.append(encoder.prepare(picture.image, picture.box))
        if len(prepared) == BATCH:
            rows.append(encoder.encode_prepared(prepared))
            prepared = []
    return np.concatenate([*rows, encoder.encode_prepared(prepared)])


def _nearest(queries: Vectors, pictures: Vectors) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """The places of the NEAREST other pictures of each, the best first."""
    similarities = queries @ pictures.T
    np.fill_diagonal(similarities, -2)
    return np.argsort(-similarities, axis=1, kind="stable")[:, :NEAREST]


def _changed(data: bytes, change: Callable[[Image.Image], Image.Image], quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        change(image.convert("RGB")).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _recompressed(image: Image.Image) -> Image.Image:
    with Image.open(io.BytesIO(_changed(_png(image), lambda same: same, quality=30))) as again:
        return again.convert("RGB")


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def _enlarged(image: Image.Image, short: int) -> Image.Image:
    width, height = (side * short // min(image.size) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _middle(image: Image.Image, share: float) -> Image.Image:
    """The middle of a picture, that share of its area."""
    cut = (1 - share**0.5) / 2
    width, height = image.size
    return image.crop((round(cut * width), round(cut * height), round((1 - cut) * width), round((1 - cut) * height)))


CHANGES: Sequence[tuple[str, Callable[[Image.Image], Image.Image], float]] = (
    ("re-compressed", _recompressed, 0.99),
    ("mirrored", ImageOps.mirror, 0.99),
    ("with a border", lambda image: ImageOps.expand(image, max(image.size) // 10, "white"), 0.98),
    ("brightened", lambda image: ImageEnhance.Brightness(image).enhance(1.4), 0.98),
    ("70 % crop", lambda image: _middle(image, 0.7), 0.98),
    ("40 % crop", lambda image: _middle(image, 0.4), 0.90),
)
