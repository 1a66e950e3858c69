"""Which model is used: that of CLIP_MODEL or, when it is unset, CLIP as soon as it is available and until then the
built-in encoder."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from core.embedding.checkpoint import BUILTIN, WEIGHTS
from core.embedding.hub_download import cached_revision
from core.embedding.loader import EncoderLoader, LoadState

logger = logging.getLogger(__name__)

DEFAULT_CLIP = "ViT-B-32/laion2b_s34b_b79k"
CLIP_REPOSITORY = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
"""The default model when CLIP_MODEL is unset, and its repository on the hub."""

WATCH_SECONDS = 0.5
"""How often to check whether CLIP has been loaded, so that a person hardly notices the delay."""


class ModelSelection:
    """The loaders of the candidate models, and which of them is in use. Thread-safe.

    The model of CLIP_MODEL is used even if it fails to load. When CLIP_MODEL is unset, CLIP is used at once if it is
    in the hub's cache; otherwise, or when it turns out to be damaged, the built-in encoder is used until CLIP is ready.
    """

    def __init__(self, setting: str) -> None:
        """`setting` is CLIP_MODEL's value, "" when it is unset. Raises EncoderError for an invalid name."""
        self._wanted = EncoderLoader(setting or DEFAULT_CLIP)
        self._builtin = None if setting else EncoderLoader(BUILTIN)
        self._here = bool(setting) or cached_revision(CLIP_REPOSITORY, WEIGHTS) is not None
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def wanted(self) -> str:
        """The CLIP_MODEL of the model that will be used in the end."""
        return self._wanted.state.model

    @property
    def loader(self) -> EncoderLoader:
        """The loader of the model in use, which may still be loading."""
        if self._builtin is None:
            return self._wanted
        state = self._wanted.state.state
        if state == "failed":
            self._here = False
        return self._wanted if state == "ready" or self._here else self._builtin

    @property
    def awaited(self) -> LoadState | None:
        """The state of CLIP while the built-in encoder is used in its place, else None."""
        return self._wanted.state if self.loader is self._builtin else None

    def start(self, on_change: Callable[[EncoderLoader], None]) -> None:
        """Start loading. `on_change` is called, in another thread, with the new loader whenever the model in use
        changes."""
        working = self.loader
        working.start()
        self._wanted.start()
        if self._builtin is not None:
            self._watcher = threading.Thread(
                target=self._watch, args=(working, on_change), name="model selection", daemon=True
            )
            self._watcher.start()

    def retry(self) -> None:
        """Try again to load what failed to load."""
        self._wanted.retry()
        if self._builtin is not None:
            self._builtin.retry()

    def close(self) -> None:
        """Abort what is still loading, and wait for a running `on_change`."""
        self._closing.set()
        if self._watcher is not None:
            self._watcher.join()
        self._wanted.close()
        if self._builtin is not None:
            self._builtin.close()

    def _watch(self, working: EncoderLoader, on_change: Callable[[EncoderLoader], None]) -> None:
        while not self._closing.wait(WATCH_SECONDS):
            if self.loader is working:
                continue
            working = self.loader
            logger.info("%s is now the model in use", working.state.model)
            working.start()
            on_change(working)
