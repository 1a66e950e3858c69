"""The copy encoder: pictures become unit vectors of which those of edited copies of one picture are near each other."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from core.embedding.checkpoint import BUILTIN, CHECKSUMS, checksum_line, first_line
from core.embedding.encoder import Encoder, best_device
from core.embedding.hub_download import OnDownloadProgress
from core.errors import EncoderError
from core.process import BATCHES

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from core.media.decode import PixelBox

BUILTIN_COPY_FOLDER = Path(__file__).parent / "builtin_copy"
"""The folder of the built-in copy encoder."""

ONNX_SIDE = 288
"""Pixels of the square that an ONNX model is given when its input may have any size. SSCD was trained at 224, and its
authors use 288 or 320 (https://github.com/facebookresearch/sscd-copy-detection)."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's mean and standard deviation of red, green and blue (0 to 1), which SSCD's preprocessing uses."""

COPY_SLICE = 16
"""Pictures in one forward pass of the built-in copy encoder on a CPU: 32 are no faster and take twice the memory (its
widest layer has 5 MB a picture), and with fewer, PyTorch computes on one core by a slower way."""

OFF = "off"
"""The value of COPY_MODEL for no copy model."""

Network = Callable[["torch.Tensor"], "torch.Tensor"]
"""Pixels (n, 3, side, side), 0 to 255, to vectors (n, dim)."""


class CopyEncoder(Encoder):
    """A loaded copy model. It is given whole pictures, squashed to squares of `side` pixels."""

    setting = "COPY_MODEL"

    def __init__(self, name: str, network: Network, side: int, device: str, slice: int | None = None) -> None:
        """Raises EncoderError when the weights are broken."""
        super().__init__(name, device, slice)
        self.side = side
        self._network = network
        self._try()

    def prepare(self, image: Image.Image, box: PixelBox | None = None) -> torch.Tensor:
        """An RGB picture, or a box in it, as bytes of shape (3, side, side).

        Resized as in training. Pillow's filters give other vectors: the cosine to training's has a median of 0.99 with
        BILINEAR and 0.95 with BOX.
        """
        import torch

        pixels = np.asarray(image)
        if box is not None:
            left, top, right, bottom = (round(edge) for edge in box)
            pixels = pixels[top:bottom, left:right]
        how = cv2.INTER_AREA if self.side < max(pixels.shape[:2]) else cv2.INTER_LINEAR
        return torch.from_numpy(cv2.resize(pixels, (self.side, self.side), interpolation=how)).permute(2, 0, 1)

    def _features(self, prepared: Sequence[torch.Tensor]) -> torch.Tensor:
        import torch

        return self._network(torch.stack(list(prepared)).to(self.device))


def load_copy_encoder(model: str, *, on_progress: OnDownloadProgress | None = None) -> CopyEncoder:
    """Load the model for a value of COPY_MODEL other than OFF: "built-in", or the path of an ONNX file.

    Nothing is downloaded, so `on_progress` is never called. Raises EncoderError with a sentence.
    """
    model = model.strip()
    return _built_in() if model == BUILTIN else _in_onnx(Path(model).expanduser())


def _built_in() -> CopyEncoder:
    from safetensors import SafetensorError

    from core.embedding.copy_network import CONFIG, WEIGHTS, fuse, load

    folder = BUILTIN_COPY_FOLDER
    try:
        promised = (folder / CHECKSUMS).read_text("ascii")
        with (folder / WEIGHTS).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if promised != checksum_line(digest, folder / WEIGHTS):
            raise ValueError
        named = hashlib.sha256((folder / CONFIG).read_bytes() + digest.encode()).hexdigest()
        device = best_device()
        network = load(folder, device)
    except (OSError, UnicodeDecodeError, ValueError, TypeError, RuntimeError, SafetensorError):
        raise EncoderError(
            f"The built-in copy encoder is damaged, because the files in {folder} do not match {CHECKSUMS}: "
            "copy that folder from Lookalike's repository again."
        ) from None
    fuse(network)
    size = COPY_SLICE if device == "cpu" else None
    return CopyEncoder(f"{BUILTIN}-copy@{named[:12]}", network, network.config.side, device, size)


def _in_onnx(path: Path) -> CopyEncoder:
    """The model in an ONNX file, such as SSCD's, whose input is pictures as ImageNet's models take them."""
    if not path.is_file():
        raise EncoderError(
            f"COPY_MODEL is “{path}”, but there is no such file: set it to “{BUILTIN}”, to “{OFF}”, "
            "or to the path of an ONNX file."
        )
    if importlib.util.find_spec("onnxruntime") is None:
        raise EncoderError(f"To use {path.name}, install onnxruntime (pip install onnxruntime), then start again.")
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, torch.get_num_threads() // BATCHES)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (given,), (made, *_) = session.get_inputs(), session.get_outputs()
        batch, channels, height, width = (size if isinstance(size, int) else None for size in given.shape)
        if channels not in (3, None) or batch not in (1, None) or (None not in (height, width) and height != width):
            raise ValueError(f"its input has the shape {given.shape}")
        mean, deviation = (255 * torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        kind = np.float16 if given.type == "tensor(float16)" else np.float32

        def network(pixels: torch.Tensor) -> torch.Tensor:
            rows = ((pixels.float() - mean) / deviation).numpy().astype(kind)
            return torch.from_numpy(np.asarray(session.run([made.name], {given.name: rows})[0], np.float32)).flatten(1)

        side = height or width or ONNX_SIDE
        return CopyEncoder(f"onnx:{path.stem}@{digest[:12]}", network, side, "cpu", slice=batch)
    except EncoderError:
        raise
    except Exception as error:
        raise EncoderError(
            f"{path.name} is not a model in ONNX that makes vectors of pictures ({first_line(error)}): "
            "choose another COPY_MODEL."
        ) from error
