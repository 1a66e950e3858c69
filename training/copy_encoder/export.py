"""`python -m training.copy_encoder.export`: writes the copy encoder for the app: float16 weights, a config, a checksum.

The last layer may be given a whitening on the way: what all photos have in common is taken out, and directions in
which they differ much count less (as SSCD's descriptors are used). That is arithmetic, and needs no weights of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from core.embedding.checkpoint import CHECKSUMS, checksum_line
from core.embedding.copy_network import WEIGHTS, Config, CopyNetwork
from training.copy_encoder.encoders import BATCH, in_training, prepared
from training.copy_encoder.evaluate import BUILTIN
from training.copy_encoder.photos import DATA, Picture, read, split
from training.copy_encoder.train import PROGRESS, WORK

PHOTOS = 1500
"""Of those learnt from, whose vectors the whitening is made for."""


@torch.no_grad()
def merge(network: CopyNetwork) -> None:
    """Put what the centring does into the linear layer before it, and make it do nothing."""
    centre, head = network.centre, network.head
    assert centre.running_mean is not None
    assert centre.running_var is not None
    scale = (centre.running_var + centre.eps).rsqrt()
    head.bias.copy_((head.bias - centre.running_mean) * scale)
    head.weight.mul_(scale[:, None])
    centre.running_mean.zero_()
    centre.running_var.fill_(1 - centre.eps)


@torch.inference_mode()
def outputs(network: CopyNetwork, pictures: Sequence[Picture], side: int) -> torch.Tensor:
    """What the last layer says of pictures before it is brought to unit length, (n, dimensions) float64."""
    slices = (prepared(pictures[start : start + BATCH], side) for start in range(0, len(pictures), BATCH))
    return torch.cat([network.head(network.features(one)) for one in slices]).double()


@torch.no_grad()
def whiten(head: torch.nn.Linear, rows: torch.Tensor, shrink: float) -> None:
    """Make `head` whiten what it says: z becomes (Σ + shrink · tr(Σ)/d · I)^(−½) (z − μ).

    μ and Σ are the mean and covariance of its present outputs `rows`, (n, d). The more shrink, the less changes but
    the mean.
    """
    mean = rows.mean(0)
    values, vectors = torch.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
    values = values.clamp(min=0) + shrink * values.mean()
    matrix = vectors @ torch.diag((values / values.mean()) ** -0.5) @ vectors.T
    bias = head.bias.double() - mean
    head.weight.copy_(matrix @ head.weight.double())
    head.bias.copy_(matrix @ bias)


def write(network: CopyNetwork, config: Config, folder: Path) -> str:
    """Put weights, config and checksum in `folder`. Returns the SHA-256 of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(weights, folder / WEIGHTS)
    config.write(folder)
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / CHECKSUMS).write_text(checksum_line(digest, folder / WEIGHTS), encoding="ascii")
    return digest


def main() -> None:
    """Export the progress of a training."""
    parser = argparse.ArgumentParser(
        prog="python -m training.copy_encoder.export", description="Export the copy encoder."
    )
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the training's progress")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with photos/caltech101 and photos-more")
    parser.add_argument("--out", type=Path, default=BUILTIN)
    parser.add_argument("--side", type=int, default=Config().side, help="pixels of the square that the app gives it")
    parser.add_argument("--shrink", type=float, default=0.0, help="of the whitening (try 0.1 to 10); 0: none")
    options = parser.parse_args()
    network = in_training(options.work / PROGRESS)
    merge(network)
    if options.shrink:
        seen = split(options.data).seen
        pictures = [read(path) for path in seen[:: max(1, len(seen) // PHOTOS)]]
        whiten(network.head, outputs(network, pictures, options.side), options.shrink)
    print(write(network, dataclasses.replace(network.config, side=options.side), options.out))


if __name__ == "__main__":
    main()
