"""`python -m training.copy_encoder.evaluate [FOLDER]`: measures an encoder on photos kept back from training.

Of 300 originals, half of Caltech classes never seen and half of the other sources, each edited copy is looked for
among the originals and 1,151 others. Pairs are made of originals, their copies and 600 others. FOLDER may also be the
progress of a training or an open_clip folder, for comparison.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.embedding.copy_network import CONFIG, load
from training.copy_encoder.benchmark import EDITS, FIVE, PARTS, edited
from training.copy_encoder.encoders import Encode, encoder, speeds
from training.copy_encoder.metrics import Vectors, between, cut_for, ranks, recall_at
from training.copy_encoder.photos import DATA
from training.copy_encoder.sample import ORIGINALS, Sample, sample

BUILTIN = Path(__file__).resolve().parents[2] / "core" / "embedding" / "builtin_copy"

LONELY = 600
"""How many of the others are among the pairs."""

MILLIONTH = 1e-6


def measured(encode: Encode, given: Sample) -> Iterator[tuple[str, str]]:
    """The table's rows, as they come."""
    count = given.originals
    index = encode(given.index)
    numbers = np.arange(count)
    copies: dict[str, Vectors] = {}
    half = count // 2
    for name in EDITS | PARTS:
        made = [edited(name, given.index[number], number, given.left) for number in range(count)]
        copies[name] = encode(made)
        places = ranks(copies[name], index, numbers)
        first, ten = places == 0, places < 10
        yield f"{name}: first / in 10", f"{first.mean():.3f} / {ten.mean():.3f}"
        if name in PARTS or name.startswith("corner"):
            yield f"– classes; other sources: {name}", f"{first[:half].mean():.3f}; {first[half:].mean():.3f}"
    yield from pairs(index, copies, count)
    yield from cuts(index, copies, given.folders, count)


def pairs(index: Vectors, copies: dict[str, Vectors], count: int) -> Iterator[tuple[str, str]]:
    """How many pairs of copies are found at a precision."""
    alone = index[count : count + LONELY]
    for names in (FIVE, tuple(EDITS)):
        vectors = np.concatenate([index[:count], *(copies[name] for name in names), alone])
        own = np.concatenate([np.tile(np.arange(count), 1 + len(names)), count + np.arange(len(alone))])
        for precision in (0.999, 0.99):
            recall, cut = recall_at(vectors, own, precision)
            yield f"pairs over {len(names)} edits at precision {precision}", f"{recall:.4f} (from {cut:.3f})"


def cuts(
    index: Vectors, copies: dict[str, Vectors], folders: NDArray[np.int64], count: int
) -> Iterator[tuple[str, str]]:
    """The cuts that one in a million unrelated pairs passes, and what copies pass them."""
    every = cut_for(between(index, np.arange(len(index))), MILLIONTH)
    apart = cut_for(between(index, folders), MILLIONTH)
    yield "cut that a millionth of pairs of whole photos passes", f"{every:.3f}; {apart:.3f} of different folders"
    wrong = []
    for rows in copies.values():
        similarities = rows @ index.T
        similarities[folders[:count, None] == folders[None]] = -1
        wrong.append(similarities.ravel())
    edited_cut = cut_for(np.concatenate(wrong), MILLIONTH)
    yield "the same for an edited copy and a photo of another folder", f"{edited_cut:.3f}"
    for group, names in (("20 edits", EDITS), ("detail, collage, page", PARTS)):
        own = np.stack([(copies[name] * index[:count]).sum(1) for name in names])
        yield (
            f"copies of {group} that pass {edited_cut:.3f}; median",
            f"{(own > edited_cut).mean():.3f}; {np.median(own):.3f}",
        )


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m training.copy_encoder.evaluate", description="Measure an encoder.")
    parser.add_argument(
        "folder", type=Path, nargs="?", default=BUILTIN, help="of an encoder, or progress of a training"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with photos/caltech101 and photos-more")
    parser.add_argument("--side", type=int, help="pixels of the square; as its config says, unless told")
    parser.add_argument("--originals", type=int, default=ORIGINALS)
    parser.add_argument("--out", type=Path, help="file for the table")
    options = parser.parse_args()
    encode, given = encoder(options.folder, options.side), sample(options.data, options.originals)
    lines = [f"| {given.originals} originals among {len(given.index) - given.originals:,} others | |", "|---|---|"]
    for name, value in measured(encode, given):
        lines.append(f"| {name} | {value} |")
        print(lines[-1], file=sys.stderr, flush=True)
    if (options.folder / CONFIG).is_file():
        own, other = speeds(load(options.folder))
        lines.append(f"| pictures a second, and times ViT-B/32 in float32 | {own:.0f}; {own / other:.1f} |")
    table = "\n".join(lines) + "\n"
    print(table)
    if options.out:
        options.out.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
