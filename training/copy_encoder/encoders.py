"""What is measured: this encoder, its progress in training, and any open_clip folder beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch.nn.functional import normalize

from core.embedding.copy_network import CONFIG, Config, CopyNetwork, load
from training.copy_encoder.edits import resize
from training.copy_encoder.metrics import Vectors
from training.copy_encoder.photos import Picture

Encode = Callable[[Sequence[Picture]], Vectors]

BATCH = 32


def prepared(pictures: Sequence[Picture], side: int) -> torch.Tensor:
    """Squashed to the network's square: (n, 3, side, side) uint8."""
    return torch.from_numpy(np.stack([resize(picture, side, side) for picture in pictures])).permute(0, 3, 1, 2)


def copy_encoder(network: CopyNetwork, side: int) -> Encode:
    """A copy encoder's vectors of pictures taken at `side` pixels."""
    device = next(network.parameters()).device

    @torch.inference_mode()
    def encode(pictures: Sequence[Picture]) -> Vectors:
        rows = [
            network(prepared(pictures[start : start + BATCH], side).to(device)).cpu()
            for start in range(0, len(pictures), BATCH)
        ]
        return np.asarray(torch.cat(rows).numpy(), np.float32)

    return encode


def in_training(progress: Path) -> CopyNetwork:
    """The running average in a file of progress."""
    state = torch.load(progress, weights_only=True, map_location="cpu")["average"]
    network = CopyNetwork(Config())
    network.load_state_dict({name[7:]: tensor for name, tensor in state.items() if name.startswith("module.")})
    return network.eval().to(memory_format=torch.channels_last)


def image_tower(folder: Path) -> Encode:
    """The vectors of an open_clip folder's image tower, with its own preprocessing."""
    module: Any
    module, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}", pretrained_image=False)
    module.eval()

    @torch.inference_mode()
    def encode(pictures: Sequence[Picture]) -> Vectors:
        rows = []
        for start in range(0, len(pictures), BATCH):
            given = torch.stack([prepare(Image.fromarray(picture)) for picture in pictures[start : start + BATCH]])
            rows.append(normalize(module.encode_image(given), dim=-1))
        return np.asarray(torch.cat(rows).float().numpy(), np.float32)

    return encode


def encoder(path: Path, side: int | None) -> Encode:
    """What `path` is: a folder with this encoder's weights, progress of its training, or an open_clip folder."""
    if path.is_file():
        return copy_encoder(in_training(path), side or Config().side)
    if (path / CONFIG).is_file():
        network = load(path)
        return copy_encoder(network, side or network.config.side)
    return image_tower(path)


def speeds(network: CopyNetwork, rounds: int = 4) -> tuple[float, float]:
    """Pictures a second of this network and of ViT-B/32, both in float32 and batches of 32: the best of some rounds."""
    side = network.config.side
    other: Any = open_clip.create_model("ViT-B-32").visual.eval()
    best = [0.0, 0.0]
    given = [torch.randint(0, 255, (BATCH, 3, side, side), dtype=torch.uint8), torch.randn(BATCH, 3, 224, 224)]
    with torch.inference_mode():
        for _ in range(rounds):
            for number, module in enumerate((network, other)):
                begun = time.perf_counter()
                module(given[number])
                best[number] = max(best[number], BATCH / (time.perf_counter() - begun))
    return best[0], best[1]
