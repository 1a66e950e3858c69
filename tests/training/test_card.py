"""The numbers on the card of the built-in encoder, measured again on a small sample."""

from __future__ import annotations

import re

import pytest

from core.embedding.checkpoint import BUILTIN_FOLDER
from core.embedding.encoder import Encoder, Vectors, load_encoder
from tests.support.data import PHOTOS
from training.evaluate import ORIGINALS, class_accuracy, copies_found, encode
from training.photos import CLUTTER, read, split

CARD = (BUILTIN_FOLDER / "README.md").read_text("utf-8")
SAMPLE = 60


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("built-in")


@pytest.fixture(scope="module")
def vectors(encoder: Encoder) -> Vectors:
    """Of all photos that were never trained on."""
    return encode(encoder, [read(path) for path in split(PHOTOS).unseen])


def on_the_card(row: str) -> float:
    """The first number of that row of its table."""
    found = re.search(rf"^\| {re.escape(row)}[^|]*\| ([0-9.]+) ", CARD, re.MULTILINE)
    assert found, row
    return float(found[1])


def test_nothing_is_both_taught_and_tested() -> None:
    photos = split(PHOTOS)
    assert not {*photos.seen} & {*photos.unseen}
    taught, tested = ({path.parent.name for path in paths} - {CLUTTER} for paths in (photos.seen, photos.unseen))
    assert not taught & tested
    assert (len(taught), len(tested), len(photos.unseen) >= ORIGINALS) == (80, 20, True)


def test_copies_are_found_as_the_card_says(encoder: Encoder, vectors: Vectors) -> None:
    images = [read(path) for path in split(PHOTOS).unseen[:ORIGINALS]]
    for change, share in copies_found(encoder, images, vectors[:ORIGINALS], SAMPLE):
        promised = on_the_card(change)
        chance = 3 * (promised * (1 - promised) / SAMPLE) ** 0.5  # three standard deviations of such a sample
        assert share == pytest.approx(promised, abs=chance + 0.02), change


def test_neighbours_are_of_one_class_as_the_card_says(vectors: Vectors) -> None:
    names = [path.parent.name for path in split(PHOTOS).unseen]
    known = [number for number, name in enumerate(names) if name != CLUTTER]
    accuracy = class_accuracy(vectors[known], [names[number] for number in known])
    assert accuracy == pytest.approx(on_the_card("nearest neighbour of the same class"), abs=0.01)
