"""Whether the same picture is proved, whatever became of it, and other pictures never are; and how long it takes."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bench.report import Report
from bench.support.data import DATA
from core.embedding.encoder import load_encoder
from core.media.decode import read_picture
from core.search.query_vector import detail_of
from core.verification.local_features import MOST_OF_QUERY, LocalFeatures, local_features
from core.verification.proof import prove
from training.copy_encoder.benchmark import EDITS, FIVE, PARTS, edited
from training.copy_encoder.photos import Picture, read, split

ORIGINALS = 60
"""Photos that the copy encoder did not learn from, each edited in every way."""

STRANGERS = 1_500
"""Other photos, of which each one's nearest of another folder is tried: what a search would try."""

CANDIDATES = 50
"""Pictures that a search tries, see `core.search.same_pictures`."""

EASY = 0.97
"""Goal for the pairs that are measured most strictly."""


def run(report: Report) -> None:
    """The rows of copies, of strangers, and of time."""
    photos = split(DATA)
    unseen = [*photos.unseen_others, *photos.unseen_classes]
    order = np.random.default_rng(4).permutation(len(unseen))
    pictures = [read(unseen[place]) for place in order[: 2 * ORIGINALS]]
    _copies(report, pictures[:ORIGINALS], pictures[ORIGINALS:])
    _strangers(report, [unseen[place] for place in order[:STRANGERS]])
    _seconds(report, pictures)


def _thumbnail(picture: Picture) -> LocalFeatures:
    """The features of a picture as the collection keeps it."""
    return local_features(_decoded(read_picture(_png(picture), max_bytes=10**8, max_pixels=10**8).thumbnail))


def _query(picture: Picture) -> LocalFeatures:
    """The features of a picture as a search takes it."""
    image = read_picture(_png(picture), max_bytes=10**8, max_pixels=10**8).image
    return local_features(_decoded(detail_of(image)), MOST_OF_QUERY)


def _png(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _decoded(data: bytes) -> Picture:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def _copies(report: Report, originals: Sequence[Picture], others: Sequence[Picture]) -> None:
    known = [_thumbnail(picture) for picture in originals]
    strict = list[bool]()
    for name in EDITS | PARTS:
        found = [
            prove(_query(edited(name, picture, number, others)), known[number]) is not None
            for number, picture in enumerate(originals)
        ]
        report.note(f"copies proved: {name}", float(np.mean(found)), "")
        strict += found if name in FIVE else []
    report.at_least(f"copies proved: {', '.join(FIVE)}", float(np.mean(strict)), EASY, "")


def _strangers(report: Report, paths: Sequence[Path]) -> None:
    """A photo's own folder is left out: there, photos of one series or screenshots of one window may share a part."""
    encoder = load_encoder("built-in")
    folders = np.array([str(path.parent) for path in paths])
    images = [Image.fromarray(read(path)) for path in paths]
    vectors = encoder.encode_pictures(images)
    similarities = vectors @ vectors.T
    similarities[folders[:, None] == folders[None]] = -1
    pairs = {(min(one, other), max(one, other)) for one, other in enumerate(similarities.argmax(1).tolist())}
    features = [_thumbnail(np.asarray(image)) for image in images]
    wrong = [pair for pair in pairs if prove(features[pair[0]], features[pair[1]]) is not None]
    report.at_most(f"of {len(pairs):,} pairs of nearest strangers, proved", float(len(wrong)), 0, "")


def _seconds(report: Report, pictures: Sequence[Picture]) -> None:
    """In one thread; the app uses one a core."""
    query = _query(pictures[0])
    thumbnails = [_thumbnail(picture).pixels for picture in pictures[:CANDIDATES]]
    begun = time.perf_counter()
    known = [local_features(pixels) for pixels in thumbnails]
    found = time.perf_counter()
    for features in known:
        prove(query, features)
    report.note(f"features of {CANDIDATES} candidates, one thread", found - begun, "s")
    report.note(f"proofs of {CANDIDATES} candidates, one thread", time.perf_counter() - found, "s")
