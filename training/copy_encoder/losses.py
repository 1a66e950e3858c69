"""The two losses of SSCD (Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", CVPR 2022).

A memory of recent vectors stands in for its batches of thousands (cross-batch memory: Wang et al. 2020).
"""

from __future__ import annotations

import torch
from torch.nn.functional import softplus

TEMPERATURE = 0.05
"""Of the softmax over similarities, as in SSCD."""

NOTHING = -1e4
"""In place of what does not count, within a softmax."""


class Memory:
    """The vectors of recent views, and which photo each was made of; the oldest make room."""

    def __init__(self, size: int, dimensions: int, device: str = "cpu") -> None:
        self.vectors = torch.zeros(0, dimensions, device=device)
        self.photos = torch.zeros(0, dtype=torch.long, device=device)
        self._size = size

    def add(self, vectors: torch.Tensor, photos: torch.Tensor) -> None:
        """Keep these, (n, dimensions) and (n,)."""
        self.vectors = torch.cat([vectors.detach(), self.vectors])[: self._size]
        self.photos = torch.cat([photos, self.photos])[: self._size]


def strangers(holds: torch.Tensor, photos: torch.Tensor, remembered: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which views have no picture in common: (views, views) and (views, remembered), both bool.

    `holds` (views, n) says which of the batch's pictures, `photos` (n,), each view holds.
    """
    common = holds.float() @ holds.float().T
    known = holds.float() @ (photos[:, None] == remembered[None]).float()
    return common == 0, known == 0


def contrast(
    vectors: torch.Tensor, pairs: torch.Tensor, apart: torch.Tensor, memory: torch.Tensor, far: torch.Tensor
) -> torch.Tensor:
    """InfoNCE: each pair's two views nearer to each other than either to any other picture.

    `vectors` (views, dimensions) are of unit length; `pairs` (views, views) are the copies to be near, `apart` the
    strangers among the views, `far` (views, remembered) those in `memory`. The mean over pairs, in both directions.
    """
    own = vectors @ vectors.T / TEMPERATURE
    others = torch.cat(
        [own.masked_fill(~apart, NOTHING), (vectors @ memory.T / TEMPERATURE).masked_fill(~far, NOTHING)], 1
    )
    against = others.logsumexp(1)
    anchors, copies = pairs.nonzero(as_tuple=True)
    return softplus(against[anchors] - own[anchors, copies]).mean()


def spread(vectors: torch.Tensor, apart: torch.Tensor, memory: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
    """The differential entropy's estimate by Kozachenko and Leonenko, negated: the mean of −log of the distance to the
    nearest stranger. It presses all vectors to lie evenly, so that one threshold means the same everywhere."""
    with torch.no_grad():
        near = torch.cat([(vectors @ vectors.T).masked_fill(~apart, -2), (vectors @ memory.T).masked_fill(~far, -2)], 1)
        nearest = near.argmax(1)
    neighbours = torch.cat([vectors, memory])[nearest]
    return -((vectors - neighbours).square().sum(1) + 1e-6).sqrt().log().mean()
