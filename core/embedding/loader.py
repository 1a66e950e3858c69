"""Loading an encoder in the background, with progress."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import Literal

from core.embedding.encoder import CLOSING, Encoder, load_encoder
from core.errors import EncoderError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadState:
    """The state of loading `model`: `message` is a sentence for the page, and the bytes are those of its weights."""

    model: str
    state: Literal["loading", "ready", "failed"] = "loading"
    message: str = "CLIP is still loading: try again in a moment."
    done_bytes: int = 0
    total_bytes: int | None = None


class EncoderLoader:
    """Loads an encoder in the background. Thread-safe."""

    def __init__(self, model: str) -> None:
        """`model` is CLIP_MODEL's value."""
        self._changed = threading.Condition()
        self._state = LoadState(model)
        self._encoder: Encoder | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def state(self) -> LoadState:
        """The current state."""
        with self._changed:
            return self._state

    def start(self) -> None:
        """Start loading, unless already started."""
        with self._changed:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._load, name="CLIP", daemon=True)
                self._thread.start()

    def retry(self) -> None:
        """Start again after a failure; otherwise do nothing."""
        with self._changed:
            if self._state.state == "failed":
                self._state = LoadState(self._state.model)
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
            encoder = load_encoder(self._state.model, on_progress=self._on_progress)
        except EncoderError as error:
            logger.warning("%s", error)
            self._finish("failed", str(error))
        except Exception:
            logger.exception("loading CLIP failed")
            self._finish("failed", "CLIP cannot be loaded: see the log for the reason, and press Try again.")
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
            message = f"CLIP is still loading ({done / 1e6:.0f}{of_all} MB): try again in a moment."
            self._state = replace(self._state, message=message, done_bytes=done, total_bytes=total)
