"""The copy encoder's network: a convolutional trunk, a generalised mean over its map, and a linear layer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.nn.utils.fusion import fuse_conv_bn_weights

CONFIG, WEIGHTS = "config.json", "copy_encoder.safetensors"


@dataclass(frozen=True)
class Config:
    """What the network is built of (timm's name of the trunk), and what pictures it takes: squashed to a square."""

    trunk: str = "tf_efficientnet_lite0"
    dimensions: int = 512
    side: int = 224
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    deviation: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def write(self, folder: Path) -> None:
        """Keep it in `folder`."""
        (folder / CONFIG).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Config:
        """What `write` kept."""
        told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return cls(**{**told, "mean": tuple(told["mean"]), "deviation": tuple(told["deviation"])})


class GeM(nn.Module):
    """The generalised mean over a map, between the mean (power 1) and the maximum (Radenović et al. 2019)."""

    def __init__(self, power: float = 3.0) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(power))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, channels, h, w) to (n, channels); what is below zero counts as nothing."""
        return features.clamp(min=1e-6).pow(self.power).mean((2, 3)).pow(1 / self.power)


class CopyNetwork(nn.Module):
    """Pictures to unit vectors, of which those of copies of one picture are near each other."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.trunk = cast("Any", timm.create_model(config.trunk, pretrained=False, num_classes=0, global_pool=""))
        self.pool = GeM()
        self.head = nn.Linear(self.trunk.num_features, config.dimensions)
        # Without it all vectors begin, and for long stay, in one narrow cone: pooled features have a large common mean.
        self.centre = nn.BatchNorm1d(config.dimensions, affine=False)
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("deviation", torch.tensor(config.deviation).view(1, 3, 1, 1) * 255, persistent=False)

    def normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the trunk is given of pixels (n, 3, side, side), 0 to 255."""
        return ((pixels.float() - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the last layer is given: (n, channels)."""
        pooled: torch.Tensor = self.pool(self.trunk(self.normalised(pixels)))
        return pooled

    def directed(self, features: torch.Tensor) -> torch.Tensor:
        """Unit vectors of the trunk's pooled features."""
        return normalize(self.centre(self.head(features)).float(), dim=-1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Unit vectors (n, dimensions) of pixels (n, 3, side, side), 0 to 255."""
        return self.directed(self.features(pixels))


def load(folder: Path, device: str = "cpu") -> CopyNetwork:
    """The network that lies in `folder`, ready to encode, in float32."""
    from safetensors.torch import load_file

    network = CopyNetwork(Config.read(folder))
    weights = {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()}
    left_out = network.load_state_dict(weights, strict=False)
    if left_out.unexpected_keys or not all(name.endswith("num_batches_tracked") for name in left_out.missing_keys):
        raise ValueError(f"{folder} does not hold the weights of {network.config.trunk}")
    network.eval().to(device).to(memory_format=torch.channels_last)
    return network


@torch.no_grad()
def fuse(module: nn.Module) -> None:
    """Put what each batch normalisation does into the convolution right before it, for inference only.

    The vectors stay the same, and a forward pass on a CPU takes four fifths of the time.
    """
    before: nn.Module | None = None
    for name, part in module.named_children():
        if isinstance(before, nn.Conv2d) and isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None
            assert part.running_var is not None
            before.weight, before.bias = fuse_conv_bn_weights(
                before.weight, before.bias, part.running_mean, part.running_var, part.eps, part.weight, part.bias
            )
            setattr(module, name, nn.Sequential(*part.children()))  # timm's have the activation in them
        else:
            fuse(part)
        before = part
