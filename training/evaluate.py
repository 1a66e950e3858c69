"""`python -m training.evaluate FOLDER`: prints the model card's table for any open_clip folder.

Measured on photos held out from training: whether a changed copy of each of 1,000 originals is nearest to its own
original, and whether a photo's nearest neighbour, other than itself, is of the same class.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from core.embedding.checkpoint import BUILTIN_FOLDER
from core.embedding.encoder import Encoder, Vectors, load_encoder
from training.changes import CHANGES
from training.photos import CLUTTER, PHOTOS, read, split

ORIGINALS = 1_000
BATCH = 32


def encode(encoder: Encoder, images: Sequence[Image.Image]) -> Vectors:
    """Unit rows of RGB pictures, a batch at a time."""
    return np.concatenate(
        [encoder.encode_pictures(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    )


def copies_found(
    encoder: Encoder, images: Sequence[Image.Image], vectors: Vectors, sample: int
) -> Iterator[tuple[str, float]]:
    """For each change, the share of `sample` changed `images` nearest to the `vectors` row of their original."""
    numbers = np.linspace(0, len(images) - 1, min(sample, len(images))).astype(int)
    for name, change in CHANGES.items():
        changed = [change(images[number], random.Random(int(number))) for number in numbers]  # noqa: S311
        yield name, float(((encode(encoder, changed) @ vectors.T).argmax(1) == numbers).mean())


def class_accuracy(vectors: Vectors, names: Sequence[str]) -> float:
    """The share of rows whose nearest other row has the same name."""
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -np.inf)
    return float((np.array(names)[similarities.argmax(1)] == np.array(names)).mean())


def pictures_per_second(encoder: Encoder, images: Sequence[Image.Image], rounds: int = 5) -> float:
    """Pictures a second through the network alone, in batches: the best of `rounds`, the first of which warms up."""
    prepared = [encoder.prepare(image) for image in images]
    best = 0.0
    for _ in range(rounds):
        begun = time.perf_counter()
        encoder.encode_prepared(prepared)
        best = max(best, len(prepared) / (time.perf_counter() - begun))
    return best


def main() -> None:
    """Measure one folder, and print."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description="Measure an image encoder.")
    parser.add_argument("folder", type=Path, nargs="?", default=BUILTIN_FOLDER)
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder of folders of photos, one a class")
    parser.add_argument("--sample", type=int, default=ORIGINALS, help="originals that are changed and searched for")
    options = parser.parse_args()
    encoder = load_encoder(f"local-dir:{options.folder}")
    photos = split(options.photos)
    images = [read(path) for path in photos.unseen]
    vectors = encode(encoder, images)
    print(f"{encoder.name}, {encoder.dim} dimensions, {encoder.device} {encoder.precision}\n")
    print(f"| on {len(images):,} photos never seen in training | |\n|---|---|")
    for name, share in copies_found(encoder, images[:ORIGINALS], vectors[:ORIGINALS], options.sample):
        print(f"| {name}: found first among {min(ORIGINALS, len(images)):,} | {share:.3f} |", flush=True)
    classes = [number for number, path in enumerate(photos.unseen) if path.parent.name != CLUTTER]
    names = [photos.unseen[number].parent.name for number in classes]
    print(
        f"| nearest neighbour of the same class, of {len(set(names))} | {class_accuracy(vectors[classes], names):.3f} |"
    )
    print(f"| pictures a second | {pictures_per_second(encoder, images[:64]):.0f} |")


if __name__ == "__main__":
    main()
