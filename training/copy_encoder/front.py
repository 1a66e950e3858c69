"""The first stages of a trunk that training leaves as they are, made faster: each convolution with its norm in one."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

PAIRS = (("conv_pw", "bn1"), ("conv_dw", "bn1"), ("conv_dw", "bn2"), ("conv_pw", "bn2"), ("conv_pwl", "bn3"))
"""What follows what within timm's blocks; a block has those that it has."""


def frozen_front(trunk: Any, stages: int) -> nn.Sequential:
    """A copy of the stem and the first stages of a timm EfficientNet, for use without gradients."""
    stem = nn.Sequential(copy.deepcopy(trunk.conv_stem), copy.deepcopy(trunk.bn1)).eval()
    fused = [_merged(stem[0], stem[1]), _after(stem[1])]
    for stage in copy.deepcopy(trunk.blocks[:stages]).eval():
        for block in stage:
            order = list(block._modules)
            for conv, norm in PAIRS:
                if conv in order and norm in order and order.index(norm) == order.index(conv) + 1:
                    after = _after(getattr(block, norm))
                    setattr(block, conv, _merged(getattr(block, conv), getattr(block, norm)))
                    setattr(block, norm, after)
        fused.append(stage)
    return nn.Sequential(*fused).requires_grad_(False)


def _merged(conv: nn.Module, norm: nn.Module) -> nn.Module:
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(conv, norm)


def _after(norm: Any) -> nn.Module:
    """What timm's norm does when it has normalised: its activation."""
    return nn.Sequential(norm.drop, norm.act)
