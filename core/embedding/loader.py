"""Loading an encoder in the background, with progress."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from core.embedding.encoder import CLOSING, Encoder, load_encoder
from core.embedding.hub_download import OnDownloadProgress
from core.errors import EncoderError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadState:
    """The state of loading `model`: `message` is a sentence for the page, and the bytes are those of its weights."""

    model: str
    state: Literal["loading", "ready", "failed"] = "loading"
    message: str = ""
    done_bytes: int = 0
    total_bytes: int | None = None


class Load(Protocol):
    """`load_encoder` or `load_copy_encoder`."""

    def __call__(self, model: str, *, on_progress: OnDownloadProgress) -> Encoder:
        """The encoder for a setting's value. Raises EncoderError, and whatever `on_progress` raises."""


class EncoderLoader:
    """Loads an encoder in the background. Thread-safe."""

    def __init__(self, model: str, load: Load = load_encoder, noun: str = "CLIP") -> None:
        """`model` is the value of the setting that `load` is for, and `noun` is what sentences call the model."""
        self._changed = threading.Condition()
        self._load_encoder = load
        self._noun = noun
        self._state = LoadState(model, message=f"{noun} is still loading: try again in a moment.")
        self._encoder: Encoder | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def of(self, model: str) -> EncoderLoader:
        """A loader for another value of the same setting."""
        return EncoderLoader(model, self._load_encoder, self._noun)

    @property
    def state(self) -> LoadState:
        """The current state."""
        with self._changed:
            return self._state

    def start(self) -> None:
        """Start loading, unless already started."""
        with self._changed:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._load, name=self._noun, daemon=True)
                self._thread.start()

    def retry(self) -> None:
        """Start again after a failure; otherwise do nothing."""
        with self._changed:
            if self._state.state == "failed":
                self._state = self.of(self._state.model).state
                self._thread = None
                self.start()

    def get(self, timeout: float = 0.0) -> Encoder:
        """The encoder, waiting at most `timeout` seconds for it.

        Raises EncoderError while it is loading, and with the reason when loading failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._state.state != "loading" or self._closed, timeout)
            if self._encoder is None:
                raise EncoderError(self._state.message)
            return self._encoder

    def close(self) -> None:
        """Abort a download, and wait up to CLOSING seconds for the thread to end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSING)

    def _load(self) -> None:
        try:
            encoder = self._load_encoder(self._state.model, on_progress=self._on_progress)
        except EncoderError as error:
            logger.warning("%s", error)
            self._finish("failed", str(error))
        except Exception:
            logger.exception("loading %s failed", self._noun)
            self._finish("failed", f"{self._noun} cannot be loaded: see the log for the reason, and press Try again.")
        else:
            self._encoder = encoder
            self._finish("ready", f"{encoder.name} is ready.")

    def _finish(self, state: Literal["ready", "failed"], message: str) -> None:
        with self._changed:
            self._state = replace(self._state, state=state, message=message)
            self._changed.notify_all()

    def _on_progress(self, done: int, total: int | None) -> None:
        with self._changed:
            if self._closed:
                raise EncoderError("The app is closing.")
            of_all = f" of {total / 1e6:.0f}" if total else ""
            message = f"{self._noun} is still loading ({done / 1e6:.0f}{of_all} MB): try again in a moment."
            self._state = replace(self._state, message=message, done_bytes=done, total_bytes=total)
