"""Small copy models, made in seconds: they tell pictures apart, and have learnt nothing about edits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bench.support.data import some_photos
from core.embedding.copy_network import Config, CopyNetwork
from training.copy_encoder.export import features, whiten, write

SMALL = Config(trunk="mobilenetv2_035", dimensions=64, side=64)
ONNX_DIM = 32


def make_copy_network(seed: int = 0) -> CopyNetwork:
    """A network with random weights whose vectors are spread over all directions."""
    torch.manual_seed(seed)
    network = CopyNetwork(SMALL).eval()
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in some_photos(100)]
    mirrored = [np.ascontiguousarray(photo[:, ::-1]) for photo in photos]
    whiten(network.head, features(network, photos, SMALL.side), features(network, mirrored, SMALL.side), 0.3)
    return network


def write_copy_model(folder: Path, seed: int = 0) -> Path:
    """The folder of a built-in copy encoder with such a network."""
    write(make_copy_network(seed), SMALL, folder)
    return folder


def write_onnx(path: Path, *, batch: int | str = "n", side: int | str = 64, channels: int = 3, seed: int = 0) -> Path:
    """An ONNX file that makes ONNX_DIM numbers of a picture's means over 4 × 4 cells."""
    chance = np.random.default_rng(seed)
    weights = chance.normal(size=(channels * 16, ONNX_DIM)).astype(np.float32)
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, channels, side, side])
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, [batch, ONNX_DIM])
    cell = [(side if isinstance(side, int) else 288) // 4] * 2
    nodes: list[Any] = [
        helper.make_node("AveragePool", ["pixels"], ["cells"], kernel_shape=cell, strides=cell),
        helper.make_node("Flatten", ["cells"], ["row"]),
        helper.make_node("MatMul", ["row", "weights"], ["vectors"]),
    ]
    graph = helper.make_graph(nodes, "cells", [pixels], [vectors], [numpy_helper.from_array(weights, "weights")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def onnx_vector(path: Path, prepared: torch.Tensor) -> np.ndarray:
    """What the file says of a picture (3, side, side), 0 to 255, as SSCD's authors prepare it; of unit length."""
    (weights,) = (numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer)
    scaled = prepared.double().numpy() / 255
    scaled = (scaled - np.reshape([0.485, 0.456, 0.406], (3, 1, 1))) / np.reshape([0.229, 0.224, 0.225], (3, 1, 1))
    side = scaled.shape[1] // 4
    cells = scaled.reshape(3, 4, side, 4, side).mean((2, 4)).reshape(-1)
    vector = cells @ weights
    return np.asarray(vector / np.linalg.norm(vector))
