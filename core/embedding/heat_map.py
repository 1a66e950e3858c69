"""Where a model sees a likeness: how much each patch of a picture adds to its similarity to something else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.embedding.encoder import ClipEncoder, Vectors

if TYPE_CHECKING:
    import torch
    from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as parts of a picture's width and height."""


@dataclass(frozen=True)
class HeatMap:
    """How much each patch of a picture adds to a similarity: `shares` of shape (rows, columns), on no scale of their
    own; some may be negative. `box` is the part of the picture that the model saw, which goes beyond 0 to 1 where it
    saw a border."""

    shares: NDArray[np.float32]
    box: Box


def heat_map(encoder: ClipEncoder, image: Image.Image, target: Vectors) -> HeatMap:
    """The heat map of an RGB picture for its similarity to a unit vector of shape (dim,).

    A picture's embedding depends on the features of its patches, here those that enter the last block of a transformer,
    or the last map of a convolutional network. A patch's share is its features times the gradient by them of the
    embedding's dot product with the target ("gradient × input": A. Shrikumar et al., "Not Just a Black Box", 2016).
    Where the rest of the network is linear, as a mean and a projection, the shares add up to that product exactly. It
    waits until no batch is computed, and lets none begin.
    """
    import torch

    visual: torch.nn.Module = encoder.module.visual
    batch = encoder.batch([encoder.prepare(image)])
    with encoder.alone(), torch.enable_grad(), _recorded(visual, batch) as seen:
        features = encoder.module.encode_image(batch, normalize=False).float()
        wanted = torch.from_numpy(target).to(features.device)
        (gradient,) = torch.autograd.grad((features[0] @ wanted), seen)
    product = (seen[-1] * gradient).float().detach()[0]
    shares = product.sum(0) if product.ndim == 3 else _grid(product.sum(-1), visual)
    return HeatMap(shares.cpu().numpy(), _box(encoder, image.size))


@contextmanager
def _recorded(visual: torch.nn.Module, batch: torch.Tensor) -> Iterator[list[torch.Tensor]]:
    """Have a pass record the features of patches: (1, tokens, width), or (1, channels, rows, columns)."""
    seen: list[torch.Tensor] = []

    def record(features: torch.Tensor) -> torch.Tensor:
        seen[:] = [features.detach().requires_grad_()]
        return seen[0].clone()  # for what follows may work in place

    block = _last_block(visual)
    if block is not None:
        handle = block.register_forward_pre_hook(lambda _, given: (record(given[0]), *given[1:]))
    else:
        handle = _last_map(visual, batch).register_forward_hook(lambda _, given, made: record(made))
    try:
        yield seen
    finally:
        handle.remove()


def _last_block(visual: Any) -> torch.nn.Module | None:
    """The last block of a vision transformer of open_clip or timm; None for other networks."""
    trunk = getattr(visual, "trunk", None)
    if hasattr(visual, "transformer"):
        blocks = visual.transformer.resblocks
    else:
        blocks = getattr(trunk, "blocks", None) if hasattr(getattr(trunk, "patch_embed", None), "grid_size") else None
    last: torch.nn.Module | None = blocks[-1] if blocks else None
    return last


def _last_map(visual: torch.nn.Module, batch: torch.Tensor) -> torch.nn.Module:
    """The last module of a convolutional network whose output has patches."""
    import torch

    last = [visual]

    def look(module: torch.nn.Module, _: object, made: object) -> None:
        if isinstance(made, torch.Tensor) and made.ndim == 4 and made.shape[2] * made.shape[3] > 1:
            last[0] = module

    handles = [module.register_forward_hook(look) for module in visual.modules()]
    try:
        with torch.no_grad():
            visual(batch)
    finally:
        for handle in handles:
            handle.remove()
    return last[0]


def _grid(tokens: torch.Tensor, visual: Any) -> torch.Tensor:
    """The tokens of patches as rows and columns; those that stand for no patch come first."""
    rows, columns = visual.grid_size if hasattr(visual, "grid_size") else visual.trunk.patch_embed.grid_size
    return tokens[-rows * columns :].reshape(rows, columns)


def _box(encoder: ClipEncoder, size: tuple[int, int]) -> Box:
    """What a model sees of a picture of that size."""
    import open_clip

    how = open_clip.get_model_preprocess_cfg(encoder.module)
    wanted = how["size"]
    height, width = (wanted, wanted) if isinstance(wanted, int) else wanted
    mode = how.get("resize_mode", "shortest")
    if mode == "squash":
        return 0.0, 0.0, 1.0, 1.0
    choose = min if mode == "shortest" else max
    scale = choose(size[0] / width, size[1] / height)
    across, down = width * scale / size[0], height * scale / size[1]
    return (1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2
