"""The models in use for a purpose: the configured one and, after a change, temporarily the former one."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from core.collection.store import Store
from core.database.embedding_tables import Model, Purpose
from core.embedding.encoder import Encoder
from core.embedding.loader import EncoderLoader, LoadState

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActiveModel:
    """A model as the database knows it, and the encoder that makes its embeddings."""

    model: Model
    encoder: Encoder


@dataclass(frozen=True)
class Reembedding:
    """Progress of a change of model: `done` of `total` pictures have an embedding of `model`.

    Searches use the model `serving`. When the former model can no longer be loaded, that is `model` itself, and
    searches find only what is done.
    """

    model: str
    serving: str
    done: int
    total: int


@dataclass(frozen=True)
class _Former:
    model: Model
    loader: EncoderLoader


class ActiveModels:
    """Which of the models for one purpose serves searches, and which is to have an embedding of every picture.

    The configured model does both, unless another one has embedded more of the collection: then that one, the former
    model, is loaded too and serves until the configured one has caught up. Until then two encoders are in memory (a
    ViT-B/32 takes 0.6 GB in float32, half of that in bfloat16). Then the configured model takes over permanently and
    the former encoder is freed; its embeddings stay, so that changing back only needs the new pictures. The progress
    is in the database alone, so it continues after a restart. Thread-safe.
    """

    def __init__(self, store: Store, loader: EncoderLoader, awaited: str = "", *, purpose: Purpose = "content") -> None:
        """`loader` loads the configured model; `awaited` is the CLIP_MODEL of the one it stands in for, or ""."""
        self._store = store
        self._purpose: Purpose = purpose
        self._loader = loader
        self._awaited = awaited
        self._lock = threading.RLock()
        self._begun = False
        self._configured: ActiveModel | None = None
        self._former: _Former | None = None
        self._reembedding: Reembedding | None = None
        self._settled = False

    @property
    def load_state(self) -> LoadState:
        """The loading state of the configured model."""
        with self._lock:
            return self._loader.state

    @property
    def reembedding(self) -> Reembedding | None:
        """The progress of a change of model at the last `look`; None when there is none."""
        return self._reembedding

    @property
    def settled(self) -> bool:
        """Whether the configured model is loaded and had embedded every picture at the last `look`."""
        return self._settled

    def change(self, loader: EncoderLoader) -> None:
        """Make the model of `loader` the configured one; the previous one, if loaded, becomes the former model."""
        self._free_former()
        with self._lock:
            self._begun = self._configured is not None
            if self._configured is not None:
                self._former = _Former(self._configured.model, self._loader)
            self._loader, self._configured, self._reembedding, self._settled = loader, None, None, False

    def configured(self) -> ActiveModel:
        """The configured model. Raises EncoderError while it is not loaded, or DatabaseError."""
        with self._lock:
            if self._configured is None:
                encoder = self._loader.get()
                model = self._store.use_model(encoder.name, encoder.dim, self._loader.state.model, self._purpose)
                self._configured = ActiveModel(model, encoder)
            return self._configured

    def is_configured(self, in_use: ActiveModel) -> bool:
        """Whether this is still what `configured` returned."""
        with self._lock:
            return self._configured is in_use

    def serving(self) -> ActiveModel:
        """The model that searches use. Raises EncoderError while it is not loaded, or DatabaseError."""
        with self._lock:
            self._begin()
            former = self._former
            if former is not None and former.loader.state.state != "failed":
                encoder = former.loader.get()
                if encoder.name == former.model.name:
                    return ActiveModel(former.model, encoder)
            return self.configured()

    def behind(self) -> list[ActiveModel]:
        """The loaded models that may lack embeddings, the serving one first, because new pictures must be found."""
        with self._lock:
            loaded = list[ActiveModel]()
            if self._former is not None and self._former.loader.state.state == "ready":
                loaded.append(ActiveModel(self._former.model, self._former.loader.get()))
            if self._configured is not None and self._reembedding is not None:
                loaded.append(self._configured)
            return loaded

    def look(self) -> None:
        """Update the progress of a change of model, and let the configured model take over once it has embedded every
        picture. Raises DatabaseError."""
        self._begin()
        configured = self.configured() if self._loader.state.state == "ready" else None
        self._check_former(configured)
        if configured is None:
            return
        missing, total = self._store.missing(configured.model), self._store.count()
        with self._lock:
            if self._configured is not configured:
                return  # it was changed meanwhile
            self._settled = not missing
            if missing:
                serving = self._former.model if self._former else configured.model
                self._reembedding = Reembedding(configured.model.name, serving.name, max(0, total - missing), total)
                return
            self._reembedding = None
        self._free_former()

    def close(self) -> None:
        """Stop loading."""
        self._free_former()

    def _begin(self) -> None:
        """Once, find out whether another model has embedded more of the collection, and load that too. Raises
        DatabaseError."""
        with self._lock:
            if self._begun:
                return
            known = {model: self._store.missing(model) for model in self._store.models(self._purpose)}
            self._begun = True
            if not known:
                return
            configured = self._loader.state.model
            best = min(known, key=lambda model: (known[model], model.setting != configured, -model.id))
            if best.setting not in ("", configured, self._awaited) and known[best] < self._store.count():
                logger.info("%s serves searches until %s has every picture", best.name, configured)
                self._former = _Former(best, self._loader.of(best.setting))
                self._former.loader.start()

    def _check_former(self, configured: ActiveModel | None) -> None:
        """Give up the former model when it is unavailable, or turns out to be the configured one."""
        former = self._former
        if former is None:
            return
        state = former.loader.state
        if state.state == "failed":
            logger.warning("%s cannot serve searches any longer: %s", former.model.name, state.message)
        elif state.state == "ready" and former.loader.get().name != former.model.name:
            logger.warning("%s cannot serve searches any longer: its files have changed", former.model.name)
        elif configured is None or configured.model.id != former.model.id:
            return
        self._free_former()

    def _free_former(self) -> None:
        with self._lock:
            former, self._former = self._former, None
        if former is not None:
            former.loader.close()
