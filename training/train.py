"""`python -m training.train`: trains the built-in encoder from random weights, in about 90 minutes on two cores.

The student learns to encode an augmented view of a picture (a photo, a crop of one, or a blend of two) as the teacher
encodes the picture itself, with three losses at once:

- its vector points in the same direction as the teacher's (1 − cosine);
- its similarities to all photos are those of the teacher (cross-entropy of the softened similarities to the teacher's
  vectors of all photos: SEED, Fang et al. 2021);
- two views of a picture are nearer to each other than to all others of the batch (InfoNCE: van den Oord et al. 2018).

The result is the moving average of its weights, with a separately computed last layer (`training.whiten`), as float16.
A checkpoint is written every minute, from which the same command resumes. The same seed on the same machine draws the
same photos and augmentations in the same order.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, normalize
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from core.embedding.checkpoint import BUILTIN_FOLDER, CHECKSUMS, CONFIG, WEIGHTS, checksum_line
from core.process import keep_freed_memory
from training.augment import Augment
from training.lessons import Lessons, prepare
from training.photos import PHOTOS, TEACHER, split
from training.whiten import whiten

BATCH = 96
"""Pictures a step, with two views each."""

SIDES = ((0.8, 96), (1.0, 128))
"""Pixels a side of the views, each until that share of the training: small ones first, because they cost half."""

WARM_UP = 0.03
RATE = 2e-3
DECAY = 0.05
KEPT = 0.99
"""Of the running average, a step."""

SOFTNESS = 0.1
"""Divides similarities in both softmaxes."""

POINT, ALIKE, APART = 2.0, 1.0, 1.0
"""Weights of the three losses."""

SAVE_SECONDS = 60.0


class Student:
    """The network in training and all that its progress consists of."""

    def __init__(self, folder: Path, device: str) -> None:
        """`folder` holds the open_clip config that says what it is built of."""
        self.module: Any = open_clip.create_model(
            f"local-dir:{folder}", load_weights=False, pretrained_image=False, device=device
        )
        self.module.visual.to(memory_format=torch.channels_last)
        settings = open_clip.get_model_preprocess_cfg(self.module)
        self.mean = torch.tensor(settings["mean"], device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(settings["std"], device=device).view(1, 3, 1, 1)
        self.average = AveragedModel(self.module, multi_avg_fn=get_ema_multi_avg_fn(KEPT), use_buffers=True)
        weights = [weight for weight in self.module.visual.parameters() if weight.ndim > 1]
        others = [weight for weight in self.module.visual.parameters() if weight.ndim <= 1]
        groups = [{"params": weights, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE)
        self.step, self.seconds = 0, 0.0
        self._device = device

    def encode(self, views: torch.Tensor) -> torch.Tensor:
        """Views, float32 0 to 1, to unit vectors."""
        given = ((views.to(self._device) - self.mean) / self.std).to(memory_format=torch.channels_last)
        with torch.autocast(self._device, torch.bfloat16):
            vectors = self.module.visual(given)
        return normalize(vectors.float(), dim=-1)

    def learn(self, loss: torch.Tensor, rate: float) -> None:
        """One step down the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.module.visual.parameters(), 5.0)
        self.optimizer.step()
        self.average.update_parameters(self.module)
        self.step += 1

    def save(self, path: Path) -> None:
        """Write the whole progress atomically."""
        state = {name: getattr(self, name).state_dict() for name in ("module", "average", "optimizer")}
        part = path.with_suffix(".part")
        torch.save({**state, "step": self.step, "seconds": self.seconds}, part)
        part.replace(path)

    def restore(self, path: Path) -> None:
        """Resume from what `save` wrote."""
        state = torch.load(path, weights_only=True, map_location=self._device)
        for name in ("module", "average", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = state["step"], state["seconds"]


def losses(first: torch.Tensor, second: torch.Tensor, targets: torch.Tensor, bank: torch.Tensor) -> list[torch.Tensor]:
    """The three losses of two views, (n, dim) each, of photos whose teacher's vectors are `targets`, (n, dim)."""
    views, twice = torch.cat([first, second]), torch.cat([targets, targets])
    point = (1 - (views * twice).sum(-1)).mean()
    alike = cross_entropy(views @ bank.T / SOFTNESS, (twice @ bank.T / SOFTNESS).softmax(-1))
    between = first @ second.T / SOFTNESS
    own = torch.arange(len(first), device=first.device)
    apart = (cross_entropy(between, own) + cross_entropy(between.T, own)) / 2
    return [point, alike, apart]


class ViewLoader:
    """Makes the views of the next steps in a thread, to make use of a second core."""

    def __init__(self, lessons: Lessons, seed: int, step: int, side: Callable[[], int]) -> None:
        """`side` is asked how many pixels the views have; the first step made is `step`."""
        self._lessons, self._seed, self._side = lessons, seed, side
        self._makers = {pixels: Augment(pixels, seed + step) for _, pixels in SIDES}
        self._ready = queue.Queue[tuple[torch.Tensor, torch.Tensor]](maxsize=2)
        threading.Thread(target=self._make, args=(step,), name="views", daemon=True).start()

    def next(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of one step: views (2 · BATCH, 3, side, side), and the teacher's vectors (BATCH, dim) of their pictures."""
        return self._ready.get()

    @torch.no_grad()
    def _make(self, step: int) -> None:
        lessons = self._lessons
        batches = len(lessons.pixels) // BATCH
        while True:
            epoch, batch = divmod(step, batches)
            order = torch.randperm(len(lessons.pixels), generator=torch.Generator().manual_seed(self._seed + epoch))
            chosen = order[batch * BATCH : (batch + 1) * BATCH]
            looks = torch.randint(len(lessons.boxes), (BATCH,), generator=torch.Generator().manual_seed(step))
            given = (lessons.blended(looks, chosen), lessons.ratios[chosen], lessons.boxes[looks, chosen])
            maker = self._makers[self._side()]
            views = torch.cat([maker.view(*given), maker.view(*given)])
            self._ready.put((views, lessons.targets[looks, chosen]))
            step += 1


def train(student: Student, lessons: Lessons, options: argparse.Namespace, device: str) -> None:
    """Train to the end, from where the student is."""
    steps = options.epochs * (len(lessons.pixels) // BATCH)
    bank = lessons.targets[0].to(device)

    def side() -> int:
        done = progress(student, steps, options.minutes)
        return next((side for until, side in SIDES if done < until), SIDES[-1][1])

    if progress(student, steps, options.minutes) >= 1:
        return
    loader = ViewLoader(lessons, options.seed, student.step, side)
    saved = time.monotonic()
    while (done := progress(student, steps, options.minutes)) < 1:
        begun = time.monotonic()
        views, targets = loader.next()
        first, second = student.encode(views).chunk(2)
        parts = losses(first, second, targets.to(device), bank)
        rate = RATE * min(1.0, done / WARM_UP + 1e-3) * (1 + math.cos(math.pi * done)) / 2
        student.learn(POINT * parts[0] + ALIKE * parts[1] + APART * parts[2], rate)
        student.seconds += time.monotonic() - begun
        if student.step % 10 == 0:
            values = ", ".join(f"{part.item():.3f}" for part in parts)
            print(
                f"{done:6.1%}, step {student.step:,} of {steps:,}, {student.seconds / 60:.1f} min: {values}", flush=True
            )
        if time.monotonic() > saved + SAVE_SECONDS:
            student.save(options.progress)
            saved = time.monotonic()
    student.save(options.progress)


def finish(student: Student, lessons: Lessons, folder: Path, seed: int) -> None:
    """Add the averaged student's last layer, and write it as float16 with the checksum that the app verifies."""
    module = student.average.module
    whiten(module, lessons, SIDES[-1][1], student.mean, student.std, seed)
    weights = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in module.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS[0])
    digest = hashlib.sha256((folder / WEIGHTS[0]).read_bytes()).hexdigest()
    (folder / CHECKSUMS).write_text(checksum_line(digest, folder / WEIGHTS[0]), "ascii")
    print(f"SHA-256 of the weights: {digest}")


def progress(student: Student, steps: int, minutes: float) -> float:
    """How much of the training is over, 0 to 1, by steps or by time."""
    return max(student.step / steps, student.seconds / 60 / minutes)


def main() -> None:
    """Read the options, and train."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description="Train the built-in image encoder.")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder of folders of photos, one a class")
    parser.add_argument("--teacher", type=Path, default=TEACHER, help="folder of an open_clip model of 512 dimensions")
    parser.add_argument("--out", type=Path, default=BUILTIN_FOLDER, help=f"folder with {CONFIG}; the weights go there")
    parser.add_argument("--progress", type=Path, default=Path("build/encoder/progress.pt"), help="to go on from")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--minutes", type=float, default=math.inf, help="end earlier, after so much time of training")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    options.progress.parent.mkdir(parents=True, exist_ok=True)
    lessons = prepare(
        split(options.photos).seen, options.teacher, options.progress.with_name("teacher.pt"), options.seed
    )
    student = Student(options.out, device)
    if options.progress.is_file():
        student.restore(options.progress)
    train(student, lessons, options, device)
    finish(student, lessons, options.out, options.seed)


if __name__ == "__main__":
    main()
