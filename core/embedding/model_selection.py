"""Which model works: that of CLIP_MODEL, or when it is unset CLIP as soon as it can be had, and until then the
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
"""The model wanted when CLIP_MODEL is unset, and where the hub has it."""

WATCH_SECONDS = 0.5


class ModelSelection:
    """The loaders of the models that may work, and which of them does now. All methods may be called from any thread.

    CLIP_MODEL's model works whatever comes of it. When that is unset, CLIP works at once if the hub's cache has it;
    otherwise, or when it turns out to be damaged, the built-in encoder works until CLIP has come.
    """

    def __init__(self, setting: str) -> None:
        """`setting` is CLIP_MODEL's value, "" when it is unset."""
        self._wanted = EncoderLoader(setting or DEFAULT_CLIP)
        self._builtin = None if setting else EncoderLoader(BUILTIN)
        self._here = bool(setting) or cached_revision(CLIP_REPOSITORY, WEIGHTS) is not None
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def wanted(self) -> str:
        """The CLIP_MODEL of the model that works sooner or later."""
        return self._wanted.state.model

    @property
    def loader(self) -> EncoderLoader:
        """That of the model that works now, or will when it is loaded."""
        if self._builtin is None:
            return self._wanted
        state = self._wanted.state.state
        if state == "failed":
            self._here = False
        return self._wanted if state == "ready" or self._here else self._builtin

    @property
    def awaited(self) -> LoadState | None:
        """How far CLIP is while the built-in encoder works in its place; None when it does not."""
        return self._wanted.state if self.loader is self._builtin else None

    def start(self, on_change: Callable[[EncoderLoader], None]) -> None:
        """Begin to load. `on_change` hears, in a thread of its own, of each other loader to work with from then on."""
        working = self.loader
        working.start()
        self._wanted.start()
        if self._builtin is not None:
            self._watcher = threading.Thread(
                target=self._watch, args=(working, on_change), name="model selection", daemon=True
            )
            self._watcher.start()

    def retry(self) -> None:
        """Try again to load what could not be loaded."""
        self._wanted.retry()
        if self._builtin is not None:
            self._builtin.retry()

    def close(self) -> None:
        """Break off what is still loading, and wait for the change in hand."""
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
            logger.info("%s is the model from now on", working.state.model)
            working.start()
            on_change(working)
