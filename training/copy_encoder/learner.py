"""The network in training, and all that its progress consists of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from core.embedding.copy_network import Config, CopyNetwork
from training.copy_encoder.front import frozen_front

RATE, HEAD_RATE = 2e-4, 1e-3
"""Highest rates of the trunk and of the last layer."""

DECAY = 0.02
KEPT = 0.998
"""Of the running average, a step; less in the first thousands."""


class Learner:
    """A network, its running average, and its optimiser."""

    def __init__(self, config: Config, frozen: int, device: str) -> None:
        """The stem and the first `frozen` stages of the trunk stay as they are, their statistics too."""
        self.network = CopyNetwork(config).to(device).to(memory_format=torch.channels_last)
        self.step, self.seconds = 0, 0.0
        self.device = device
        self._frozen = frozen
        self._front: torch.nn.Module | None = None
        if frozen:
            trunk = self.network.trunk
            for part in (trunk.conv_stem, trunk.bn1, *trunk.blocks[:frozen]):
                part.requires_grad_(False)
        self.average = AveragedModel(self.network, multi_avg_fn=self._averaged, use_buffers=True)
        named = dict(self.network.named_parameters())
        groups: list[dict[str, Any]] = []
        for head in (False, True):
            for flat in (False, True):
                chosen = [
                    weight
                    for name, weight in named.items()
                    if weight.requires_grad and name.startswith("trunk.") != head and (weight.ndim <= 1) == flat
                ]
                peak = HEAD_RATE if head else RATE
                groups.append({"params": chosen, "weight_decay": 0.0 if flat else DECAY, "peak": peak})
        self.optimiser = torch.optim.AdamW(groups, lr=RATE)

    def _averaged(self, average: Any, current: Any, _: Any) -> None:
        kept = min(KEPT, (1 + self.step) / (10 + self.step))
        for mean, now in zip(average, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - kept)
            else:
                mean.copy_(now)

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Unit vectors of pixels, uint8, as the network in training sees them."""
        network = self.network.train()
        given = pixels.to(self.device, non_blocking=True)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device != "cpu"):
            if not self._frozen:
                return torch.as_tensor(network(given)).float()
            if self._front is None:
                self._front = frozen_front(network.trunk, self._frozen)
            with torch.no_grad():
                features = self._front(network.normalised(given))
            trunk = network.trunk
            features = trunk.bn2(trunk.conv_head(trunk.blocks[self._frozen :](features)))
            return network.directed(network.pool(features))

    def learn(self, loss: torch.Tensor, rate: float) -> None:
        """One step down the loss, at `rate` of the highest rates."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["peak"]
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self.average.update_parameters(self.network)

    def save(self, path: Path) -> None:
        """The whole progress, at one stroke."""
        state = {name: getattr(self, name).state_dict() for name in ("network", "average", "optimiser")}
        part = path.with_suffix(".part")
        torch.save({**state, "step": self.step, "seconds": self.seconds}, part)
        part.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        if len(state["optimiser"]["state"]) == sum(len(group["params"]) for group in self.optimiser.param_groups):
            self.optimiser.load_state_dict(state["optimiser"])  # else other stages are frozen now
        self.step, self.seconds = state["step"], state["seconds"]
