"""Encoders: pictures, and words where the model supports them, become unit vectors that can be compared."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from core.embedding.checkpoint import Tokenizer, find_model
from core.embedding.hub_download import OnDownloadProgress
from core.embedding.preprocessing import split
from core.errors import EncoderError
from core.process import BATCHES

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from core.media.decode import PixelBox

Vectors = NDArray[np.float32]

SLICE, GPU_SLICE = 32, 64
"""Pictures in one forward pass: on a processor with AMX, ViT-B/32 in bfloat16 is a quarter faster than with eight, and
the built-in encoder half. More are no faster, and need more memory (`core.process`)."""

CLOSING = 20.0
"""Seconds to wait for a loading thread: loading into memory cannot be aborted, and takes a few."""


class Encoder(ABC):
    """A loaded model. Thread-safe.

    Urgent calls wait only for each other, so that a person's query need not wait for an import's batch, whose threads
    have a lower priority. A CPU works on `BATCHES` batches at a time (`core.process`), other devices on one.

    `name` identifies its embeddings and `dim` is their length; `reads_words` says whether it supports text;
    `device` is "cpu", "cuda" or "mps", `slice` the pictures in one forward pass.
    """

    setting: ClassVar[str]
    """The setting that chooses it."""

    reads_words = False

    def __init__(self, name: str, device: str, slice: int | None = None) -> None:
        self.name = name
        self.device = device
        self.slice = slice or (SLICE if device == "cpu" else GPU_SLICE)
        self.dim = 0
        self._batches = BATCHES if device == "cpu" else 1
        self._turns = {True: threading.Semaphore(), False: threading.Semaphore(self._batches)}

    def _try(self) -> None:
        """Set `dim` by a first pass, which also warms the model up. Raises EncoderError when the weights are broken."""
        from PIL import Image

        trial = self.encode_pictures([Image.new("RGB", (64, 64), "grey")])
        if not np.isclose(np.linalg.norm(trial), 1, atol=1e-3):
            raise EncoderError(
                f"The weights of {self.name} are broken, because they give no vectors: choose another {self.setting}."
            )
        self.dim = trial.shape[1]

    @abstractmethod
    def prepare(self, image: Image.Image, box: PixelBox | None = None) -> torch.Tensor:
        """The model's own preprocessing of an RGB picture, or of a box in it, to shape (3, height, width)."""

    @abstractmethod
    def _features(self, prepared: Sequence[torch.Tensor]) -> torch.Tensor:
        """The vectors of at most `slice` prepared pictures, (n, dim), of any length and on any device."""

    def encode_prepared(self, prepared: Sequence[torch.Tensor], *, urgent: bool = False) -> Vectors:
        """Prepared pictures to unit rows, (n, dim) float32. An `urgent` call waits for no batch."""
        return self._encode(self._features, prepared, urgent)

    def encode_pictures(self, images: Sequence[Image.Image], *, urgent: bool = False) -> Vectors:
        """RGB pictures to unit rows, (n, dim) float32."""
        return self.encode_prepared([self.prepare(image) for image in images], urgent=urgent)

    def encode_words(self, texts: Sequence[str]) -> Vectors:
        """Texts to unit rows, (n, dim) float32. Raises EncoderError when the model does not support text, or a text is
        empty."""
        raise EncoderError(f"{self.name} does not support text: search with a picture.")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nothing is encoded, and let nothing be: for work on the network itself."""
        with ExitStack() as held:
            for turn in [self._turns[True], *[self._turns[False]] * self._batches]:  # in this order, so no deadlock
                held.enter_context(turn)
            yield

    def _encode(
        self,
        encode: Callable[[Any], torch.Tensor],
        rows: Sequence[torch.Tensor] | torch.Tensor,
        urgent: bool,
    ) -> Vectors:
        import torch

        vectors = [np.empty((0, self.dim), np.float32)] if not len(rows) else []
        with self._turns[urgent], torch.inference_mode():
            for start in range(0, len(rows), self.slice):
                features = encode(rows[start : start + self.slice])
                vectors.append(torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy())
        return np.concatenate(vectors)


class ClipEncoder(Encoder):
    """A loaded CLIP model. `precision` is "float32" or "bfloat16", and `module` open_clip's own."""

    setting = "CLIP_MODEL"

    def __init__(
        self,
        name: str,
        module: torch.nn.Module,
        tokenizer: Tokenizer | EncoderError,
        device: str,
        dtype: torch.dtype,
    ) -> None:
        """`tokenizer` turns words into tokens, or is the error that says why there is none. Raises EncoderError when
        the weights are broken."""
        import open_clip

        super().__init__(name, device)
        self.precision = str(dtype).removeprefix("torch.")
        self.reads_words = not isinstance(tokenizer, EncoderError)
        self.module: Any = module
        self._prepare, self._normalise = split(open_clip.get_model_preprocess_cfg(module))
        self._tokenizer = tokenizer
        self._dtype = dtype
        self._try()

    def prepare(self, image: Image.Image, box: PixelBox | None = None) -> torch.Tensor:
        """The model's own preprocessing of an RGB picture, or of a box in it, to shape (3, height, width).

        Where possible the pixels are still bytes: `batch` converts many pictures at once, which is faster.
        """
        return self._prepare(image, box or (0.0, 0.0, *image.size))

    def batch(self, prepared: Sequence[torch.Tensor]) -> torch.Tensor:
        """Prepared pictures as input of `module`, (n, 3, height, width) on its device and in its precision."""
        import torch

        return self._normalise(torch.stack(list(prepared)).to(self.device)).to(self._dtype)

    def _features(self, prepared: Sequence[torch.Tensor]) -> torch.Tensor:
        features: torch.Tensor = self.module.encode_image(self.batch(prepared), normalize=False)
        return features

    def encode_words(self, texts: Sequence[str]) -> Vectors:
        """Texts to unit rows, (n, dim) float32, urgently; what exceeds the model's context is cut off.

        Raises EncoderError when the model does not support text, or a text is empty.
        """
        if isinstance(self._tokenizer, EncoderError):
            raise EncoderError(str(self._tokenizer))
        if not all(text.strip() for text in texts):
            raise EncoderError("There are no words to search for: type some.")
        tokens: Sequence[torch.Tensor] | torch.Tensor = self._tokenizer(texts).to(self.device) if texts else []
        return self._encode(lambda rows: self.module.encode_text(rows, normalize=False), tokens, urgent=True)


def load_encoder(
    model: str, *, precision: Literal["fp32", "bf16"] | None = None, on_progress: OnDownloadProgress | None = None
) -> ClipEncoder:
    """Load the model for a value of CLIP_MODEL, downloading it if necessary: this takes seconds to minutes.

    `precision` overrides the default: bfloat16 where the processor supports it natively, else float32, and always
    float32 for batch-normalised networks, which suffer from the rounding: the cosine between a photo's embeddings in
    both precisions is as low as 0.97 with MobileNetV2, and above 0.9999 with ViT-B/32.
    `on_progress` is called with the bytes of the weights done and in total. Raises EncoderError with a sentence.
    """
    import torch

    found = find_model(model.strip(), on_progress or (lambda done, total: None))
    device = best_device()
    chosen = precision or ("bf16" if _has_bfloat16(device) else "fp32")
    module = found.load(device, chosen)
    if precision is None and chosen == "bf16" and _is_batch_normalised(module):
        chosen = "fp32"
        module = found.load(device, chosen)
    tokenizer: Tokenizer | EncoderError
    try:
        tokenizer = found.load_tokenizer(module)
    except EncoderError as error:
        tokenizer = error
    dtype = torch.bfloat16 if chosen == "bf16" else torch.float32
    return ClipEncoder(found.name, module, tokenizer, device, dtype)


def best_device() -> str:
    """The device to compute on: "cuda", "mps" or "cpu"."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _has_bfloat16(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # The names of the capability on x86 with AVX-512 or AMX, and on Arm.
    native = ("avx512_bf16", "amx_bf16", "bf16")
    return device == "cpu" and any(torch.cpu.get_capabilities().get(name) for name in native)


def _is_batch_normalised(module: torch.nn.Module) -> bool:
    import torch

    return any(isinstance(part, torch.nn.BatchNorm2d) for part in module.modules())
